// Where cuBLAS may lie: see library-search.h.
#include "cuda/library-search.h"

#include <algorithm>
#include <filesystem>
#include <sstream>

namespace bitwright::cuda {
namespace {

namespace fs = std::filesystem;

/// The folders of `parent` whose names begin with `prefix`, the last name first, so that a newer version comes before an older one.
std::vector<fs::path> children(const fs::path& parent, const std::string& prefix) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator at(parent, error), end; !error && at != end; at.increment(error))
    if (at->path().filename().string().rfind(prefix, 0) == 0 && at->is_directory(error)) found.push_back(at->path());
  std::sort(found.rbegin(), found.rend());
  return found;
}

/// Python packages put CUDA's libraries into nvidia/<part>/lib.
void add_packages(const fs::path& packages, std::vector<fs::path>& folders) {
  for (const char* part : {"cu13", "cublas", "cu12"}) folders.push_back(packages / "nvidia" / part / "lib");
}

}  // namespace

std::vector<std::string> library_folders(const Environment& environment, const std::string& root) {
  std::vector<std::string> all;
  std::stringstream wanted(environment("BITWRIGHT_CUDA_LIBRARIES"));
  for (std::string folder; std::getline(wanted, folder, ':');)
    if (!folder.empty()) all.push_back(folder);
  all.emplace_back();
  std::vector<fs::path> folders;
  for (const char* name : {"CUDA_HOME", "CUDA_PATH"})
    if (const std::string home = environment(name); !home.empty()) folders.push_back(fs::path(home) / "lib64");
  const fs::path usr = root + "/usr";
  folders.push_back(usr / "local/cuda/lib64");
  for (const fs::path& toolkit : children(usr / "local", "cuda-")) folders.push_back(toolkit / "lib64");
  for (const char* name : {"VIRTUAL_ENV", "CONDA_PREFIX"}) {
    const std::string home = environment(name);
    if (home.empty()) continue;
    folders.push_back(fs::path(home) / "lib");
    for (const fs::path& python : children(fs::path(home) / "lib", "python3")) add_packages(python / "site-packages", folders);
  }
  for (const fs::path& library : {usr / "local/lib", usr / "lib"})
    for (const fs::path& python : children(library, "python3"))
      for (const char* packages : {"dist-packages", "site-packages"}) add_packages(python / packages, folders);
  std::error_code error;
  for (const fs::path& folder : folders)
    if (fs::is_directory(folder, error) && std::find(all.begin(), all.end(), folder.string()) == all.end()) all.push_back(folder.string());
  return all;
}

std::vector<std::string> library_candidates(const std::vector<std::string>& folders, const std::vector<std::string>& names) {
  std::vector<std::string> all;
  for (const std::string& folder : folders)
    for (const std::string& name : names) all.push_back(folder.empty() ? name : folder + "/" + name);
  return all;
}

}  // namespace bitwright::cuda
