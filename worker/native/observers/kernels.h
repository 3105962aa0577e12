// The observers on a CUDA device that stand in files of their own: names of observers.cc.
#pragma once
#include "cuda/context.h"

namespace bitwright::cuda {

void column_moments_accumulate(Context&, const Views& in, const Views& out, const Options&);
void cross_hessian_accumulate(Context&, const Views& in, const Views& out, const Options&);
void fisher_accumulate(Context&, const Views& in, const Views& out, const Options&);
void histogram_accumulate(Context&, const Views& in, const Views& out, const Options&);

}  // namespace bitwright::cuda
