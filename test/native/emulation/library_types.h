// CUDA's names of element types, for the emulation.
#pragma once

enum cudaDataType { CUDA_R_32F = 0, CUDA_R_64F = 1, CUDA_R_16BF = 14 };
