// The epilogue of a modulated convolution, and its gradient. See epilogue.h for the formula.
//
// A thread owns V channels of a few columns, and walks down kRows outputs of each; a filter reads through the L1
// cache. Columns of one thread lie a strip apart, so that neighbouring threads read neighbouring numbers in either
// layout. The gradient computes u anew; what it sums, each thread sums for its own pixels, so nothing is shared.

#include "epilogue.h"

namespace {

constexpr int kThreads = 128;
constexpr int kRows = 8;
constexpr int kColumns = 16;  // of a thread of the gradient; the other one has 1

template <typename M> struct Params { M d, shift, scale; };

__device__ __forceinline__ int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Where numbers of a picture [n, c, h, w] lie.
struct Layout {
    int64_t n, c, row, column;
    __device__ __forceinline__ Layout(const Epilogue& a, int64_t h, int64_t w)
        : n(a.c * h * w), c(a.channels_last ? 1 : h * w), row(a.channels_last ? w * a.c : w),
          column(a.channels_last ? a.c : 1) {}
};

struct Place { int64_t n, c, top, strip; };

template <int V> __device__ __forceinline__ bool find(const Epilogue& a, int64_t strips, Place& p) {
    int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
    const int64_t channels = a.c / V, tops = ceil_div(a.out_h, kRows);
    if (a.channels_last) {
        p.c = split(i, channels) * V;
        p.strip = split(i, strips);
        p.top = split(i, tops);
    } else {
        p.strip = split(i, strips);
        p.top = split(i, tops);
        p.c = split(i, channels) * V;
    }
    p.n = i;
    return i < a.n;
}

template <typename M> __device__ __forceinline__ M at(const void* from, int64_t i, M otherwise) {
    return from ? static_cast<const M*>(from)[i] : otherwise;
}

// Calls f(u, row) for the kRows rows of a column below p.top, as far as there are any.
// WINDOW: keep the inputs in registers; the gradient needs those for other things, and reads them again.
template <typename T, bool FILTER, int V, bool WINDOW, typename F>
__device__ __forceinline__ void walk(const Epilogue& a, const Place& p, int64_t column, F f) {
    using M = math_t<T>;
    const Layout in(a, a.h, a.w);
    const T* const x = static_cast<const T*>(a.x) + p.n * in.n + p.c * in.c;
    const int64_t first = p.top * kRows;
    if (!FILTER) {
        for (int t = 0; t < kRows && first + t < a.out_h; ++t) {
            M u[V];
            read<T, V>(u, x + (first + t) * in.row + column * in.column, true);
            f(u, first + t);
        }
        return;
    }
    if (!WINDOW) {
#pragma unroll 1
        for (int t = 0; t < kRows && first + t < a.out_h; ++t) {
            M u[V] = {};
#pragma unroll 1
            for (int r = 0; r < 4; ++r) {
                const int64_t y = first + t - a.pad + r, left = column - a.pad;
                const T* const from = x + y * in.row + left * in.column;
#pragma unroll
                for (int k = 0; k < 4; ++k) {
                    M value[V];
                    read<T, V>(value, from + k * in.column, y >= 0 && y < a.h && left + k >= 0 && left + k < a.w);
#pragma unroll
                    for (int v = 0; v < V; ++v) u[v] += static_cast<const M*>(a.taps)[15 - r * 4 - k] * value[v];
                }
            }
            f(u, first + t);
        }
        return;
    }
    if (!WINDOW) {
#pragma unroll 1
        for (int t = 0; t < kRows && first + t < a.out_h; ++t) {
            M u[V] = {};
#pragma unroll
            for (int k = 0; k < 16; ++k) {
                const int64_t y = first + t - a.pad + k / 4, z = column - a.pad + k % 4;
                M value[V];
                read<T, V>(value, x + y * in.row + z * in.column, y >= 0 && y < a.h && z >= 0 && z < a.w);
#pragma unroll
                for (int v = 0; v < V; ++v) u[v] += static_cast<const M*>(a.taps)[15 - k] * value[v];
            }
            f(u, first + t);
        }
        return;
    }
    M taps[16];
#pragma unroll
    for (int k = 0; k < 16; ++k) taps[k] = static_cast<const M*>(a.taps)[15 - k];
    const int64_t left = column - a.pad;
    int64_t row = first - a.pad;  // of the input: the next to be read
    M window[4][4][V];            // input row r lies in window[r % 4], counted from the first
#pragma unroll
    for (int r = 0; r < 3; ++r, ++row) {
#pragma unroll
        for (int k = 0; k < 4; ++k) {
            const bool inside = row >= 0 && row < a.h && left + k >= 0 && left + k < a.w;
            read<T, V>(window[r][k], x + row * in.row + (left + k) * in.column, inside);
        }
    }
#pragma unroll
    for (int t = 0; t < kRows; ++t, ++row) {
        if (first + t >= a.out_h) return;
#pragma unroll
        for (int k = 0; k < 4; ++k) {
            const bool inside = row >= 0 && row < a.h && left + k >= 0 && left + k < a.w;
            read<T, V>(window[(t + 3) % 4][k], x + row * in.row + (left + k) * in.column, inside);
        }
        M u[V] = {};
#pragma unroll
        for (int r = 0; r < 4; ++r) {
#pragma unroll
            for (int k = 0; k < 4; ++k) {
#pragma unroll
                for (int v = 0; v < V; ++v) u[v] += taps[r * 4 + k] * window[(t + r) % 4][k][v];
            }
        }
        f(u, first + t);
    }
}

// What V channels are multiplied with and moved by before the leaky ReLU; gain is in both.
template <typename M, int V> __device__ __forceinline__ void params(const Epilogue& a, const Place& p, Params<M> (&by)[V]) {
    const M gain = static_cast<M>(a.gain);
#pragma unroll
    for (int v = 0; v < V; ++v) {
        const int64_t channel = p.c + v, each = p.n * a.c + channel;
        by[v].d = at<M>(a.d, each, M(1));
        by[v].shift = at<M>(a.bias, channel, M(0)) * gain;
        by[v].scale = at<M>(a.scale, each, M(1));
    }
}

template <typename T, bool FILTER, int V>
__global__ void __launch_bounds__(kThreads) forward(Epilogue a) {
    using M = math_t<T>;
    Place p;
    if (!find<V>(a, a.out_w, p)) return;
    Params<M> by[V];
    params<M, V>(a, p, by);
    const M gain = static_cast<M>(a.gain), slope = static_cast<M>(a.slope), most = static_cast<M>(a.clamp);
    const M strength = at<M>(a.strength, 0, M(1)) * gain;
    const Layout out(a, a.out_h, a.out_w);
    T* const y = static_cast<T*>(a.y) + p.n * out.n + p.c * out.c + p.strip * out.column;
    walk<T, FILTER, V, true>(a, p, p.strip, [&](const M (&u)[V], int64_t row) {
        const M noise = at<M>(a.noise, p.n * a.noise_step + row * a.out_w + p.strip, M(0)) * strength;
        M to[V];
#pragma unroll
        for (int k = 0; k < V; ++k) {
            M v = u[k] * (by[k].d * gain) + (noise + by[k].shift);
            v = v > 0 ? v : v * slope;
            if (a.clamp >= 0) v = v > most ? most : (v < -most ? -most : v);
            to[k] = v * by[k].scale;
        }
        write<T, V>(y + row * out.row, to);
    });
}

template <typename T, bool FILTER, int V>
__global__ void __launch_bounds__(kThreads) backward(Epilogue a) {
    using M = math_t<T>;
    Place p;
    const int64_t strips = ceil_div(a.out_w, kColumns);
    if (!find<V>(a, strips, p)) return;
    Params<M> by[V];
    params<M, V>(a, p, by);
    const M gain = static_cast<M>(a.gain), slope = static_cast<M>(a.slope), most = static_cast<M>(a.clamp);
    const M strength = at<M>(a.strength, 0, M(1)) * gain;
    const Layout out(a, a.out_h, a.out_w);
    const int64_t start = p.n * out.n + p.c * out.c;
    M sums[4][V] = {};
    for (int64_t column = p.strip; column < a.out_w; column += strips) {
        walk<T, FILTER, V, false>(a, p, column, [&](const M (&u)[V], int64_t row) {
            const M drawn = at<M>(a.noise, p.n * a.noise_step + row * a.out_w + column, M(0));
            const int64_t place = start + row * out.row + column * out.column;
            M g[V], to[V];
            read<T, V>(g, static_cast<const T*>(a.dy) + place, true);
#pragma unroll
            for (int k = 0; k < V; ++k) {
                const M v = u[k] * (by[k].d * gain) + (drawn * strength + by[k].shift);
                M value = v > 0 ? v : v * slope;
                M dv = g[k] * by[k].scale * gain;
                dv = v > 0 ? dv : dv * slope;
                if (a.clamp >= 0 && (value > most || value < -most)) {
                    dv = M(0);
                    value = value > 0 ? most : -most;
                }
                sums[0][k] += dv * u[k];
                sums[1][k] += dv;
                sums[2][k] += dv * drawn;
                sums[3][k] += g[k] * value;
                to[k] = dv * by[k].d;
            }
            write<T, V>(static_cast<T*>(a.y) + place, to);
        });
    }
    M* const kept = static_cast<M*>(a.sums) + (p.n * a.tiles + p.top * strips + p.strip) * 4 * a.c + p.c;
#pragma unroll
    for (int s = 0; s < 4; ++s) {
#pragma unroll
        for (int k = 0; k < V; ++k) kept[s * a.c + k] = sums[s][k];
    }
}

unsigned blocks(const Epilogue& a, int v, int64_t strips) {
    const int64_t tops = (a.out_h + kRows - 1) / kRows;
    return static_cast<unsigned>((a.n * (a.c / v) * tops * strips + kThreads - 1) / kThreads);
}

template <typename T, bool FILTER, int V> void run_wide(const Epilogue& a, bool grad, cudaStream_t stream) {
    if (grad) {
        const int64_t strips = (a.out_w + kColumns - 1) / kColumns;
        TOON_LAUNCH((backward<T, FILTER, V>), blocks(a, V, strips), kThreads, stream, a);
    } else {
        TOON_LAUNCH((forward<T, FILTER, V>), blocks(a, V, a.out_w), kThreads, stream, a);
    }
}

template <typename T> void run(const Epilogue& a, bool grad, cudaStream_t stream) {
    constexpr int V = sizeof(T) <= 4 ? 2 : 1;  // as in upfirdn2d.cu
    const int bytes = V * sizeof(T);
    const bool pairs = a.channels_last && a.c % V == 0 && aligned(a.x, bytes) && aligned(a.y, bytes) &&
                       aligned(a.dy, bytes);
    if (a.taps) {
        pairs ? run_wide<T, true, V>(a, grad, stream) : run_wide<T, true, 1>(a, grad, stream);
    } else {
        pairs ? run_wide<T, false, V>(a, grad, stream) : run_wide<T, false, 1>(a, grad, stream);
    }
}

int run_any(const Epilogue& a, int dtype, bool grad, void* stream) {
    const cudaStream_t s = static_cast<cudaStream_t>(stream);
    if (dtype == kFloat64) run<double>(a, grad, s);
    if (dtype == kFloat32) run<float>(a, grad, s);
    if (dtype == kFloat16) run<half_t>(a, grad, s);
    if (dtype == kBFloat16) run<bfloat_t>(a, grad, s);
    return cudaGetLastError();
}

}  // namespace

extern "C" int toon_epilogue(const Epilogue* args, int dtype, void* stream) {
    return run_any(*args, dtype, false, stream);
}

extern "C" int toon_epilogue_grad(const Epilogue* args, int dtype, void* stream) {
    return run_any(*args, dtype, true, stream);
}

extern "C" int64_t toon_epilogue_tiles(int64_t out_h, int64_t out_w) {
    return ((out_h + kRows - 1) / kRows) * ((out_w + kColumns - 1) / kColumns);
}
