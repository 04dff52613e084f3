"""scGAN: its terms and presets, the regions of a face, and the questions every method is asked."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stylegan_toon.errors import InputError
from stylegan_toon.faces.regions import face_boxes, region_masks
from stylegan_toon.features.vgg import load_maps
from stylegan_toon.images import load_image
from stylegan_toon.methods.i2i.scgan import Config, ScGAN
from stylegan_toon.pipelines.domains import face_regions
from tests.methods.i2i.questions import digests, learn, smooth, stream, unmoved

PORTRAIT = Path(__file__).parents[2] / "fixtures/portrait_A000055_crop256.jpg"
TINY = Config(size=32, width=4, d_width=4, pool_size=3, lr=2e-3)


@pytest.fixture(scope="module")
def maps():
    return load_maps(None)[0]


def regions(size=32):
    masks = -torch.ones(4, 3, size, size)
    masks[:, 0, 8:14, 6:26] = masks[:, 1, 14:20, 12:20] = masks[:, 2, 21:27, 10:22] = 1
    return masks


def test_all_networks_move_in_a_step(maps):
    assert unmoved(ScGAN(TINY, maps), stream(TINY, regions=regions())(0)) == []


def test_it_learns_four_pictures(maps):
    config = replace(TINY, width=8, batch=4, lr=5e-3, cycle_weight=100.0, tv_weight=0.1, pool_size=0)
    method = ScGAN(config, maps)
    losses = learn(method, stream(config, regions=regions()), 40)
    assert losses[-1]["g/cycle"] < 0.5 * losses[0]["g/cycle"]
    photo = smooth(4, 32, 1)
    with torch.inference_mode():
        back = method.eval().back(method.translate(photo))
    assert float((back - photo).abs().mean()) < 0.5 * float((photo - photo.mean()).abs().mean())


def test_six_steps_are_three_and_three(maps, tmp_path):
    assert len(digests(lambda: ScGAN(TINY, maps), stream(TINY, regions=regions()), tmp_path)) == 1


def test_the_weights_are_the_papers():
    config = Config()
    assert config.region_weights == (1.0, 0.5, 0.5, 0.5) and config.loss == "log"
    assert (config.cycle_weight, config.tv_weight, config.perceptual_weight) == (10, 2, 0.5)


@pytest.mark.parametrize(
    "preset, perceptual, attentive", [("A", False, False), ("B", False, True), ("C", True, True)]
)
def test_the_presets_are_the_setups_of_its_table(preset, perceptual, attentive, maps):
    """What is far off in a region weighs more with the attentive loss, and the cycle's figure tells."""
    config = replace(TINY, **Config.presets[preset])
    torch.manual_seed(1)
    losses = learn(ScGAN(config, maps), stream(config, regions=regions()), 1)[0]
    torch.manual_seed(1)
    nowhere = learn(ScGAN(config, maps), stream(config, regions=-torch.ones(4, 3, 32, 32)), 1)[0]
    assert ("g/perceptual" in losses) is perceptual and "g/tv" in losses
    assert (losses["g/cycle"] > nowhere["g/cycle"] * 1.1) is attentive


def test_the_perceptual_loss_is_taken_with_conv4_4():
    asked = []

    def maps(x, names):
        asked.extend(names)
        return [x]

    learn(ScGAN(TINY, maps), stream(TINY, regions=regions()), 1)
    assert set(asked) == {"conv4_4"}


def test_it_translates_any_size_without_maps():
    photo = torch.rand(1, 3, 37, 70) * 2 - 1
    method = ScGAN(TINY).eval()
    with torch.inference_mode():
        assert method.translate(photo).shape == photo.shape == method.back(photo).shape


def test_the_boxes_hold_their_points_and_hardly_meet():
    photo = load_image(PORTRAIT)
    masks = region_masks(photo) > 0
    assert masks.shape == (3, photo.height, photo.width)
    eyes, nose, mouth = (np.argwhere(mask).mean(0) for mask in masks)
    assert eyes[0] < nose[0] < mouth[0]
    assert (masks.sum(0) > 1).mean() < 0.02 and 0.02 < masks.any(0).mean() < 0.4
    points = np.array([[40.0, 50], [60, 50], [50, 62], [43, 70], [57, 70]])
    for places, (x0, y0, x1, y1) in zip(((0, 1), (2,), (3, 4)), face_boxes(points), strict=True):
        inside = points[list(places)]
        assert (inside > (x0, y0)).all() and (inside < (x1, y1)).all()


def test_a_photo_without_a_face_has_no_regions_and_photos_without_any_are_refused():
    blank = np.full((2, 3, 64, 64), 128, np.uint8)
    assert not region_masks(Image.fromarray(blank[0].transpose(1, 2, 0))).any()
    with pytest.raises(InputError, match="none of 2 photos shows a face"):
        face_regions(torch.from_numpy(blank))
