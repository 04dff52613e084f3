// The operators on a processor. Pictures lie in memory as [n, h, w, c], so that a row is one run of numbers: a FIR
// of 4x4 taps that is a product adds up four rows, and then the sum with itself one, two and three pixels on. The
// compiler makes vectors of both. Rows share nothing and sums have fixed parts, so threads change no bit.
//
// Nothing here includes a PyTorch header, and it is called through ctypes: it compiles in seconds.

#define __device__
#define __forceinline__ inline
#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <vector>

#include "epilogue.h"
#include "fused_bias_act.h"
#include "upfirdn2d.h"

namespace {

struct bfloat_t {
    uint16_t bits;
    bfloat_t() = default;
    explicit bfloat_t(float value) {  // to the nearest, to even where two are as near; NaN stays NaN
        uint32_t all;
        std::memcpy(&all, &value, 4);
        const uint32_t rounded = (all + 0x7fff + ((all >> 16) & 1)) >> 16;
        bits = static_cast<uint16_t>(value == value ? rounded : 0x7fc0);
    }
    explicit operator float() const {
        const uint32_t all = static_cast<uint32_t>(bits) << 16;
        float value;
        std::memcpy(&value, &all, 4);
        return value;
    }
};

// As many numbers as 64 bytes hold. The compiler makes of them what the processor has.
template <typename M> struct Lanes {
    static constexpr int count = 64 / sizeof(M);
    typedef M type __attribute__((vector_size(64)));
};
template <typename M> using lanes_t = typename Lanes<M>::type;

template <typename M> inline lanes_t<M> read(const M* from, int64_t many) {
    lanes_t<M> v{};
    if (many >= Lanes<M>::count) {
        std::memcpy(&v, from, 64);
    } else {
        std::memcpy(&v, from, many * sizeof(M));
    }
    return v;
}

inline lanes_t<float> read(const bfloat_t* from, int64_t many) {
    typedef uint16_t half __attribute__((vector_size(32)));
    typedef uint32_t whole __attribute__((vector_size(64)));
    half v{};
    if (many >= 16) {
        std::memcpy(&v, from, 32);
    } else {
        std::memcpy(&v, from, many * 2);
    }
    return (lanes_t<float>)(__builtin_convertvector(v, whole) << 16);
}

template <typename M> inline void write(M* to, lanes_t<M> v, int64_t many) {
    if (many >= Lanes<M>::count) {
        std::memcpy(to, &v, 64);
    } else {
        std::memcpy(to, &v, many * sizeof(M));
    }
}

inline void write(bfloat_t* to, lanes_t<float> v, int64_t many) {
    for (int64_t k = 0; k < std::min<int64_t>(many, 16); ++k) to[k] = bfloat_t(v[k]);
}

// The 4x4 filter as a column and a row, in the order in which they meet the pixels.
template <typename M> struct Taps { M down[4], across[4]; };

struct Shape { int64_t c, h, w, out_h, out_w, pad_x, pad_y; };

// One row of FIR(x) with up 1: across[out_w * c]. space: [(w + margins) * c].
template <int DOWN, typename T, typename M>
void fir_row(const Shape& s, const Taps<M>& f, const T* x, int64_t row, M* __restrict space, M* __restrict to) {
    const int64_t c = s.c, wide = s.w * c;
    const int64_t left = std::max<int64_t>(s.pad_x, 0), need = (s.out_w - 1) * DOWN + 4;
    const int64_t skip = std::max<int64_t>(-s.pad_x, 0);  // a negative padding leaves pixels out
    const int64_t real = std::min(s.w - skip, need - left);
    std::fill(space, space + left * c, M(0));
    std::fill(space + (left + real) * c, space + need * c, M(0));
    M* const mid = space + left * c;
    const int64_t many = real * c, first = row * DOWN - s.pad_y;
    bool begun = false;
    if (first >= 0 && first + 4 <= s.h) {
        const T* const __restrict p = x + first * wide + skip * c;
        const M a = f.down[0], b = f.down[1], g = f.down[2], e = f.down[3];
        for (int64_t i = 0; i < many; ++i) {
            mid[i] = a * M(p[i]) + b * M(p[i + wide]) + g * M(p[i + 2 * wide]) + e * M(p[i + 3 * wide]);
        }
        begun = true;
    } else {
        for (int r = 0; r < 4; ++r) {
            if (first + r < 0 || first + r >= s.h) continue;
            const T* const p = x + (first + r) * wide + skip * c;
            const M tap = f.down[r];
            for (int64_t i = 0; i < many; ++i) mid[i] = (begun ? mid[i] : M(0)) + tap * M(p[i]);
            begun = true;
        }
    }
    if (!begun) std::fill(mid, mid + many, M(0));
    const M a = f.across[0], b = f.across[1], g = f.across[2], e = f.across[3];
    if (DOWN == 1) {
        const M* const p = space;
        const int64_t all = s.out_w * c;
        for (int64_t i = 0; i < all; ++i) to[i] = a * p[i] + b * p[i + c] + g * p[i + 2 * c] + e * p[i + 3 * c];
    } else {
        for (int64_t o = 0; o < s.out_w; ++o) {
            const M* const p = space + o * DOWN * c;
            M* const q = to + o * c;
            for (int64_t i = 0; i < c; ++i) q[i] = a * p[i] + b * p[i + c] + g * p[i + 2 * c] + e * p[i + 3 * c];
        }
    }
}

// One row with up 2: of the taps two meet real pixels, in either direction.
template <typename T, typename M>
void fir_row_up(const Shape& s, const Taps<M>& f, const T* x, int64_t row, M* __restrict space, M* __restrict to) {
    const int64_t c = s.c, wide = s.w * c, top = row - s.pad_y;
    const int even = static_cast<int>(top & 1);
    const int64_t y = (top + even) >> 1;
    M* const mid = space + 2 * c;  // a margin of two pixels on both sides
    std::fill(space, mid, M(0));
    std::fill(mid + wide, mid + wide + 2 * c, M(0));
    const bool first = y >= 0 && y < s.h, second = y + 1 >= 0 && y + 1 < s.h;
    const T* const p = x + (first ? y : 0) * wide;
    const T* const q = x + (second ? y + 1 : 0) * wide;
    const M a = first ? f.down[even] : M(0), b = second ? f.down[even + 2] : M(0);
    for (int64_t i = 0; i < wide; ++i) mid[i] = a * M(p[i]) + b * M(q[i]);
    for (int64_t o = 0; o < s.out_w; ++o) {
        const int64_t start = o - s.pad_x;
        const int odd = static_cast<int>(start & 1);
        const int64_t at = (start + odd) >> 1;
        M* const out = to + o * c;
        if (at < -2 || at > s.w) {
            std::fill(out, out + c, M(0));
            continue;
        }
        const M* const from = mid + at * c;
        const M k = f.across[odd], l = f.across[odd + 2];
        for (int64_t i = 0; i < c; ++i) out[i] = k * from[i] + l * from[i + c];
    }
}

template <typename T, typename M> void upfirdn2d(const Upfirdn2d& a, const Taps<M>& f, int threads) {
    const Shape s{a.c, a.h, a.w, a.out_h, a.out_w, a.pad_x, a.pad_y};
    const int64_t in = a.h * a.w * a.c, row_size = a.out_w * a.c, all = a.n * a.out_h;
    const int64_t space = (std::max(a.w, (a.out_w - 1) * a.down + 4) + 8 + std::max<int64_t>(a.pad_x, 0)) * a.c;
#pragma omp parallel num_threads(threads)
    {
        std::vector<M> work(static_cast<size_t>(space)), line(static_cast<size_t>(row_size));
#pragma omp for schedule(static)
        for (int64_t i = 0; i < all; ++i) {
            const T* const x = static_cast<const T*>(a.x) + i / a.out_h * in;
            const int64_t row = i % a.out_h;
            T* const y = static_cast<T*>(a.y) + i * row_size;
            M* to = line.data();
            if constexpr (std::is_same_v<T, M>) to = y;
            if (a.up == 2) {
                fir_row_up(s, f, x, row, work.data(), to);
            } else if (a.down == 2) {
                fir_row<2>(s, f, x, row, work.data(), to);
            } else {
                fir_row<1>(s, f, x, row, work.data(), to);
            }
            if constexpr (!std::is_same_v<T, M>) {
                for (int64_t k = 0; k < row_size; ++k) y[k] = static_cast<T>(line[k]);
            }
        }
    }
}

// The row of u: filtered, or only converted.
template <typename T, typename M>
void before(const Epilogue& a, const Shape& s, const Taps<M>& f, int64_t sample, int64_t row, M* __restrict space, M* __restrict u) {
    const T* const x = static_cast<const T*>(a.x) + sample * a.h * a.w * a.c;
    if (a.taps) {
        fir_row<1>(s, f, x, row, space, u);
    } else {
        const T* const p = x + row * a.w * a.c;
        for (int64_t k = 0; k < a.w * a.c; ++k) u[k] = M(p[k]);
    }
}

// What is multiplied and added before the leaky ReLU; gain is in both, as it may go in front.
template <typename M> struct Channels {
    std::vector<M> factor, shift, scale;
    explicit Channels(int64_t c) : factor(c), shift(c), scale(c) {}
    void of(const Epilogue& a, int64_t sample) {
        const M gain = static_cast<M>(a.gain);
        const M* const d = static_cast<const M*>(a.d);
        const M* const bias = static_cast<const M*>(a.bias);
        const M* const by = static_cast<const M*>(a.scale);
        for (int64_t i = 0; i < a.c; ++i) {
            factor[i] = d ? d[sample * a.c + i] * gain : gain;
            shift[i] = bias ? bias[i] * gain : M(0);
            scale[i] = by ? by[sample * a.c + i] : M(1);
        }
    }
};

template <typename M> Taps<M> taps_of(const void* given) {
    Taps<M> f{};
    if (given) std::memcpy(&f, given, sizeof f);
    return f;
}

template <typename M> size_t space_of(const Epilogue& a) {
    return static_cast<size_t>((std::max(a.w, a.out_w + 3) + 8 + std::max<int64_t>(a.pad, 0)) * a.c);
}

// Over a row in pieces that the nearest cache holds; of each, channel by channel as many as a vector has.
template <typename M> struct Walk {
    const int64_t c, w, step;
    int64_t first = 0, last, k = 0;
    explicit Walk(const Epilogue& a)
        : c(a.c), w(a.out_w), step(std::max<int64_t>(8, 2048 / a.c)), last(std::min(step, w)) {}
    bool inside() const { return first < w; }
    void next() {
        k += Lanes<M>::count;
        if (k < c) return;
        k = 0;
        first = last;
        last = std::min(first + step, w);
    }
};

template <typename M> const M* noise_of(const Epilogue& a, int64_t sample, int64_t row) {
    const M* const noise = static_cast<const M*>(a.noise);
    return noise ? noise + sample * a.noise_step + row * a.out_w : nullptr;
}

template <typename M> M strength_of(const Epilogue& a) {
    return a.strength ? *static_cast<const M*>(a.strength) : M(1);
}

template <typename T, typename M> void forward(const Epilogue& a) {
    const Shape s{a.c, a.h, a.w, a.out_h, a.out_w, a.pad, a.pad};
    const Taps<M> f = taps_of<M>(a.taps);
    const int64_t c = a.c, row_size = a.out_w * c, all = a.n * a.out_h;
    const M slope = static_cast<M>(a.slope), most = a.clamp < 0 ? HUGE_VAL : static_cast<M>(a.clamp);
    const M strength = strength_of<M>(a) * static_cast<M>(a.gain);
#pragma omp parallel num_threads(a.threads)
    {
        std::vector<M> work(space_of<M>(a)), line(static_cast<size_t>(row_size));
        Channels<M> by(c);
        int64_t known = -1;
#pragma omp for schedule(static)
        for (int64_t i = 0; i < all; ++i) {
            const int64_t sample = i / a.out_h, row = i % a.out_h;
            if (sample != known) by.of(a, known = sample);
            before<T>(a, s, f, sample, row, work.data(), line.data());
            const M* const noise = noise_of<M>(a, sample, row);
            for (Walk<M> at(a); at.inside(); at.next()) {
                const int64_t k = at.k, many = c - k;
                const lanes_t<M> factor = read(&by.factor[k], many), shift = read(&by.shift[k], many);
                const lanes_t<M> scale = read(&by.scale[k], many);
                const M* u = line.data() + at.first * c + k;
                T* y = static_cast<T*>(a.y) + i * row_size + at.first * c + k;
                for (int64_t o = at.first; o < at.last; ++o, u += c, y += c) {
                    const lanes_t<M> v = read(u, many) * factor + (shift + (noise ? noise[o] * strength : M(0)));
                    lanes_t<M> out = v > 0 ? v : v * slope;
                    out = out > most ? (lanes_t<M>{} + most) : (out < -most ? (lanes_t<M>{} - most) : out);
                    write(y, out * scale, many);
                }
            }
        }
    }
}

template <typename T, typename M> void backward(const Epilogue& a) {
    const Shape s{a.c, a.h, a.w, a.out_h, a.out_w, a.pad, a.pad};
    const Taps<M> f = taps_of<M>(a.taps);
    const int64_t c = a.c, row_size = a.out_w * c;
    const M slope = static_cast<M>(a.slope), gain = static_cast<M>(a.gain);
    const M most = a.clamp < 0 ? HUGE_VAL : static_cast<M>(a.clamp), strength = strength_of<M>(a) * gain;
#pragma omp parallel num_threads(a.threads)
    {
        std::vector<M> work(space_of<M>(a)), line(static_cast<size_t>(row_size));
        std::vector<M> back(static_cast<size_t>(c), M(1));
        Channels<M> by(c);
#pragma omp for schedule(static)
        for (int64_t part = 0; part < a.n * a.tiles; ++part) {
            const int64_t sample = part / a.tiles, tile = part % a.tiles;
            by.of(a, sample);
            if (a.d) std::copy_n(static_cast<const M*>(a.d) + sample * c, c, back.data());
            M* const sums = static_cast<M*>(a.sums) + part * 4 * c;
            std::fill(sums, sums + 4 * c, M(0));
            for (int64_t row = a.out_h * tile / a.tiles; row < a.out_h * (tile + 1) / a.tiles; ++row) {
                before<T>(a, s, f, sample, row, work.data(), line.data());
                const M* const noise = noise_of<M>(a, sample, row);
                const int64_t pixel = (sample * a.out_h + row) * a.out_w;
                for (Walk<M> at(a); at.inside(); at.next()) {
                    const int64_t k = at.k, many = c - k;
                    const lanes_t<M> factor = read(&by.factor[k], many), shift = read(&by.shift[k], many);
                    const lanes_t<M> scale = read(&by.scale[k], many), to = read(&back[k], many);
                    lanes_t<M> sum_u = read(sums + k, many), sum_v = read(sums + c + k, many);
                    lanes_t<M> sum_noise = read(sums + 2 * c + k, many), sum_a = read(sums + 3 * c + k, many);
                    const M* u = line.data() + at.first * c + k;
                    const T* dy = static_cast<const T*>(a.dy) + (pixel + at.first) * c + k;
                    T* du = static_cast<T*>(a.y) + (pixel + at.first) * c + k;
                    for (int64_t o = at.first; o < at.last; ++o, u += c, dy += c, du += c) {
                        const lanes_t<M> x = read(u, many), g = read(dy, many);
                        const M drawn = noise ? noise[o] : M(0);
                        const lanes_t<M> v = x * factor + (shift + drawn * strength);
                        const lanes_t<M> out = v > 0 ? v : v * slope;
                        lanes_t<M> dv = g * scale * gain;
                        dv = v > 0 ? dv : dv * slope;
                        if (a.clamp >= 0) dv = out > most || out < -most ? lanes_t<M>{} : dv;
                        sum_u += dv * x;
                        sum_v += dv;
                        sum_noise += dv * drawn;
                        if (a.scale) {
                            sum_a += g * (out > most ? (lanes_t<M>{} + most)
                                                     : (out < -most ? (lanes_t<M>{} - most) : out));
                        }
                        write(du, dv * to, many);
                    }
                    write(sums + k, sum_u, many);
                    write(sums + c + k, sum_v, many);
                    write(sums + 2 * c + k, sum_noise, many);
                    write(sums + 3 * c + k, sum_a, many);
                }
            }
        }
    }
}

template <typename T, typename M> void bias_act(const BiasAct& a, int threads) {
    const M slope = static_cast<M>(a.slope), gain = static_cast<M>(a.gain);
    const T* const bias = static_cast<const T*>(a.other);
    const int64_t c = a.channels, rows = a.size / c;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t i = 0; i < rows; ++i) {
        const T* const x = static_cast<const T*>(a.x) + i * c;
        T* const y = static_cast<T*>(a.y) + i * c;
        for (int64_t k = 0; k < c; ++k) {
            const M v = (M(x[k]) + (bias ? M(bias[k]) : M(0))) * gain;
            y[k] = static_cast<T>(v > 0 ? v : v * slope);
        }
    }
}

