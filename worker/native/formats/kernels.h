// How codes and scales lie in a checkpoint, on a CUDA device: names of formats.h.
#pragma once
#include "cuda/context.h"

namespace bitwright::cuda {

void blockwise_codes(Context&, const Views& in, const Views& out, const Options&);
void blockwise_values(Context&, const Views& in, const Views& out, const Options&);
void center(Context&, const Views& in, const Views& out, const Options&);
void e8m0_codes(Context&, const Views& in, const Views& out, const Options&);
void e8m0_scales(Context&, const Views& in, const Views& out, const Options&);
void gguf_decode(Context&, const Views& in, const Views& out, const Options&);
void gguf_encode(Context&, const Views& in, const Views& out, const Options&);
void pack_fp4(Context&, const Views& in, const Views& out, const Options&);
void pack_nibbles(Context&, const Views& in, const Views& out, const Options&);
void unpack_fp4(Context&, const Views& in, const Views& out, const Options&);
void unpack_nibbles(Context&, const Views& in, const Views& out, const Options&);
void vptq_pack(Context&, const Views& in, const Views& out, const Options&);
void vptq_values(Context&, const Views& in, const Views& out, const Options&);

}  // namespace bitwright::cuda
