// Named options of an operation, as they come from JavaScript: numbers, booleans, strings. Operations read them in `infer`, so a missing one is an error at the call.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <variant>

namespace bitwright {

class Options {
 public:
  using Value = std::variant<double, bool, std::string>;
  void set(const std::string& name, Value value) { values_[name] = std::move(value); }
  const std::map<std::string, Value>& all() const { return values_; }
  bool has(const std::string& name) const { return values_.count(name) != 0; }
  /// A missing number reads as `otherwise`.
  double number(const std::string& name, double otherwise = 0) const {
    const auto found = values_.find(name);
    if (found == values_.end()) return otherwise;
    if (const double* value = std::get_if<double>(&found->second)) return *value;
    return otherwise;
  }
  /// What is beyond 64 bits, and NaN, reads as the least integer, as x86-64 converts it: on arm64 a plain conversion of NaN is 0, which is an answer to many options.
  int64_t integer(const std::string& name, int64_t otherwise = 0) const {
    const double value = number(name, static_cast<double>(otherwise));
    return value > -0x1p63 && value < 0x1p63 ? static_cast<int64_t>(value) : INT64_MIN;
  }
  bool flag(const std::string& name) const {
    const auto found = values_.find(name);
    const bool* value = found == values_.end() ? nullptr : std::get_if<bool>(&found->second);
    return value != nullptr && *value;
  }
  std::string text(const std::string& name) const {
    const auto found = values_.find(name);
    const std::string* value = found == values_.end() ? nullptr : std::get_if<std::string>(&found->second);
    return value == nullptr ? std::string() : *value;
  }

 private:
  std::map<std::string, Value> values_;
};

}  // namespace bitwright
