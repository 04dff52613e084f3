#pragma once

#include "common.h"

struct BiasAct {
    void* y;           // [size]
    const void* x;     // [size]; the gradient of y for the gradient kernel
    const void* other; // [channels], the bias, or null; for the gradient kernel [size], the output of the forward
    int64_t size;
    int64_t step;      // the stride of the channels: H * W, or 1 for channels_last
    int64_t channels;
    double slope, gain;
};

// Both return a cudaError_t. Pictures are dense, all in one layout.
extern "C" int toon_bias_act(const BiasAct* args, int dtype, void* stream);
extern "C" int toon_bias_act_grad(const BiasAct* args, int dtype, void* stream);
