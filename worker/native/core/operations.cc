// The table of all operations by name.
#include "core/operations.h"

#include <unordered_map>

namespace bitwright {

const Operation* find_operation(const std::string& name) {
  static const std::unordered_map<std::string, Operation> table = [] {
    std::unordered_map<std::string, Operation> all;
    for (const OperationList& list : {storage_operations(), forward_operations(), observer_operations(), quantizer_operations(), pruning_operations(), transform_operations(), format_operations(), metric_operations()})
      for (const Operation& operation : list) all.emplace(operation.name, operation);
    return all;
  }();
  const auto found = table.find(name);
  return found == table.end() ? nullptr : &found->second;
}

}  // namespace bitwright
