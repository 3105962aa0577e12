// Where the codes of compressed-tensors' packed format lie in its stream of 32-bit words: element i occupies the bits [i · b, i · b + b), bit 0 the least
// significant of word 0. Shared by the backends: one word, or one code, at a time.
#pragma once
#include <cstdint>

#include "core/portable.h"

namespace bitwright {

BITWRIGHT_PORTABLE inline int64_t words_for(int64_t n, int num_bits) { return (n * num_bits + 31) / 32; }

/// Word `word` of a stream of n codes that stand `stride` apart; bits behind the last code are 0.
BITWRIGHT_PORTABLE inline uint32_t packed_word(const int8_t* codes, int64_t stride, int64_t n, int num_bits, int64_t word) {
  const uint32_t offset = 1u << (num_bits - 1), mask = (1u << num_bits) - 1u;
  const int64_t first_bit = word * 32, first = first_bit / num_bits;
  // Bits that the first code has in the word before.
  const int before = static_cast<int>(first_bit - first * num_bits);
  uint32_t value = 0;
  int64_t i = first;
  for (int at = -before; at < 32 && i < n; at += num_bits, ++i) {
    const uint32_t code = (static_cast<uint32_t>(static_cast<int32_t>(codes[i * stride])) + offset) & mask;
    value |= at < 0 ? code >> -at : code << at;
  }
  return value;
}

/// Code i of a stream whose words stand `word_stride` apart.
BITWRIGHT_PORTABLE inline int8_t unpacked_code(const uint32_t* words, int64_t word_stride, int num_bits, int64_t i) {
  const int64_t bit = i * num_bits, word = bit / 32;
  const int at = static_cast<int>(bit % 32);
  uint32_t value = words[word * word_stride] >> at;
  if (at + num_bits > 32) value |= words[(word + 1) * word_stride] << (32 - at);
  return static_cast<int8_t>(static_cast<int32_t>(value & ((1u << num_bits) - 1u)) - (1 << (num_bits - 1)));
}

}  // namespace bitwright
