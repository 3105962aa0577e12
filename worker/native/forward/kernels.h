// The forward operations on a CUDA device: the names of forward.h.
#pragma once
#include "cuda/context.h"
#include "forward/attention.h"

namespace bitwright::cuda {

void add(Context&, const Views& in, const Views& out, const Options&);
void argmax(Context&, const Views& in, const Views& out, const Options&);
void attention(Context&, const Views& in, const Views& out, const Options&);
void attention_backward(Context&, const Views& in, const Views& out, const Options&);
void cached_attention(Context&, const Views& in, const Views& out, const Options&);
void cross_entropy(Context&, const Views& in, const Views& out, const Options&);
void cross_entropy_backward(Context&, const Views& in, const Views& out, const Options&);
void embedding(Context&, const Views& in, const Views& out, const Options&);
void fake_quantize_dynamic(Context&, const Views& in, const Views& out, const Options&);
void fake_quantize_local(Context&, const Views& in, const Views& out, const Options&);
void fake_quantize_static(Context&, const Views& in, const Views& out, const Options&);
void linear(Context&, const Views& in, const Views& out, const Options&);
void linear_backward(Context&, const Views& in, const Views& out, const Options&);
void logit_divergence(Context&, const Views& in, const Views& out, const Options&);
void rmsnorm(Context&, const Views& in, const Views& out, const Options&);
void rmsnorm_backward(Context&, const Views& in, const Views& out, const Options&);
void rope(Context&, const Views& in, const Views& out, const Options&);
void silu_mul(Context&, const Views& in, const Views& out, const Options&);
void silu_mul_backward(Context&, const Views& in, const Views& out, const Options&);
void store_rows(Context&, const Views& in, const Views& out, const Options&);

/// What attention and its gradient begin with. Offsets must rise from 0 to T; one that does not is told.
Heads checked_heads(Context& context, const Views& in, const Options& options);

}  // namespace bitwright::cuda
