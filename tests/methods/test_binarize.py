import numpy as np
import pytest
import torch

from stylegan_toon.methods.binarize import Binarize, Config, local_mean, otsu, to_grey


def photo():
    rng = np.random.default_rng(0)
    dark, light = rng.normal(70, 15, (24, 20)), rng.normal(180, 25, (24, 20))
    grey = np.where(rng.random((24, 20)) < 0.4, dark, light).clip(0, 255).round()
    return torch.from_numpy(np.stack([grey] * 3)[None] / 127.5 - 1).float()


def by_variance(levels):
    """The threshold whose two classes have the least variance within them, by trying every one."""
    best, found = np.inf, 0
    for t in range(256):
        parts = [levels[levels <= t], levels[levels > t]]
        if min(map(len, parts)):
            within = sum(len(part) * part.var() for part in parts)
            if within < best - 1e-9:
                best, found = within, t
    return found


def test_otsu_leaves_the_least_variance_within_dark_and_light():
    grey = to_grey(photo())
    assert otsu(grey).tolist() == [by_variance(grey.numpy().ravel())]


def test_otsu_of_two_levels_lies_between_them_and_of_one_level_is_it():
    grey = torch.tensor([10.0, 10, 10, 200]).view(1, 1, 2, 2)
    assert otsu(grey).tolist() == [10]
    assert otsu(torch.full((1, 1, 4, 4), 77.0)).tolist() == [77]


def test_a_picture_becomes_black_and_white_alone_in_its_own_size():
    for way in ("otsu", "fixed", "adaptive"):
        out = Binarize(Config(way)).translate(photo())
        assert out.shape == (1, 3, 24, 20) and set(out.unique().tolist()) == {-1.0, 1.0}


def test_a_fixed_threshold_is_black_up_to_it():
    x = torch.tensor([126, 127, 128, 255]).view(1, 1, 2, 2).expand(1, 3, 2, 2) / 127.5 - 1
    assert Binarize(Config("fixed")).translate(x)[0, 0].flatten().tolist() == [-1, -1, 1, 1]
    assert Binarize(Config("fixed", 126)).translate(x)[0, 0].flatten().tolist() == [-1, 1, 1, 1]


def test_adaptive_follows_the_light():
    ramp = torch.linspace(-0.9, 0.9, 64).expand(1, 3, 64, 64).clone()
    ramp[..., 32, 8::16] -= 0.4  # dark spots, on dark ground and on light ground
    out = Binarize(Config("adaptive")).translate(ramp)
    assert (out[0, 0, 32, 8::16] == -1).all() and out[0, 0, :8].mean() == 1
    assert len(Binarize(Config("otsu")).translate(ramp)[0, 0, 32, 8::16].unique()) == 2


def test_a_setting_that_cannot_be_is_refused():
    for wrong in ({"way": "best"}, {"threshold": 256}, {"window": 0.0}):
        with pytest.raises(ValueError):
            Config(**wrong)


def test_thresholds_equal_scikit_image():
    filters = pytest.importorskip("skimage.filters")
    grey = to_grey(photo())
    plain = grey[0, 0].numpy().astype(np.uint8)
    assert otsu(grey).tolist() == [int(filters.threshold_otsu(plain))]
    wanted = filters.threshold_local(plain.astype(float), 7, method="mean", mode="nearest")
    np.testing.assert_allclose(local_mean(grey, 7)[0, 0], wanted, rtol=1e-5)
