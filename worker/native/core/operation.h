// One operation, as the list of operations holds it: what it answers (infer, for every backend) and how the processor does it (run).
#pragma once
#include <atomic>
#include <string>
#include <vector>

#include "core/options.h"
#include "core/pool.h"
#include "core/status.h"
#include "core/tensor-view.h"

namespace bitwright {

/// What an operation may use while it runs.
struct RunContext {
  Pool& pool;
  const std::atomic<bool>& cancel;
  bool cancelled() const { return cancel.load(std::memory_order_relaxed); }
};

using Specs = std::vector<TensorSpec>;
using Views = std::vector<TensorView>;

struct Operation {
  const char* name;
  /// Checks inputs and options and fills the results; runs at the call, so misuse is told at the call. No bytes are seen here.
  Status (*infer)(const Specs& inputs, const Options& options, Specs& results);
  /// The processor's way to do the work; other backends have theirs under the same name. Results are allocated and not cleared. nullptr: the result shares the storage of input 0 (see alias_offset), on every backend.
  Status (*run)(RunContext& context, const Views& inputs, const Views& results, const Options& options);
  /// For operations without `run`: byte offset of the result in the storage of input 0.
  int64_t (*alias_offset)(const TensorSpec& input, const Options& options) = nullptr;
};

/// The operations of one folder.
using OperationList = std::vector<Operation>;

/// How a failure of the work names the call: the operation and its inputs.
inline std::string call_text(const char* name, const Views& inputs) {
  std::string text = std::string(name) + " of";
  for (const TensorView& view : inputs) text += " " + view.text();
  return text;
}

/// Status helpers for infer: the sentence names the operation's inputs.
inline Status mismatch(const std::string& expected, const Specs& inputs) {
  std::string text = "expected " + expected + ", got";
  for (const TensorSpec& input : inputs) text += " " + input.text();
  return Status::error(text);
}

}  // namespace bitwright
