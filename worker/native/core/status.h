// The result of native work: fine, or a sentence that says what went wrong. Nothing in the core throws across an operation.
#pragma once
#include <string>
#include <utility>

namespace bitwright {

struct [[nodiscard]] Status {
  std::string message;  // empty: fine
  bool ok() const { return message.empty(); }
  static Status fine() { return {}; }
  static Status error(std::string text) { return {std::move(text)}; }
  /// The message that marks a cancelled operation; JavaScript recognises the prefix.
  static Status cancelled() { return {"cancelled: the run was cancelled"}; }
};

}  // namespace bitwright
