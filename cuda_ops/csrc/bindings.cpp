// PyTorch tensors to the plain structs of the kernels. Python has checked shapes and made layouts agree; what is
// checked again here is what a kernel would otherwise turn into a wild read.

#include <ATen/ATen.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/csrc/utils/pybind.h>

#include "epilogue.h"
#include "fused_bias_act.h"
#include "upfirdn2d.h"

namespace {

int dtype_of(const at::Tensor& x) {
    switch (x.scalar_type()) {
        case at::kDouble: return kFloat64;
        case at::kFloat: return kFloat32;
        case at::kHalf: return kFloat16;
        case at::kBFloat16: return kBFloat16;
        default: TORCH_CHECK(false, "no kernel takes ", x.scalar_type());
    }
}

bool channels_last(const at::Tensor& x) {
    return x.dim() == 4 && !x.is_contiguous() && x.is_contiguous(at::MemoryFormat::ChannelsLast);
}

void* stream_of(const at::Tensor& x) {
    return c10::cuda::getCurrentCUDAStream(x.device().index()).stream();
}

void check(int error) {
    TORCH_CHECK(error == 0, "CUDA: ", cudaGetErrorString(static_cast<cudaError_t>(error)));
}

void check_beside(const at::Tensor& a, const at::Tensor& x) {
    TORCH_CHECK(a.device() == x.device(), "expected tensors on ", x.device(), ", got one on ", a.device());
}

at::Tensor bias_act(const at::Tensor& x, const std::optional<at::Tensor>& bias, double slope, double gain) {
    TORCH_CHECK(x.is_cuda() && (x.is_contiguous() || channels_last(x)), "expected dense CUDA pictures");
    const c10::cuda::CUDAGuard guard(x.device());
    at::Tensor y = at::empty_like(x), b;
    if (x.numel() == 0) return y;
    BiasAct args{y.data_ptr(), x.data_ptr(), nullptr, x.numel(), 1, 1, slope, gain};
    if (bias.has_value()) {
        check_beside(*bias, x);
        TORCH_CHECK(x.dim() > 1 && bias->numel() == x.size(1), "expected one bias for each channel");
        b = bias->to(x.scalar_type()).contiguous();
        args.other = b.data_ptr();
        args.channels = x.size(1);
        args.step = channels_last(x) ? 1 : x.numel() / (x.size(0) * x.size(1));
    }
    check(toon_bias_act(&args, dtype_of(x), stream_of(x)));
    return y;
}

at::Tensor bias_act_grad(const at::Tensor& dy, const at::Tensor& y, double slope, double gain) {
    TORCH_CHECK(y.is_cuda() && (y.is_contiguous() || channels_last(y)), "expected dense CUDA pictures");
    TORCH_CHECK(dy.sizes() == y.sizes() && dy.strides() == y.strides() && dy.scalar_type() == y.scalar_type(),
                "expected a gradient stored like the output");
    check_beside(dy, y);
    const c10::cuda::CUDAGuard guard(y.device());
    at::Tensor dx = at::empty_like(y);
    if (y.numel() == 0) return dx;
    const BiasAct args{dx.data_ptr(), dy.data_ptr(), y.data_ptr(), y.numel(), 1, 1, slope, gain};
    check(toon_bias_act_grad(&args, dtype_of(y), stream_of(y)));
    return dx;
}

at::Tensor upfirdn2d(const at::Tensor& x, const at::Tensor& f, int64_t up, int64_t down, int64_t x0, int64_t x1,
                     int64_t y0, int64_t y1, bool flip) {
    TORCH_CHECK(x.is_cuda() && x.dim() == 4 && f.dim() == 2 && f.is_contiguous(), "expected CUDA pictures and a filter");
    TORCH_CHECK(f.scalar_type() == (x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat), "filter of wrong type");
    check_beside(f, x);
    const int64_t h = (x.size(2) * up + y0 + y1 - f.size(0)) / down + 1;
    const int64_t w = (x.size(3) * up + x0 + x1 - f.size(1)) / down + 1;
    TORCH_CHECK(up > 0 && down > 0 && h > 0 && w > 0, "the filter does not fit");
    const c10::cuda::CUDAGuard guard(x.device());
    const bool last = channels_last(x);
    at::Tensor y = at::empty({x.size(0), x.size(1), h, w},
                             x.options().memory_format(last ? at::MemoryFormat::ChannelsLast
                                                            : at::MemoryFormat::Contiguous));
    if (y.numel() == 0) return y;
    Upfirdn2d args{y.data_ptr(), x.data_ptr(), f.data_ptr(), x.size(0), x.size(1), x.size(2), x.size(3), h, w,
                   {}, {}, static_cast<int>(f.size(0)), static_cast<int>(f.size(1)), static_cast<int>(up),
                   static_cast<int>(down), x0, y0, flip, last};
    for (int k = 0; k < 4; ++k) {
        args.x_stride[k] = x.stride(k);
        args.y_stride[k] = y.stride(k);
    }
    check(toon_upfirdn2d(&args, dtype_of(x), stream_of(x)));
    return y;
}

using Maybe = std::optional<at::Tensor>;

// What both directions of the epilogue share; kept holds what args points to.
Epilogue epilogue_args(const at::Tensor& x, const Maybe& d, const Maybe& noise, const Maybe& strength,
                       const Maybe& bias, const Maybe& scale, const Maybe& f, int64_t pad, double slope,
                       double gain, double clamp, std::vector<at::Tensor>& kept) {
    TORCH_CHECK(x.is_cuda() && x.dim() == 4 && (x.is_contiguous() || channels_last(x)), "expected dense CUDA pictures");
    const auto real = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    const auto pointer = [&](const Maybe& given) -> const void* {
        if (!given.has_value()) return nullptr;
        check_beside(*given, x);
        kept.push_back(given->to(real).contiguous());
        return kept.back().data_ptr();
    };
    const int64_t n = x.size(0), c = x.size(1), trim = f.has_value() ? 2 * pad - 3 : 0;
    const int64_t h = x.size(2) + trim, w = x.size(3) + trim;
    TORCH_CHECK(h > 0 && w > 0 && (!f.has_value() || (f->size(0) == 4 && f->size(1) == 4)), "the filter does not fit");
    TORCH_CHECK(!d.has_value() || d->numel() == n * c, "expected d for each channel of each picture");
    TORCH_CHECK(!scale.has_value() || scale->numel() == n * c, "expected a scale for each channel of each picture");
    TORCH_CHECK(!bias.has_value() || bias->numel() == c, "expected one bias for each channel");
    TORCH_CHECK(!strength.has_value() || strength->numel() == 1, "expected one noise strength");
    TORCH_CHECK(!noise.has_value() || noise->numel() == h * w || noise->numel() == n * h * w, "noise of wrong size");
    Epilogue args{};
    args.x = x.data_ptr();
    args.taps = pointer(f);
    args.d = pointer(d);
    args.noise = pointer(noise);
    args.strength = pointer(strength);
    args.bias = pointer(bias);
    args.scale = pointer(scale);
    args.n = n, args.c = c, args.h = x.size(2), args.w = x.size(3), args.out_h = h, args.out_w = w;
    args.pad = pad;
    args.noise_step = noise.has_value() && noise->size(0) > 1 ? h * w : 0;
    args.tiles = toon_epilogue_tiles(h, w);
    args.slope = slope, args.gain = gain, args.clamp = clamp;
    args.channels_last = channels_last(x);
    return args;
}

at::Tensor epilogue(const at::Tensor& x, const Maybe& d, const Maybe& noise, const Maybe& strength, const Maybe& bias,
                    const Maybe& scale, const Maybe& f, int64_t pad, double slope, double gain, double clamp) {
    std::vector<at::Tensor> kept;
    Epilogue args = epilogue_args(x, d, noise, strength, bias, scale, f, pad, slope, gain, clamp, kept);
    const c10::cuda::CUDAGuard guard(x.device());
    at::Tensor y = at::empty({args.n, args.c, args.out_h, args.out_w},
                             x.options().memory_format(args.channels_last ? at::MemoryFormat::ChannelsLast
                                                                          : at::MemoryFormat::Contiguous));
    if (y.numel() == 0) return y;
    args.y = y.data_ptr();
    check(toon_epilogue(&args, dtype_of(x), stream_of(x)));
    return y;
}

std::tuple<at::Tensor, at::Tensor> epilogue_grad(const at::Tensor& dy, const at::Tensor& x, const Maybe& d,
                                                 const Maybe& noise, const Maybe& strength, const Maybe& bias,
                                                 const Maybe& scale, const Maybe& f, int64_t pad, double slope,
                                                 double gain, double clamp) {
    std::vector<at::Tensor> kept;
    Epilogue args = epilogue_args(x, d, noise, strength, bias, scale, f, pad, slope, gain, clamp, kept);
    check_beside(dy, x);
    TORCH_CHECK(dy.scalar_type() == x.scalar_type() && dy.numel() == args.n * args.c * args.out_h * args.out_w &&
                    (args.channels_last ? dy.is_contiguous(at::MemoryFormat::ChannelsLast) : dy.is_contiguous()),
                "expected a gradient stored like the picture");
    const c10::cuda::CUDAGuard guard(x.device());
    at::Tensor du = at::empty_like(dy);
    at::Tensor sums = at::empty({args.n, args.tiles, 4, args.c},
                                x.options().dtype(x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat));
    if (du.numel() == 0) return {du, sums.zero_().sum(1)};
    args.y = du.data_ptr();
    args.dy = dy.data_ptr();
    args.sums = sums.data_ptr();
    check(toon_epilogue_grad(&args, dtype_of(x), stream_of(x)));
    return {du, sums.sum(1)};
}

}  // namespace

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
    m.def("bias_act", &bias_act);
    m.def("bias_act_grad", &bias_act_grad);
    m.def("epilogue", &epilogue);
    m.def("epilogue_grad", &epilogue_grad);
    m.def("upfirdn2d", &upfirdn2d);
}
