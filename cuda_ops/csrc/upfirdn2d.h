#pragma once

#include "common.h"

struct Upfirdn2d {
    void* y;           // [n, c, out_h, out_w]
    const void* x;     // [n, c, h, w]
    const void* f;     // [kh, kw], contiguous, float64 for float64 pictures, else float32
    int64_t n, c, h, w, out_h, out_w;
    int64_t x_stride[4], y_stride[4];  // of n, c, h, w, in elements
    int kh, kw, up, down;
    int64_t pad_x, pad_y;              // before the picture; what comes after it follows from out_h and out_w
    int flip;                          // 0 convolves, 1 correlates
    int channels_last;                 // which neighbours should share a warp
};

// Returns a cudaError_t.
extern "C" int toon_upfirdn2d(const Upfirdn2d* args, int dtype, void* stream);
