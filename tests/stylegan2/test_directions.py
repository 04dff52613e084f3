"""SeFa against NumPy's singular values, the support vector machine against SciPy and by hand."""

import numpy as np
import pytest
import torch

from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.directions import held_out_accuracy, mean_difference, sefa, svm_normal
from stylegan_toon.stylegan2.generator import Generator

NETWORK = Config(16, (6, 5, 4), 8, 8, 2)


def test_sefa_gives_the_right_singular_vectors_of_the_stacked_affine_layers():
    g = Generator(NETWORK)
    state = {name: value.double().numpy() for name, value in g.state_dict().items()}
    names = {0: "0.conv1", 1: "1.conv0", 2: "1.conv1", 3: "2.conv0", 4: "2.conv1", 5: "2.to_rgb"}
    for layers in ([0, 1, 2, 3], [3], [5], [0, 1, 2, 3, 4, 5]):
        used = [names[layer] for layer in layers if layer != 5 or layers == [5]]
        stacked = np.concatenate([state[f"synthesis.blocks.{n}.conv.affine.weight"] for n in used])
        strongest = np.linalg.svd(stacked)[2][:3]
        found = sefa(g, layers, 3).numpy()
        np.testing.assert_allclose(np.abs((found * strongest).sum(1)), 1, atol=1e-9)
        np.testing.assert_allclose(found @ found.T, np.eye(3), atol=1e-12)
        assert all(row[np.abs(row).argmax()] > 0 for row in found)
    for layers, count in (([], 1), ([0], 0), ([0], 9)):
        with pytest.raises(ValueError, match="expected layers"):
            sefa(g, layers, count)


def test_the_plane_between_two_points_is_worked_by_hand():
    a, b = torch.tensor([[3.0, 4.0]]), torch.tensor([[-1.0, 4.0]])
    torch.testing.assert_close(svm_normal(a, b), torch.tensor([4.0, 0.0], dtype=torch.float64))


def test_a_plane_leans_on_the_points_that_are_near_it_and_a_mean_on_all():
    """Far points do not turn the plane: x = +-1 tells the kinds apart, while y goes along in the far ones."""
    a = torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, -1.0], [9.0, 9.0]])
    normal, mean = svm_normal(a, -a, c=1e4), mean_difference(a, -a)
    assert abs(float(normal[1] / normal[0])) < 0.05 and float(mean[1] / mean[0]) == 0.75


def test_the_normal_is_scipys():
    optimize = pytest.importorskip("scipy.optimize")
    draw = np.random.default_rng(0)
    a, b = draw.normal(0.4, 1, (30, 5)), draw.normal(-0.2, 1, (12, 5))
    x = np.concatenate([a, b]) - np.concatenate([a, b]).mean(0)
    x /= np.sqrt((x**2).sum(1).mean())
    y = np.repeat([1.0, -1.0], [30, 12])
    share = np.repeat([42 / 60, 42 / 24], [30, 12])

    def loss(p):
        return p[:5] @ p[:5] / 2 + (share * np.maximum(0, 1 - y * (x @ p[:5] + p[5])) ** 2).sum()

    wanted = optimize.minimize(loss, np.zeros(6), tol=1e-14).x[:5]
    wanted /= np.linalg.norm(wanted)
    found = svm_normal(torch.tensor(a), torch.tensor(b)).numpy()
    np.testing.assert_allclose(found / np.linalg.norm(found), wanted, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found), (a.mean(0) - b.mean(0)) @ wanted, rtol=1e-5)


@pytest.mark.parametrize("how", ["mean", "svm"])
def test_accuracy_is_of_codes_that_were_held_out(how):
    noise = torch.randn(40, 60)  # more numbers than codes: what was seen could always be told apart
    assert 0.2 < held_out_accuracy(noise[:20], noise[20:], how) < 0.8
    shift = torch.eye(60)[0] * 8
    assert held_out_accuracy(noise[:20] + shift, noise[20:], how) > 0.95
