// Where cuBLAS may lie: it comes with the toolkit, with the system, or with the packages of a Python environment. Looks for files, executes nothing.
#pragma once
#include <functional>
#include <string>
#include <vector>

namespace bitwright::cuda {

/// Reads a variable of the environment; empty when it is not set.
using Environment = std::function<std::string(const char*)>;

/// Folders that may hold CUDA's libraries and that are there, best first:
/// those of BITWRIGHT_CUDA_LIBRARIES (a list with colons), then an empty name for the system's own search, the toolkits, the Python environments.
std::vector<std::string> library_folders(const Environment& environment, const std::string& root = "");

}  // namespace bitwright::cuda
