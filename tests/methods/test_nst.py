"""Style transfer on a small VGG of random weights: its loss in NumPy, and what optimising does."""

import numpy as np
import pytest
import torch

from stylegan_toon.features import vgg
from stylegan_toon.losses.style import gram
from stylegan_toon.methods.nst import CONTENT, NST, STYLE, Config


@pytest.fixture
def maps():
    torch.manual_seed(1)
    net = vgg.Vgg(vgg.Config(widths=(4, 5, 6, 7, 8)))
    for conv in net.convs.values():
        torch.nn.init.kaiming_normal_(conv.weight)
    return net.eval().requires_grad_(False)


def pictures(*shapes):
    return [torch.rand(1, 3, *shape) * 2 - 1 for shape in shapes]


def test_the_loss_is_that_of_the_paper_in_numpy(maps):
    made, photo, style = pictures((32, 48), (32, 48), (32, 48))
    method = NST(Config(style_weight=7.0, content_weight=3.0), maps, style)
    grams = [gram(one) for one in maps(style, STYLE)]
    found = method.loss(made, grams, maps(photo, [CONTENT])[0])

    def numpy(x, names):
        return [one[0].double().numpy() for one in maps(x, names)]

    (kept,), (content,) = numpy(made, [CONTENT]), numpy(photo, [CONTENT])
    wanted = 3 * np.mean((kept - content) ** 2)
    for a, b in zip(numpy(made, STYLE), numpy(style, STYLE), strict=True):
        c, places = len(a), a[0].size
        one, other = (np.einsum("chw,dhw->cd", x, x) / places for x in (a, b))
        wanted += 7 / c**2 * np.mean((one - other) ** 2)
    assert float(found) == pytest.approx(wanted, rel=1e-4)


def test_content_alone_leaves_the_photo_as_it_is(maps):
    photo, style = pictures((20, 33), (16, 16))
    made = NST(Config(calls=5, style_weight=0.0), maps, style).translate(photo)
    torch.testing.assert_close(made, photo)


def test_style_comes_nearer_with_calls_for_photos_of_any_size(maps):
    photo, style = pictures((24, 40), (50, 30))
    losses = []
    for calls in (1, 30):
        method = NST(Config(calls=calls, style_weight=1e4, content_weight=0.0), maps, style)
        with torch.inference_mode():  # as the commands call it
            made = method.translate(photo)
        assert made.shape == photo.shape and made.amin() >= -1 and made.amax() <= 1
        wanted = [
            gram(one)
            for one in maps(
                torch.nn.functional.interpolate(style, (24, 40), mode="bilinear", antialias=True), STYLE
            )
        ]
        losses.append(float(method.loss(made, wanted, maps(photo, [CONTENT])[0])))
    assert losses[1] < 0.3 * losses[0]


def test_photos_do_not_depend_on_their_neighbours(maps):
    photos, style = torch.cat(pictures((16, 16), (16, 16))), pictures((16, 16))[0]
    method = NST(Config(calls=4), maps, style)
    torch.testing.assert_close(method.translate(photos)[1:], method.translate(photos[1:]))


def test_settings_that_cannot_be_are_refused():
    for wrong in ({"calls": 0}, {"style_weight": -1.0}, {"content_weight": float("nan")}):
        with pytest.raises(ValueError):
            Config(**wrong)
