// y = leaky_relu(x + bias) * gain, and its gradient dx = dy * gain * (y > 0 ? 1 : slope).
// Bound by memory: each thread moves V neighbours of up to 16 bytes in one access, and divides once to find its
// channel. The gradient is linear in dy, so its own gradient is the same kernel.

#include "fused_bias_act.h"

namespace {

constexpr int kThreads = 256;

enum Bias { kNone, kSame, kEach };  // no bias; one channel for all V values; V successive channels

template <typename T, int V, int B>
__global__ void __launch_bounds__(kThreads) forward(BiasAct a) {
    using M = math_t<T>;
    const int64_t i = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * V;
    if (i >= a.size) return;
    const M slope = static_cast<M>(a.slope), gain = static_cast<M>(a.gain);
    Pack<T, V> x = *reinterpret_cast<const Pack<T, V>*>(static_cast<const T*>(a.x) + i);
    Pack<T, V> bias;
    if (B != kNone) {
        int64_t channel = i;
        if (a.step != 1) split(channel, a.step);
        channel = split(channel, a.channels);
        const T* from = static_cast<const T*>(a.other) + channel;
        if (B == kEach) {
            bias = *reinterpret_cast<const Pack<T, V>*>(from);
        } else {
            bias.at[0] = *from;
        }
    }
#pragma unroll
    for (int k = 0; k < V; ++k) {
        M v = load<M>(x.at[k]);
        if (B != kNone) v += load<M>(bias.at[B == kEach ? k : 0]);
        x.at[k] = static_cast<T>((v > 0 ? v : v * slope) * gain);
    }
    *reinterpret_cast<Pack<T, V>*>(static_cast<T*>(a.y) + i) = x;
}

template <typename T, int V>
__global__ void __launch_bounds__(kThreads) backward(BiasAct a) {
    using M = math_t<T>;
    const int64_t i = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * V;
    if (i >= a.size) return;
    const M gain = static_cast<M>(a.gain), low = static_cast<M>(a.gain * a.slope);
    Pack<T, V> dy = *reinterpret_cast<const Pack<T, V>*>(static_cast<const T*>(a.x) + i);
    const Pack<T, V> y = *reinterpret_cast<const Pack<T, V>*>(static_cast<const T*>(a.other) + i);
#pragma unroll
    for (int k = 0; k < V; ++k) {
        dy.at[k] = static_cast<T>(load<M>(dy.at[k]) * (load<M>(y.at[k]) > 0 ? gain : low));
    }
    *reinterpret_cast<Pack<T, V>*>(static_cast<T*>(a.y) + i) = dy;
}

unsigned blocks(const BiasAct& a, int v) {
    return static_cast<unsigned>((a.size / v + kThreads - 1) / kThreads);
}

template <typename T> void run(const BiasAct& a, cudaStream_t stream) {
    constexpr int V = 16 / sizeof(T);
    const bool wide = a.size % V == 0 && aligned(a.x, 16) && aligned(a.y, 16);
    if (a.other == nullptr) {
        if (wide) {
            TOON_LAUNCH((forward<T, V, kNone>), blocks(a, V), kThreads, stream, a);
        } else {
            TOON_LAUNCH((forward<T, 1, kNone>), blocks(a, 1), kThreads, stream, a);
        }
    } else if (wide && a.step % V == 0) {
        TOON_LAUNCH((forward<T, V, kSame>), blocks(a, V), kThreads, stream, a);
    } else if (wide && a.step == 1 && a.channels % V == 0 && aligned(a.other, 16)) {
        TOON_LAUNCH((forward<T, V, kEach>), blocks(a, V), kThreads, stream, a);
    } else {
        TOON_LAUNCH((forward<T, 1, kSame>), blocks(a, 1), kThreads, stream, a);
    }
}

template <typename T> void run_grad(const BiasAct& a, cudaStream_t stream) {
    constexpr int V = 16 / sizeof(T);
    if (a.size % V == 0 && aligned(a.x, 16) && aligned(a.y, 16) && aligned(a.other, 16)) {
        TOON_LAUNCH((backward<T, V>), blocks(a, V), kThreads, stream, a);
    } else {
        TOON_LAUNCH((backward<T, 1>), blocks(a, 1), kThreads, stream, a);
    }
}

}  // namespace

extern "C" int toon_bias_act(const BiasAct* args, int dtype, void* stream) {
    const cudaStream_t s = static_cast<cudaStream_t>(stream);
    if (dtype == kFloat64) run<double>(*args, s);
    if (dtype == kFloat32) run<float>(*args, s);
    if (dtype == kFloat16) run<half_t>(*args, s);
    if (dtype == kBFloat16) run<bfloat_t>(*args, s);
    return cudaGetLastError();
}

extern "C" int toon_bias_act_grad(const BiasAct* args, int dtype, void* stream) {
    const cudaStream_t s = static_cast<cudaStream_t>(stream);
    if (dtype == kFloat64) run_grad<double>(*args, s);
    if (dtype == kFloat32) run_grad<float>(*args, s);
    if (dtype == kFloat16) run_grad<half_t>(*args, s);
    if (dtype == kBFloat16) run_grad<bfloat_t>(*args, s);
    return cudaGetLastError();
}
