// Scale and zero point of static activations; see the .cc file.
#pragma once
#include "core/operation.h"

namespace bitwright {

Operation activation_scale_operation();

}  // namespace bitwright
