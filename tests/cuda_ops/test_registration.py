"""torch.compile, torch.export and torch.library see through both operators, on the CPU too."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.library import opcheck
from torch.testing import assert_close

from cuda_ops import fused_bias_act, setup_filter, upfirdn2d

UPFIRDN = [
    (1, 1, 1, 1, 1, 1, False),
    (2, 1, 2, 1, 2, 1, False),
    (1, 2, 1, 1, 1, 1, True),
    (3, 2, -1, 4, 2, 0, False),
]


class Net(nn.Module):
    """Both operators in the uses of StyleGAN2, with a bias that learns."""

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.randn(4))
        self.register_buffer("fir", setup_filter())

    def forward(self, x):
        x = fused_bias_act(upfirdn2d(x, self.fir, pad=(2, 1)), self.bias)
        x = upfirdn2d(fused_bias_act(x, None, 0.1, 1.0), 4 * self.fir, up=2, pad=(2, 1))
        return upfirdn2d(x, self.fir, down=2, pad=(1, 1))


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("args", UPFIRDN, ids=str)
def test_upfirdn2d_passes_opcheck(args, memory):
    x = torch.randn(2, 3, 6, 7).contiguous(memory_format=memory).requires_grad_()
    opcheck(torch.ops.toon.upfirdn2d, (x, torch.randn(4, 3), *args))


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("with_bias", [True, False])
def test_bias_act_passes_opcheck(memory, with_bias):
    x = torch.randn(2, 3, 4, 5).contiguous(memory_format=memory).requires_grad_()
    bias = torch.randn(3, requires_grad=True)
    opcheck(torch.ops.toon.bias_act, (x, bias if with_bias else None, 0.2, 1.4))
    opcheck(torch.ops.toon.bias_act_grad, (torch.randn_like(x).requires_grad_(), x.detach(), 0.2, 1.4))


def test_opcheck_with_strided_pictures():
    x = torch.randn(4, 6, 8, 9)[::2, ::2, :, 1:].requires_grad_()
    opcheck(torch.ops.toon.upfirdn2d, (x, setup_filter(), 2, 1, 2, 1, 2, 1, False))
    opcheck(torch.ops.toon.bias_act, (x, None, 0.2, 1.4))


@pytest.mark.parametrize("args", UPFIRDN, ids=str)
def test_the_registered_upfirdn2d_has_gradients_of_both_orders(args):
    x = torch.randn(1, 2, 5, 4, dtype=torch.float64, requires_grad=True)
    inputs = (x, torch.randn(4, 3, dtype=torch.float64), *args)
    assert gradcheck(torch.ops.toon.upfirdn2d, inputs, fast_mode=True)
    assert gradgradcheck(torch.ops.toon.upfirdn2d, inputs, fast_mode=True)


@pytest.mark.parametrize("slope, gain", [(0.2, 1.4), (0.0, 1.0), (1.0, 0.5)])
def test_the_registered_bias_act_has_gradients_of_both_orders(slope, gain):
    x, bias = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in ((2, 3, 2, 2), (3,)))
    inputs = (x, bias, slope, gain)
    assert gradcheck(torch.ops.toon.bias_act, inputs, fast_mode=True)
    assert gradgradcheck(torch.ops.toon.bias_act, inputs, fast_mode=True)


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last], ids=str)
def test_compiled_without_a_break_it_equals_eager_forward_and_backward(memory):
    net, x = Net(), torch.randn(2, 4, 8, 8).contiguous(memory_format=memory).requires_grad_()
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    results = []
    for f in (net, compiled):
        y = f(x)
        results.append((y, *torch.autograd.grad(y.square().sum(), (x, net.bias))))
    assert_close(*results)


def test_compiled_for_sizes_that_change():
    net = Net()
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager", dynamic=True)
    for size in (8, 12, 10):
        x = torch.randn(2, 4, size, size + 2, requires_grad=True)
        assert_close(compiled(x), net(x))


def graph_targets(program):
    return {str(node.target) for node in program.graph.nodes if node.op == "call_function"}


@pytest.mark.parametrize("strict", [True, False])
def test_exported_it_holds_the_operators_and_runs(strict):
    net, x = Net(), torch.randn(2, 4, 8, 8)
    program = torch.export.export(net, (x,), strict=strict)
    assert {"toon.bias_act.default", "toon.upfirdn2d.default"} <= graph_targets(program)
    assert_close(program.module()(x), net(x))


def test_exported_under_toon_ops_reference_it_holds_plain_pytorch(monkeypatch):
    monkeypatch.setenv("TOON_OPS", "reference")
    net, x = Net(), torch.randn(2, 4, 8, 8)
    program = torch.export.export(net, (x,))
    assert all(target.startswith("aten.") for target in graph_targets(program))
    assert_close(program.module()(x), net(x))


def test_shapes_flow_through_without_data():
    x = torch.empty(2, 4, 8, 8, device="meta")
    net = Net().to("meta")
    assert net(x).shape == (2, 4, 8, 8)


def test_importing_compiles_nothing_and_needs_nothing_but_torch():
    code = (
        "import sys, torch; before = set(sys.modules); import cuda_ops; new = set(sys.modules) - before; "
        "print(sorted(m for m in new if m.split('.')[0] not in ('cuda_ops', 'torch') or 'cpp_ext' in m))"
    )
    paths = os.pathsep.join(p or "." for p in sys.path)
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": paths}
    )
    assert (out.returncode, out.stderr) == (0, "")
    assert "cpp_extension" not in out.stdout and "stylegan_toon" not in out.stdout
