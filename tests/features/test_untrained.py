import numpy as np
import pytest
import torch

from stylegan_toon.features.untrained import Config, Untrained

FIRST = [-19030, -9522, 25413, -5837, -20076, -21392, 14715, -9134, -31608]
TOTAL = -225157


def test_weights_are_the_same_everywhere():
    weight = Untrained().get_buffer("weight0")
    bound = (3 * 2 / 1.04 / 27) ** 0.5
    found = (weight / bound * 2**15).round().long()
    assert found[0, 0].flatten().tolist() == FIRST
    assert int(found.sum()) == TOTAL
    assert float(weight.abs().max()) <= bound


def test_features_of_a_tiny_net_equal_a_plain_loop_in_float64():
    net = Untrained(Config(widths=(2,), cells=1))
    x = torch.rand(1, 3, 4, 4) * 2 - 1
    weight = net.get_buffer("weight0").double().numpy()
    padded = np.pad(x[0].double().numpy(), ((0, 0), (1, 1), (1, 1)), "reflect")
    y = np.zeros((2, 4, 4))
    for c, i, j in np.ndindex(y.shape):
        y[c, i, j] = (weight[c] * padded[:, i : i + 3, j : j + 3]).sum()
    y = np.where(y > 0, y, 0.2 * y)
    wanted = [*y.mean((1, 2)), *np.sqrt(y.var((1, 2)) + 1e-6)]
    np.testing.assert_allclose(net(x)[0].numpy(), wanted, rtol=1e-4, atol=1e-6)


def test_signals_keep_their_size_through_the_depths():
    deviations = Untrained()(torch.randn(4, 3, 64, 64).clamp(-1, 1)).reshape(4, -1)
    assert deviations.shape == (4, 1024)
    assert 0.01 < float(deviations.abs().median()) < 2


def test_a_picture_is_judged_the_same_in_any_batch_and_has_a_gradient():
    net, x = Untrained(), (torch.rand(3, 3, 64, 64) * 2 - 1).requires_grad_()
    torch.testing.assert_close(net(x)[1:2], net(x[1:2]), atol=1e-5, rtol=1e-5)
    net(x).sum().backward()
    assert x.grad is not None and bool(torch.isfinite(x.grad).all()) and x.grad.abs().sum() > 0


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 1, 64, 64), (1, 3, 16, 64)], ids=str)
def test_wrong_shapes_are_named(shape):
    with pytest.raises(ValueError, match="from 32 px up"):
        Untrained()(torch.zeros(shape))
