#pragma once

#include "common.h"

// What follows a modulated convolution, in one pass: with u = FIR(x), or x where there is no filter,
//   a = clamp(leaky_relu(u * d + noise * strength + bias) * gain),  y = a * scale
// All but pictures are float32, or float64 for float64 pictures.
struct Epilogue {
    void* y;               // [n, c, out_h, out_w]; of the gradient kernel, the gradient of u
    const void* x;         // [n, c, h, w]
    const void* dy;        // like y, for the gradient kernel
    const void* taps;      // null: no filter; on a GPU the filter [4, 4]; on the CPU 4 taps down and 4 across,
                           // in the order in which they meet the pixels
    const void* d;         // [n, c] or null
    const void* noise;     // [n or 1, out_h, out_w] or null
    const void* strength;  // [1], or null for 1
    const void* bias;      // [c] or null
    const void* scale;     // [n, c] or null
    void* sums;            // of the gradient kernel [n, tiles, 4, c], over each tile's pixels: the gradient of
                           // what the leaky ReLU sees times u, itself, and times noise; and dy * a
    int64_t n, c, h, w, out_h, out_w;
    int64_t pad;           // before the picture, in both directions
    int64_t noise_step;    // from one sample's noise to the next one's: out_h * out_w, or 0
    int64_t tiles;         // parts of a picture that are summed on their own
    double slope, gain, clamp;  // clamp below 0: none
    int channels_last;     // pictures lie as [n, h, w, c], which they must on the CPU
    int threads;           // of the CPU
};

// Both return a cudaError_t. The second expects tiles to be what toon_epilogue_tiles says.
extern "C" int toon_epilogue(const Epilogue* args, int dtype, void* stream);
extern "C" int toon_epilogue_grad(const Epilogue* args, int dtype, void* stream);
extern "C" int64_t toon_epilogue_tiles(int64_t out_h, int64_t out_w);
