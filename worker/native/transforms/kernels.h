// AWQ's search, rotations and corrections on a CUDA device: the names of awq.h, hadamard.h and corrections.h.
#pragma once
#include "cuda/context.h"

namespace bitwright::cuda {

void awq_scales(Context&, const Views& in, const Views& out, const Options&);
void awq_weight_sum_accumulate(Context&, const Views& in, const Views& out, const Options&);
void cell_errors(Context&, const Views& in, const Views& out, const Options&);
void clip_cells(Context&, const Views& in, const Views& out, const Options&);
void column_abs_sum_accumulate(Context&, const Views& in, const Views& out, const Options&);
void divide_columns(Context&, const Views& in, const Views& out, const Options&);
void hadamard_transform(Context&, const Views& in, const Views& out, const Options&);
void low_rank_residual(Context&, const Views& in, const Views& out, const Options&);
void output_shift(Context&, const Views& in, const Views& out, const Options&);
void residual_columns(Context&, const Views& in, const Views& out, const Options&);
void rotate(Context&, const Views& in, const Views& out, const Options&);
void squared_error_accumulate(Context&, const Views& in, const Views& out, const Options&);
void variance_sums(Context&, const Views& in, const Views& out, const Options&);

}  // namespace bitwright::cuda
