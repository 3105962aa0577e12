// The list of storage operations.
#include "formats/formats.h"

#include "core/operations.h"

namespace bitwright {

OperationList format_operations() {
  return {pack_int32_operation(), unpack_int32_operation(), pack_fp4_operation(), unpack_fp4_operation(), e8m0_codes_operation(), e8m0_scales_operation(),
          blockwise_codes_operation(), blockwise_values_operation(), center_operation(), pack_nibbles_operation(), unpack_nibbles_operation(),
          gguf_encode_operation(), gguf_decode_operation(), vptq_pack_operation(), vptq_values_operation()};
}

}  // namespace bitwright
