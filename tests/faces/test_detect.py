import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylegan_toon import paths
from stylegan_toon.errors import ModelError
from stylegan_toon.faces.align import roll, side
from stylegan_toon.faces.detect import MODEL, Face, find_faces, nms, select_faces, shrink
from stylegan_toon.images import load_image
from stylegan_toon.paths import pretrained_dir, pretrained_file

PORTRAIT = Path(__file__).parents[2] / "samples" / "nasa_astronaut.png"
EYES = [[205, 101], [247, 103]]  # looked up in the portrait by eye, to a few pixels


@pytest.fixture(scope="module")
def portrait() -> Image.Image:
    return load_image(PORTRAIT)


def test_the_portrait_has_one_face_with_eyes_where_they_are(portrait):
    (face,) = find_faces(portrait)
    assert face.score > 0.9 and abs(roll(face.points)) < 10
    np.testing.assert_allclose(face.points[:2], EYES, atol=7)
    assert 150 < side(face.points) < 190
    assert face.box[0] < face.points[:, 0].min() and face.box[3] > face.points[:, 1].max()


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_photo_gives_the_same_points_turned(portrait, turns):
    (upright,), (face,) = find_faces(portrait), find_faces(portrait.rotate(90 * turns, expand=True))
    x, y = upright.points.T  # the photo is 512 x 512
    wanted = np.stack([(y, 512 - x), (512 - x, 512 - y), (512 - y, x)][turns - 1], 1)
    np.testing.assert_allclose(face.points, wanted, atol=12)
    assert abs((roll(face.points) + 90 * turns - roll(upright.points) + 180) % 360 - 180) < 15


@pytest.mark.parametrize("degrees", [30, 45, -45])
def test_a_tilted_face_is_measured_upright(portrait, degrees):
    (face,) = find_faces(portrait.rotate(-degrees, expand=True))
    assert abs(roll(face.points) - degrees) < 15


def test_size_of_the_photo_matters_little(portrait):
    for size in (48, 128, 2048, 5000):
        (face,) = find_faces(portrait.resize((size, size), Image.Resampling.LANCZOS))
        np.testing.assert_allclose(face.points[:2] * (512 / size), EYES, atol=12)


def test_two_faces_side_by_side_come_largest_first(portrait):
    both = Image.new("RGB", (900, 512), "grey")
    both.paste(portrait.resize((384, 384), Image.Resampling.LANCZOS), (0, 64))
    both.paste(portrait, (388, 0))
    large, small = find_faces(both)
    np.testing.assert_allclose(large.points[0], np.add(EYES[0], [388, 0]), atol=10)
    np.testing.assert_allclose(small.points[0], np.add(np.multiply(EYES[0], 0.75), [0, 64]), atol=10)


def test_a_small_face_in_a_large_photo_is_found(portrait):
    wide = Image.new("RGB", (3000, 2000), "grey")
    wide.paste(portrait.resize((200, 200), Image.Resampling.LANCZOS), (2500, 1500))
    (face,) = find_faces(wide)
    np.testing.assert_allclose(face.points[0], np.add(np.multiply(EYES[0], 200 / 512), [2500, 1500]), atol=8)


def test_where_there_is_no_face_the_list_is_empty():
    noise = np.random.default_rng(0).integers(256, size=(300, 500, 3), dtype=np.uint8)
    for photo in (Image.fromarray(noise), Image.new("RGB", (640, 480), "white"), Image.new("RGB", (1, 1))):
        assert find_faces(photo) == []
    assert find_faces(Image.new("RGB", (4000, 2))) == []


def test_a_lower_score_never_loses_the_face(portrait):
    assert len(find_faces(portrait, min_score=0.95)) <= 1
    assert find_faces(portrait, min_score=0.3)[0].score > 0.9


def test_a_model_that_is_missing_broken_or_another_is_a_model_error(portrait, tmp_path, monkeypatch):
    with pytest.raises(ModelError, match="does not exist"):
        find_faces(portrait, tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_text("no model")
    with pytest.raises(ModelError, match="not an ONNX model"):
        find_faces(portrait, tmp_path / "bad.onnx")
    monkeypatch.setattr(paths, "_shipped", list)
    monkeypatch.delenv(paths.HOME, raising=False)
    with pytest.raises(ModelError, match="missing"):
        find_faces(portrait)


def test_models_of_the_user_come_before_those_that_ship(tmp_path, monkeypatch):
    monkeypatch.delenv(paths.HOME, raising=False)
    shipped = pretrained_file(MODEL)
    assert shipped and shipped.parent == pretrained_dir()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / MODEL).write_bytes(shipped.read_bytes())
    monkeypatch.setenv(paths.HOME, str(tmp_path))
    assert pretrained_file(MODEL) == tmp_path / "models" / MODEL
    for name in ("none.safetensors", os.path.join("..", MODEL), ""):  # noqa: PTH118
        assert pretrained_file(name) is None


def test_nms_by_hand():
    boxes = np.array(
        [[0, 0, 10, 10], [0, 5, 10, 15], [0, 6, 10, 16], [2, 2, 5, 5], [50, 50, 60, 60]], np.float64
    )
    # With the first: 50 of 150 shared (1/3), 40 of 160 (1/4), and the fourth lies wholly inside.
    assert nms(boxes, [0.9, 0.8, 0.7, 0.95, 0.6], inside=1.0) == [3, 0, 2, 4]
    assert nms(boxes, [0.9, 0.8, 0.7, 0.6, 0.95]) == [4, 0, 2]
    assert nms(boxes[:2], [0.8, 0.9]) == [1]
    assert nms(boxes[:0], []) == []
    assert nms(np.zeros((2, 4)), [0.5, 0.6]) == [1, 0]  # empty boxes share nothing


def a_face(size: float, score: float = 0.9) -> Face:
    points = np.array([[80, 100], [120, 100], [100, 120], [85, 150], [115, 150]]) * size
    return Face(np.zeros(4), score, points)


def test_select_faces_takes_all_the_largest_or_the_n_largest():
    small, large, middle = faces = [a_face(1), a_face(3), a_face(2)]
    assert select_faces(faces) == select_faces(faces, "all") == faces
    assert select_faces(faces, "largest") == [large]
    assert select_faces(faces, 2) == [large, middle]
    assert select_faces(faces, 9) == [large, middle, small]
    assert select_faces([], "largest") == []
    for wrong in (0, -1, "some", True, 1.5):
        with pytest.raises(ValueError, match="'all', 'largest' or a number"):
            select_faces(faces, wrong)


def test_shrink_averages_by_exact_area():
    pixels = np.random.default_rng(0).integers(256, size=(50, 70, 3), dtype=np.uint8)
    small = shrink(pixels, 32)
    assert small.shape == (3, 23, 32) and small.dtype == np.float32
    whole = (
        pixels.repeat(23, 0).repeat(32, 1).reshape(23, 50, 32, 70, 3).mean((1, 3))
    )  # every part of a pixel
    assert np.abs(small.transpose(1, 2, 0) - whole).max() <= 0.501
    assert shrink(pixels, 140).shape == (3, 100, 140)
