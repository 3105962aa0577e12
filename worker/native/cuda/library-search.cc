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
  std::error_code error;
  std::vector<fs::path> homes = {environment("VIRTUAL_ENV"), environment("CONDA_PREFIX")};
  // The environment of a python3 on the PATH, active or not.
  std::stringstream path(environment("PATH"));
  for (std::string folder; std::getline(path, folder, ':');) {
    const fs::path home = fs::path(folder).parent_path();
    // The system's own come below.
    const bool is_system = home == home.root_path() || home == usr || home == usr / "local";
    if (!is_system && fs::exists(fs::path(folder) / "python3", error)) homes.push_back(home);
  }
  for (const fs::path& home : homes) {
    if (home.empty()) continue;
    folders.push_back(home / "lib");
    for (const fs::path& python : children(home / "lib", "python3")) add_packages(python / "site-packages", folders);
  }
  for (const fs::path& library : {usr / "local/lib", usr / "lib"})
    for (const fs::path& python : children(library, "python3"))
      for (const char* packages : {"dist-packages", "site-packages"}) add_packages(python / packages, folders);
  for (const fs::path& folder : folders)
    if (fs::is_directory(folder, error) && std::find(all.begin(), all.end(), folder.string()) == all.end()) all.push_back(folder.string());
  return all;
}

}  // namespace bitwright::cuda