template <typename T, typename M> void bias_act_grad(const BiasAct& a, int threads) {
    const M gain = static_cast<M>(a.gain), low = static_cast<M>(a.gain * a.slope);
    const T *const dy = static_cast<const T*>(a.x), *const y = static_cast<const T*>(a.other);
    T* const dx = static_cast<T*>(a.y);
#pragma omp parallel for simd num_threads(threads) schedule(static)
    for (int64_t i = 0; i < a.size; ++i) dx[i] = static_cast<T>(M(dy[i]) * (M(y[i]) > 0 ? gain : low));
}

}  // namespace

// Each returns 0, or 1 for a type that it does not take. The last argument counts threads.
#define TOON_EACH(dtype, call)                                  \
    switch (dtype) {                                            \
        case kFloat64: call(double, double); return 0;          \
        case kFloat32: call(float, float); return 0;            \
        case kBFloat16: call(bfloat_t, float); return 0;        \
        default: return 1;                                      \
    }

extern "C" int toon_cpu_epilogue(const Epilogue* a, int dtype) {
#define TOON_CALL(T, M) forward<T, M>(*a)
    TOON_EACH(dtype, TOON_CALL)
#undef TOON_CALL
}

extern "C" int toon_cpu_epilogue_grad(const Epilogue* a, int dtype) {
#define TOON_CALL(T, M) backward<T, M>(*a)
    TOON_EACH(dtype, TOON_CALL)
#undef TOON_CALL
}

// f holds 4 taps down and 4 across, in the order in which they meet the pixels; 4x4 taps, up or down 2 or neither.
extern "C" int toon_cpu_upfirdn2d(const Upfirdn2d* a, int dtype, int threads) {
#define TOON_CALL(T, M) upfirdn2d<T, M>(*a, taps_of<M>(a->f), threads)
    TOON_EACH(dtype, TOON_CALL)
#undef TOON_CALL
}

extern "C" int toon_cpu_bias_act(const BiasAct* a, int dtype, int threads) {
#define TOON_CALL(T, M) bias_act<T, M>(*a, threads)
    TOON_EACH(dtype, TOON_CALL)
#undef TOON_CALL
}

extern "C" int toon_cpu_bias_act_grad(const BiasAct* a, int dtype, int threads) {
#define TOON_CALL(T, M) bias_act_grad<T, M>(*a, threads)
    TOON_EACH(dtype, TOON_CALL)
#undef TOON_CALL
}
