// The quantizers on a CUDA device: the names of quantizers.h.
#pragma once
#include "cuda/context.h"

namespace bitwright::cuda {

void absmean_scales(Context&, const Views& in, const Views& out, const Options&);
void activation_ranges(Context&, const Views& in, const Views& out, const Options&);
void corrected_weight(Context&, const Views& in, const Views& out, const Options&);
void clipped_share(Context&, const Views& in, const Views& out, const Options&);
void dead_columns(Context&, const Views& in, const Views& out, const Options&);
void dequantize(Context&, const Views& in, const Views& out, const Options&);
void effective_scales(Context&, const Views& in, const Views& out, const Options&);
void global_scale(Context&, const Views& in, const Views& out, const Options&);
void gptq_factor(Context&, const Views& in, const Views& out, const Options&);
void hessian_order(Context&, const Views& in, const Views& out, const Options&);
void hqq_scales(Context&, const Views& in, const Views& out, const Options&);
void inverse_factor(Context&, const Views& in, const Views& out, const Options&);
void qronos_start(Context&, const Views& in, const Views& out, const Options&);
void quantize_beacon(Context&, const Views& in, const Views& out, const Options&);
void quantize_comq(Context&, const Views& in, const Views& out, const Options&);
void quantize_gpfq(Context&, const Views& in, const Views& out, const Options&);
void quantize_gptq(Context&, const Views& in, const Views& out, const Options&);
void quantize_rtn(Context&, const Views& in, const Views& out, const Options&);
void quantize_vptq(Context&, const Views& in, const Views& out, const Options&);
void search_scales(Context&, const Views& in, const Views& out, const Options&);
void tensor_group_scales(Context&, const Views& in, const Views& out, const Options&);
void weight_scales(Context&, const Views& in, const Views& out, const Options&);

}  // namespace bitwright::cuda
