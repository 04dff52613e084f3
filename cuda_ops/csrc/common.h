// What both kernels share. Nothing here or in the .cu files includes a PyTorch header: they compile in seconds,
// with nvcc alone, and, since no kernel shares memory or synchronises, as plain C++ too (tests do that).
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
using half_t = __half;
using bfloat_t = __nv_bfloat16;
#define TOON_LAUNCH(kernel, blocks, threads, stream, ...) kernel<<<blocks, threads, 0, stream>>>(__VA_ARGS__)
#endif

enum Dtype { kFloat64 = 0, kFloat32 = 1, kFloat16 = 2, kBFloat16 = 3 };

// Arithmetic is float32 for the 16-bit types, and their own for the others.
template <typename T> struct Math { using type = float; };
template <> struct Math<double> { using type = double; };
template <typename T> using math_t = typename Math<T>::type;

template <typename M, typename T> __device__ __forceinline__ M load(T value) {
    return static_cast<M>(value);
}

// 16 bytes, or fewer, that travel together.
template <typename T, int V> struct alignas(sizeof(T) * V) Pack { T at[V]; };

// V neighbours at once; zeros outside of the picture.
template <typename T, int V>
__device__ __forceinline__ void read(math_t<T> (&to)[V], const T* from, bool inside) {
    Pack<T, V> values;
    if (inside) values = *reinterpret_cast<const Pack<T, V>*>(from);
#pragma unroll
    for (int k = 0; k < V; ++k) to[k] = inside ? load<math_t<T>>(values.at[k]) : math_t<T>(0);
}

template <typename T, int V> __device__ __forceinline__ void write(T* to, const math_t<T> (&from)[V]) {
    Pack<T, V> values;
#pragma unroll
    for (int k = 0; k < V; ++k) values.at[k] = static_cast<T>(from[k]);
    *reinterpret_cast<Pack<T, V>*>(to) = values;
}

inline bool aligned(const void* pointer, int bytes) {
    return reinterpret_cast<uintptr_t>(pointer) % bytes == 0;
}

// index % size, and index becomes index / size. 64-bit division is slow on a GPU and seldom needed.
__device__ __forceinline__ int64_t split(int64_t& index, int64_t size) {
    int64_t quotient;
    if (((index | size) >> 32) == 0) {
        quotient = static_cast<uint32_t>(index) / static_cast<uint32_t>(size);
    } else {
        quotient = index / size;
    }
    const int64_t rest = index - quotient * size;
    index = quotient;
    return rest;
}
