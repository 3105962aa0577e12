// The operation of column-moments.cc, for the list of the folder.
#pragma once
#include "core/operation.h"

namespace bitwright {

Operation column_moments_operation();

}  // namespace bitwright
