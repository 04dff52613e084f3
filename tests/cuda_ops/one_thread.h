// Lets a .cu file of cuda_ops/csrc compile as plain C++: the threads of a launch run one after another.
// Exact for kernels that neither share memory nor synchronise, which is all of them.
#pragma once

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

using half_t = c10::Half;
using bfloat_t = c10::BFloat16;
using cudaStream_t = void*;

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct Index { unsigned x; };
static Index blockIdx, threadIdx;

#define UNWRAP(...) __VA_ARGS__
#define TOON_LAUNCH(kernel, blocks, threads, stream, ...)                                             \
    for (blockIdx.x = 0; blockIdx.x < (blocks); ++blockIdx.x)                                         \
        for (threadIdx.x = 0; threadIdx.x < (threads); ++threadIdx.x) (UNWRAP kernel)(__VA_ARGS__)

static int cudaGetLastError() { return 0; }
