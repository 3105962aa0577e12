// Storage of 4-bit floats and powers of two on a CUDA device: names of formats.h.
#pragma once
#include "cuda/context.h"

namespace bitwright::cuda {

void e8m0_codes(Context&, const Views& in, const Views& out, const Options&);
void e8m0_scales(Context&, const Views& in, const Views& out, const Options&);
void pack_fp4(Context&, const Views& in, const Views& out, const Options&);
void unpack_fp4(Context&, const Views& in, const Views& out, const Options&);

}  // namespace bitwright::cuda
