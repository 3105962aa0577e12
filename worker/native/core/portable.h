// Marks functions that a compiler of device code may use on both sides, so that one source serves every backend; nothing to any other compiler.
#pragma once

#ifdef __CUDACC__
#define BITWRIGHT_PORTABLE __host__ __device__
#else
#define BITWRIGHT_PORTABLE
#endif
