// The runtime header under the name that device code includes.
#pragma once
#include "cuda_runtime_api.h"
