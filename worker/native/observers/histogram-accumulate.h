// A running histogram; see the .cc file.
#pragma once
#include "core/operation.h"

namespace bitwright {

Operation histogram_accumulate_operation();

}  // namespace bitwright
