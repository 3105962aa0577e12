// How codes and scales lie in a checkpoint: one operation per stem of this folder. Shapes and sources are in worker/src/tensor/operations/formats.ts.
#pragma once
#include "core/operation.h"

namespace bitwright {

Operation pack_int32_operation();
Operation unpack_int32_operation();
Operation pack_fp4_operation();
Operation unpack_fp4_operation();
Operation e8m0_codes_operation();
Operation e8m0_scales_operation();
Operation blockwise_codes_operation();
Operation blockwise_values_operation();
Operation center_operation();
Operation pack_nibbles_operation();
Operation unpack_nibbles_operation();
Operation gguf_encode_operation();
Operation gguf_decode_operation();
Operation vptq_pack_operation();
Operation vptq_values_operation();

}  // namespace bitwright
