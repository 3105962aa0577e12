// Whole blocks to and from their bytes: see gguf-blocks.h.
#include "formats/gguf-blocks.h"

namespace bitwright {

void pack_gguf(GgufType type, const GgufBlock& block, uint8_t* bytes) {
  for (int at = 0; at < gguf_layouts[static_cast<size_t>(type)].bytes; ++at) bytes[at] = gguf_byte(type, block, at);
}

void unpack_gguf(GgufType type, const uint8_t* bytes, GgufBlock& block) {
  const GgufLayout& layout = gguf_layouts[static_cast<size_t>(type)];
  block = {};
  block.d = gguf_d(type, bytes);
  block.dmin = gguf_dmin(type, bytes);
  for (int s = 0; s < layout.n_subs(); ++s) {
    block.scale[s] = gguf_scale(type, bytes, s);
    block.min[s] = gguf_min(type, bytes, s);
  }
  for (int i = 0; i < layout.n_weights; ++i) block.q[i] = gguf_code(type, bytes, i);
}

void gguf_values(const GgufLayout& layout, const GgufBlock& block, float* values) {
  const float d = f16_to_float(block.d), dmin = f16_to_float(block.dmin);
  for (int i = 0; i < layout.n_weights; ++i) values[i] = gguf_value(layout, d, dmin, block.scale[i / layout.sub_size], block.min[i / layout.sub_size], block.q[i]);
}

}  // namespace bitwright
