// The blocks of weights that GGUF files hold (llama.cpp's ggml types), taken apart: x̂ = d · scale[s] · q - dmin · min[s], s the sub-block of a weight.
//
//   type   weights  sub-block  q          scale        min       bytes   bits per weight
//   Q8_0   32       32         -127..127  1            –         34      8.5
//   Q4_0   32       32         -8..7      1            –         18      4.5
//   Q2_K   256      16         0..3       0..15        0..15     84      2.625
//   Q3_K   256      16         -4..3      -32..31      –         110     3.4375
//   Q4_K   256      32         0..15      0..63        0..63     144     4.5
//   Q5_K   256      32         0..31      0..63        0..63     176     5.5
//   Q6_K   256      16         -32..31    -128..127    –         210     6.5625
//
// d and dmin are float16. Products are rounded to float32 one by one, as readers do it. Source of the layout: the format's own reader, gguf 0.19 (gguf/quants.py).
#pragma once
#include <cstdint>
#include <string>

namespace bitwright {

enum class GgufType { Q8_0, Q4_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K };

struct GgufLayout {
  const char* name;
  int n_weights, sub_size, bytes;
  int q_min, q_max, scale_min, scale_max, min_max;
  int n_subs() const { return n_weights / sub_size; }
  bool has_min() const { return min_max > 0; }
};

/// Null for a name that is none of the types above.
const GgufLayout* gguf_layout(const std::string& name, GgufType& type);

struct GgufBlock {
  uint16_t d = 0, dmin = 0;  // float16
  int scale[16] = {}, min[16] = {};
  int q[256] = {};
};

/// All numbers of the block lie in the ranges of its layout.
void pack_gguf(GgufType type, const GgufBlock& block, uint8_t* bytes);
void unpack_gguf(GgufType type, const uint8_t* bytes, GgufBlock& block);
void gguf_values(const GgufLayout& layout, const GgufBlock& block, float* values);

}  // namespace bitwright
