// Upsample by zeros, pad, filter, downsample: one output pixel is a sum over the taps that meet a real pixel.
//
// Three kernels, all reading through the L1 cache, so that none needs shared memory or a barrier:
//   tiled   4x4 taps, up 1, down 1 or 2. A thread walks down kRows outputs of one column with the 4x4 window of
//           inputs in registers: each step reads DOWN new rows of 4 pixels and does 16 multiply-adds.
//   phased  4x4 taps, up 2, down 1. Only 2x2 taps meet a real pixel; which ones, the parity decides.
//   any     everything else, one tap at a time.
// For channels_last, a thread may own V neighbouring channels, and neighbouring threads neighbouring channels.

#include "upfirdn2d.h"

namespace {

constexpr int kThreads = 128;
constexpr int kRows = 8;

// Where a thread works: its first channel, its column, its row (or its first row), its sample.
struct Place { int64_t n, c, row, column; };

template <int V> __device__ __forceinline__ bool find(const Upfirdn2d& a, int64_t rows, Place& p) {
    int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
    const int64_t channels = a.c / V;
    if (a.channels_last) {
        p.c = split(i, channels) * V;
        p.column = split(i, a.out_w);
        p.row = split(i, rows);
    } else {
        p.column = split(i, a.out_w);
        p.row = split(i, rows);
        p.c = split(i, channels) * V;
    }
    p.n = i;
    return i < a.n;
}

template <typename T> __device__ __forceinline__ const T* input(const Upfirdn2d& a, const Place& p) {
    return static_cast<const T*>(a.x) + p.n * a.x_stride[0] + p.c * a.x_stride[1];
}

template <typename T> __device__ __forceinline__ T* output(const Upfirdn2d& a, const Place& p) {
    return static_cast<T*>(a.y) + p.n * a.y_stride[0] + p.c * a.y_stride[1] + p.column * a.y_stride[3];
}

template <typename T, int DOWN, int V>
__global__ void __launch_bounds__(kThreads) tiled(Upfirdn2d a) {
    using M = math_t<T>;
    Place p;
    if (!find<V>(a, (a.out_h + kRows - 1) / kRows, p)) return;
    M f[16];
#pragma unroll
    for (int k = 0; k < 16; ++k) f[k] = static_cast<const M*>(a.f)[a.flip ? k : 15 - k];

    const int64_t left = p.column * DOWN - a.pad_x;
    int64_t row = p.row * kRows * DOWN - a.pad_y;  // of the input: the next to be read
    bool inside[4];
#pragma unroll
    for (int k = 0; k < 4; ++k) inside[k] = left + k >= 0 && left + k < a.w;
    const T* from = input<T>(a, p) + left * a.x_stride[3];
    M window[4][4][V];  // input row r lies in window[r % 4], counted from the first
#pragma unroll
    for (int r = 0; r < 4 - DOWN; ++r, ++row) {
        const bool real = row >= 0 && row < a.h;
#pragma unroll
        for (int k = 0; k < 4; ++k) {
            read<T, V>(window[r][k], from + row * a.x_stride[2] + k * a.x_stride[3], real && inside[k]);
        }
    }
    T* to = output<T>(a, p) + p.row * kRows * a.y_stride[2];
#pragma unroll
    for (int t = 0; t < kRows; ++t) {
        if (p.row * kRows + t >= a.out_h) return;
#pragma unroll
        for (int r = 4 - DOWN; r < 4; ++r, ++row) {
            const bool real = row >= 0 && row < a.h;
#pragma unroll
            for (int k = 0; k < 4; ++k) {
                read<T, V>(window[(t * DOWN + r) % 4][k], from + row * a.x_stride[2] + k * a.x_stride[3],
                           real && inside[k]);
            }
        }
        M sum[V] = {};
#pragma unroll
        for (int r = 0; r < 4; ++r) {
#pragma unroll
            for (int k = 0; k < 4; ++k) {
#pragma unroll
                for (int v = 0; v < V; ++v) sum[v] += f[r * 4 + k] * window[(t * DOWN + r) % 4][k][v];
            }
        }
        write<T, V>(to + t * a.y_stride[2], sum);
    }
}

template <typename T, int V>
__global__ void __launch_bounds__(kThreads) phased(Upfirdn2d a) {
    using M = math_t<T>;
    Place p;
    if (!find<V>(a, a.out_h, p)) return;
    // Tap k lies on padded pixel out + k - pad, real if that is even: k has the parity of out - pad.
    const int64_t top = p.row - a.pad_y, left = p.column - a.pad_x;
    const int ky = static_cast<int>(top & 1), kx = static_cast<int>(left & 1);
    const int64_t y = (top + ky) >> 1, x = (left + kx) >> 1;
    const T* from = input<T>(a, p) + y * a.x_stride[2] + x * a.x_stride[3];
    M sum[V] = {};
#pragma unroll
    for (int r = 0; r < 2; ++r) {
#pragma unroll
        for (int k = 0; k < 2; ++k) {
            const int tap = (ky + 2 * r) * 4 + kx + 2 * k;
            const M f = static_cast<const M*>(a.f)[a.flip ? tap : 15 - tap];
            M value[V];
            const bool real = y + r >= 0 && y + r < a.h && x + k >= 0 && x + k < a.w;
            read<T, V>(value, from + r * a.x_stride[2] + k * a.x_stride[3], real);
#pragma unroll
            for (int v = 0; v < V; ++v) sum[v] += f * value[v];
        }
    }
    write<T, V>(output<T>(a, p) + p.row * a.y_stride[2], sum);
}

// The first tap whose padded pixel, first + tap, is a multiple of up.
__device__ __forceinline__ int first_tap(int64_t first, int up) {
    const int rest = static_cast<int>(first % up);
    return rest == 0 ? 0 : (rest > 0 ? up - rest : -rest);
}

template <typename T>
__global__ void __launch_bounds__(kThreads) any(Upfirdn2d a) {
    using M = math_t<T>;
    Place p;
    if (!find<1>(a, a.out_h, p)) return;
    const int64_t top = p.row * a.down - a.pad_y, left = p.column * a.down - a.pad_x;
    const int ky = first_tap(top, a.up), kx = first_tap(left, a.up);
    const int64_t y0 = (top + ky) / a.up, x0 = (left + kx) / a.up;
    const T* from = input<T>(a, p);
    const M* f = static_cast<const M*>(a.f);
    M sum = 0;
    int64_t y = y0;
    for (int r = ky; r < a.kh; r += a.up, ++y) {
        if (y < 0 || y >= a.h) continue;
        int64_t x = x0;
        for (int k = kx; k < a.kw; k += a.up, ++x) {
            if (x < 0 || x >= a.w) continue;
            const int64_t tap = static_cast<int64_t>(r) * a.kw + k;
            const M weight = f[a.flip ? tap : static_cast<int64_t>(a.kh) * a.kw - 1 - tap];
            sum += weight * load<M>(from[y * a.x_stride[2] + x * a.x_stride[3]]);
        }
    }
    output<T>(a, p)[p.row * a.y_stride[2]] = static_cast<T>(sum);
}

unsigned blocks(const Upfirdn2d& a, int64_t rows, int v) {
    return static_cast<unsigned>((a.n * (a.c / v) * rows * a.out_w + kThreads - 1) / kThreads);
}

template <typename T, int V> void run_wide(const Upfirdn2d& a, cudaStream_t stream) {
    const bool four = a.kh == 4 && a.kw == 4;
    const int64_t tiles = (a.out_h + kRows - 1) / kRows;
    if (four && a.up == 1 && a.down == 1) {
        TOON_LAUNCH((tiled<T, 1, V>), blocks(a, tiles, V), kThreads, stream, a);
    } else if (four && a.up == 1 && a.down == 2) {
        TOON_LAUNCH((tiled<T, 2, V>), blocks(a, tiles, V), kThreads, stream, a);
    } else if (four && a.up == 2 && a.down == 1) {
        TOON_LAUNCH((phased<T, V>), blocks(a, a.out_h, V), kThreads, stream, a);
    } else {
        TOON_LAUNCH((any<T>), blocks(a, a.out_h, 1), kThreads, stream, a);
    }
}

template <typename T> void run(const Upfirdn2d& a, cudaStream_t stream) {
    // Two channels together where they lie together: 4 bytes of the 16-bit types, 8 of float32.
    constexpr int V = sizeof(T) <= 4 ? 2 : 1;
    const int bytes = V * sizeof(T);
    const bool pairs = a.channels_last && a.c % V == 0 && aligned(a.x, bytes) && aligned(a.y, bytes);
    if (pairs) {
        run_wide<T, V>(a, stream);
    } else {
        run_wide<T, 1>(a, stream);
    }
}

}  // namespace

extern "C" int toon_upfirdn2d(const Upfirdn2d* args, int dtype, void* stream) {
    const cudaStream_t s = static_cast<cudaStream_t>(stream);
    if (dtype == kFloat64) run<double>(*args, s);
    if (dtype == kFloat32) run<float>(*args, s);
    if (dtype == kFloat16) run<half_t>(*args, s);
    if (dtype == kBFloat16) run<bfloat_t>(*args, s);
    return cudaGetLastError();
}
