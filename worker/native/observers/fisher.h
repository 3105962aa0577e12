// The operation of fisher.cc, for the list of the folder.
#pragma once
#include "core/operation.h"

namespace bitwright {

Operation fisher_accumulate_operation();

}  // namespace bitwright
