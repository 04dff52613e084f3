"""The detector in float64 against onnxruntime, and what depends on no machine against whole numbers."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from stylegan_toon.errors import ModelError
from stylegan_toon.faces.detect import MODEL, find_faces, shrink
from stylegan_toon.faces.paste import paste
from stylegan_toon.faces.yunet import load_yunet
from stylegan_toon.images import load_image
from stylegan_toon.paths import pretrained_file

PORTRAIT = Path(__file__).parents[2] / "samples" / "nasa_astronaut.png"


@pytest.mark.parametrize("size", [(32, 32), (96, 64), (320, 256)])
def test_the_float64_network_gives_what_onnxruntime_gives(size):
    path = pretrained_file(MODEL)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    photo = load_image(PORTRAIT).resize(size)
    picture = np.ascontiguousarray(np.asarray(photo, np.float32).transpose(2, 0, 1)[None, ::-1])
    names = [output.name for output in session.get_outputs()]
    found = load_yunet(path)(picture)
    assert set(found) == set(names)
    for name, wanted in zip(names, session.run(names, {"input": picture}), strict=True):
        assert found[name].dtype == np.float64 and found[name].shape == wanted.shape
        np.testing.assert_allclose(found[name], wanted, rtol=1e-4, atol=1e-4, err_msg=name)


def test_exact_faces_are_the_faces_on_the_grid_of_a_64th_pixel():
    photo = load_image(PORTRAIT)
    (face,), (exact,) = find_faces(photo), find_faces(photo, exact=True)
    np.testing.assert_allclose(exact.points, face.points, atol=0.05)
    np.testing.assert_allclose(exact.box, face.box, atol=0.05)
    assert np.array_equal(exact.points * 64, np.rint(exact.points * 64))
    assert find_faces(Image.new("RGB", (64, 48), "grey"), exact=True) == []


@pytest.mark.parametrize("data", [b"", b"no onnx", b"\x3a\x02\x08\x01"])
def test_what_is_not_yunet_is_a_model_error(tmp_path, data):
    (tmp_path / "other.onnx").write_bytes(data)
    with pytest.raises(ModelError, match=r"other\.onnx"):
        load_yunet(tmp_path / "other.onnx")


@pytest.mark.parametrize("extent, longer", [((60, 36), 10), ((36, 60), 10), ((61, 7), 13), ((9, 50), 49)])
def test_shrinking_is_the_exact_mean_rounded(extent, longer):
    """Fractions, tie by tie: sizes are such that ties occur, as 60 / 10 = 6 divides evenly."""
    width, height = extent
    pixels = np.random.default_rng(1).integers(256, size=(height, width, 3), dtype=np.uint8)
    small = shrink(pixels, longer)

    def shares(n, count):
        edges = [Fraction(i * n, count) for i in range(count + 1)]
        return [[max(0, min(p + 1, b) - max(p, a)) for p in range(n)] for a, b in pairwise(edges)]

    across, down = shares(width, small.shape[2]), shares(height, small.shape[1])
    for y in range(small.shape[1]):
        for x in range(0, small.shape[2], 3):
            cells = [(h * w, int(pixels[j, i, 1])) for j, h in enumerate(down[y]) if h
                     for i, w in enumerate(across[x]) if w]  # fmt: skip
            mean = sum(share * value for share, value in cells) / sum(share for share, _ in cells)
            assert small[1, y, x] == round(mean)


def test_pasting_in_float64_is_pasting_to_a_grey_level():
    photo = load_image(PORTRAIT)
    (face,) = find_faces(photo)
    cartoon = photo.crop((150, 40, 310, 200)).resize((64, 64)).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    (plain, mask), (exact, same) = (paste(photo, [(cartoon, face.points)], exact=e) for e in (False, True))
    gap = np.abs(plain.astype(int) - exact)
    assert gap.max() <= 1 and (gap > 0).mean() < 1e-3
    np.testing.assert_allclose(mask, same, atol=1e-5)
