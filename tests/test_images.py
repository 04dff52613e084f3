import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from stylegan_toon import images
from stylegan_toon.decoding import is_transparent
from stylegan_toon.errors import DiskError, InputError
from stylegan_toon.images import grid, list_images, load_image, save_png, to_tensor, to_uint8

PORTRAIT = Path(__file__).parents[1] / "samples" / "nasa_astronaut.png"
# A 2x3 picture (2 wide) whose six pixels differ.
PIXELS = np.array(
    [[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 0]], [[0, 255, 255], [255, 0, 255]]], np.uint8
)


def loaded(path: Path) -> np.ndarray:
    picture = load_image(path)
    assert picture.mode == "RGB" and not picture.info
    return np.asarray(picture)


def error_of(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_image(path)
    text = str(caught.value)
    assert len(text) <= 200 and "\n" not in text and caught.value.exit_code == 3
    return text


# EXIF 2.32, tag 0x0112: how the stored picture is turned so that it stands upright.
STORED = {
    1: PIXELS,
    2: PIXELS[:, ::-1],
    3: PIXELS[::-1, ::-1],
    4: PIXELS[::-1],
    5: PIXELS.swapaxes(0, 1),
    6: np.rot90(PIXELS, 1),
    7: np.rot90(PIXELS, 2).swapaxes(0, 1),
    8: np.rot90(PIXELS, -1),
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_every_exif_orientation_comes_out_upright(tmp_path, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"photo.{suffix}"
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation]))
    stored.save(path, exif=exif, **({"lossless": True} if suffix == "webp" else {}))
    np.testing.assert_array_equal(loaded(path), PIXELS)


def test_broken_exif_is_no_reason_to_refuse_a_photo(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.png", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12")
    np.testing.assert_array_equal(loaded(tmp_path / "a.png"), PIXELS)


def test_16_bit_grey_keeps_black_middle_and_white(tmp_path):
    Image.fromarray(np.array([[0, 257 * 128, 65535]], np.uint16)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(loaded(tmp_path / "a.png")[0, :, 0], [0, 128, 255])


def test_a_dark_16_bit_picture_stays_dark_in_every_format(tmp_path):
    for suffix in ("png", "tiff", "pgm"):
        Image.fromarray(np.array([[0, 257, 514]], np.uint16)).save(tmp_path / f"a.{suffix}")
        np.testing.assert_array_equal(loaded(tmp_path / f"a.{suffix}")[0, :, 0], [0, 1, 2])


@pytest.mark.parametrize(
    "dtype, values, wanted",
    [
        (np.float32, [0.0, 0.2, 1.0], [0, 51, 255]),
        (np.float32, [0.0, 51.0, 255.0], [0, 51, 255]),
        (np.float32, [-3.0, 0.5, np.nan], [0, 128, 0]),
        (np.float32, [0.0, 2e5, 1e6], [0, 51, 255]),
        (np.int32, [0, 51, 200], [0, 51, 200]),
        (np.int32, [0, 257, 65535], [0, 1, 255]),
        (np.int32, [-7, 2 * 10**6, 10**7], [0, 51, 255]),
    ],
)
def test_float_and_32_bit_tiff_are_scaled_to_their_white(tmp_path, dtype, values, wanted):
    Image.fromarray(np.array([values], dtype)).save(tmp_path / "a.tiff")
    np.testing.assert_array_equal(loaded(tmp_path / "a.tiff")[0, :, 0], wanted)


def test_alpha_is_laid_on_white(tmp_path):
    rgba = np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [0, 0, 0, 51]]], np.uint8)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    np.testing.assert_array_equal(
        loaded(tmp_path / "a.png")[0], [[255, 0, 0], [255, 255, 255], [204, 204, 204]]
    )


def test_grey_with_alpha_is_laid_on_white(tmp_path):
    Image.fromarray(np.array([[[0, 0], [100, 255]]], np.uint8)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(loaded(tmp_path / "a.png")[0, :, 0], [255, 100])


def test_palette_with_transparency_is_laid_on_white(tmp_path):
    picture = Image.new("P", (3, 1))
    picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    picture.putdata([0, 1, 2])
    picture.save(tmp_path / "a.png", transparency=bytes([255, 0, 255]))
    np.testing.assert_array_equal(loaded(tmp_path / "a.png")[0], [[255, 0, 0], [255, 255, 255], [0, 0, 255]])


def test_a_colour_key_is_transparent(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.png", transparency=(0, 255, 0))
    assert loaded(tmp_path / "a.png")[0].tolist() == [[255, 0, 0], [255, 255, 255]]


def test_alpha_that_hides_nothing_is_not_transparent(tmp_path):
    for name, mode, colour, wanted in (
        ("opaque", "RGBA", (9, 9, 9, 255), False), ("clear", "RGBA", (9, 9, 9, 254), True),
        ("grey", "LA", (9, 255), False), ("plain", "RGB", (9, 9, 9), False),
    ):  # fmt: skip
        Image.new(mode, (4, 4), colour).save(tmp_path / f"{name}.png")
        assert is_transparent((tmp_path / f"{name}.png").read_bytes()) == wanted
    Image.fromarray(PIXELS).save(tmp_path / "key.png", transparency=(0, 255, 0))
    assert is_transparent((tmp_path / "key.png").read_bytes())


def test_one_bit_and_grey_become_rgb(tmp_path):
    Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1").save(tmp_path / "a.png")
    assert loaded(tmp_path / "a.png").tolist() == [[[0, 0, 0], [255, 255, 255]]]


def test_cmyk_jpeg_without_profile_has_its_colours(tmp_path):
    ink = Image.merge("CMYK", [Image.new("L", (16, 16), v) for v in (255, 0, 0, 0)])
    ink.save(tmp_path / "a.jpg", quality=95)
    cyan = loaded(tmp_path / "a.jpg").reshape(-1, 3).mean(0)
    np.testing.assert_allclose(cyan, [0, 255, 255], atol=3)


def test_an_icc_profile_is_converted_to_srgb(tmp_path):
    # A profile of linear light: 50 % of the light is 188 in sRGB (IEC 61966-2-1), not 128.
    source = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for i in range(struct.unpack(">I", source[128:132])[0]):
        tag, offset, size = struct.unpack(">4sII", source[132 + 12 * i : 144 + 12 * i])
        if tag in (b"rTRC", b"gTRC", b"bTRC"):  # a parametric curve of type 0 is x^g; the rest is padding
            source[offset : offset + 16] = b"para" + bytes(4) + struct.pack(">HHi", 0, 0, 1 << 16)
        elif tag == b"desc":
            source[offset : offset + size] = source[offset : offset + size].replace(
                b"\0s\0R\0G\0B", b"\0l\0i\0n\0r"
            )
    Image.new("RGB", (4, 4), (128, 0, 255)).save(tmp_path / "a.png", icc_profile=bytes(source))
    np.testing.assert_allclose(loaded(tmp_path / "a.png")[0, 0], [188, 0, 255], atol=1)


def test_a_profile_that_is_garbage_is_ignored(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.png", icc_profile=b"no profile")
    np.testing.assert_array_equal(loaded(tmp_path / "a.png"), PIXELS)


def test_of_an_animation_the_first_picture_is_taken(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert loaded(tmp_path / "a.gif")[3, 3].tolist() == [255, 0, 0]


def test_content_counts_not_the_suffix(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.jpg", format="PNG")
    np.testing.assert_array_equal(loaded(tmp_path / "a.jpg"), PIXELS)


def test_truncated_pictures_say_so(tmp_path):
    picture = load_image(PORTRAIT)
    for suffix in ("jpg", "png", "tiff"):
        whole, cut = io.BytesIO(), tmp_path / f"cut.{suffix}"
        picture.save(whole, {"jpg": "JPEG"}.get(suffix, suffix))
        cut.write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
        text = error_of(cut)
        assert f"cut.{suffix}" in text and "cut short" in text and "copy or download" in text


def test_what_is_no_picture_is_named(tmp_path):
    for content, words in {
        b"": "empty",
        b"just a text\n": "not a picture",
        b"<!DOCTYPE html><html>": "web page",
        b"%PDF-1.7": "PDF",
        b"%!PS-Adobe-3.0 EPSF-3.0\n": "not a picture",
    }.items():
        (tmp_path / "a.png").write_bytes(content)
        text = error_of(tmp_path / "a.png")
        assert words in text and "a.png" in text


def test_a_phone_picture_that_cannot_be_read_ends_in_one_line(tmp_path):
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(64))
    assert "JPEG" in (text := error_of(tmp_path / "a.heic")) or "copy or download" in text


def test_folders_pipes_and_devices_are_refused_at_once(tmp_path):
    (tmp_path / "folder.png").mkdir()
    assert "folder" in error_of(tmp_path / "folder.png")
    assert "does not exist" in error_of(tmp_path / "none.png")
    assert "cannot be opened" in error_of(PORTRAIT / "inside.png")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
        assert "pipe" in error_of(tmp_path / "pipe.png")
        assert "device" in error_of(Path("/dev/zero"))


def test_a_long_or_odd_name_keeps_the_error_one_short_line(tmp_path):
    error_of(tmp_path / ("very" * 40) / ("long" * 40) / "photo.png")
    assert "photo?.png" in error_of(tmp_path / "photo\n.png")
    error_of(tmp_path / "nul\0.png")
    error_of(tmp_path / ("x" * 300 + ".png"))


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path):
    def png(width: int, height: int) -> bytes:
        file = io.BytesIO()
        Image.new("L", (1, 1)).save(file, "PNG")
        data = bytearray(file.getvalue())
        data[16:24] = struct.pack(">II", width, height)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
        return bytes(data)

    for side in (8_001, 20_000, 60_000):
        (tmp_path / "big.png").write_bytes(png(side, side))
        assert "64 million pixels" in error_of(tmp_path / "big.png")


def test_random_damage_never_ends_in_anything_but_an_input_error(tmp_path):
    picture = load_image(PORTRAIT).resize((48, 48))
    rng = np.random.default_rng(0)
    for suffix in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "PPM"):
        file = io.BytesIO()
        picture.save(file, suffix)
        for _ in range(30):
            data = np.frombuffer(file.getvalue(), np.uint8).copy()
            data[rng.integers(len(data), size=8)] = rng.integers(256, size=8)
            (tmp_path / "a").write_bytes(data.tobytes())
            try:
                assert load_image(tmp_path / "a").mode == "RGB"
            except InputError as error:
                assert len(str(error)) <= 200


def test_every_byte_survives_the_way_to_float_and_back():
    pixels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    x = to_tensor(Image.fromarray(pixels))
    assert x.shape == (1, 3, 16, 16) and x.dtype == torch.float32 and x.is_contiguous()
    assert x.min() == -1 and x.max() == 1
    np.testing.assert_array_equal(to_uint8(x)[0], pixels)


def test_to_uint8_clamps_rounds_and_blackens_nan():
    x = torch.tensor([-9.0, 0.0, 9.0, float("nan"), float("inf"), 0.5]).expand(1, 3, 1, 6)
    assert to_uint8(x)[0, 0, :, 0].tolist() == [0, 128, 255, 0, 255, 191]
    with pytest.raises(ValueError, match="N, 3, H, W"):
        to_uint8(torch.zeros(3, 4, 4))


@pytest.mark.parametrize(
    "given", [PIXELS, to_tensor(Image.fromarray(PIXELS)), Image.fromarray(PIXELS)], ids=type
)
def test_a_saved_png_holds_pixels_and_text(tmp_path, given):
    path = tmp_path / "new" / "a.png"
    save_png(path, given, {"seed": "7", "style": "märchen 漫画"})
    with Image.open(path) as again:
        assert again.text == {"seed": "7", "style": "märchen 漫画"}
    np.testing.assert_array_equal(loaded(path), PIXELS)
    assert os.listdir(path.parent) == ["a.png"]  # noqa: PTH208


def test_save_png_refuses_what_is_no_picture(tmp_path):
    for wrong in (PIXELS.astype(np.float32), PIXELS[..., 0], torch.zeros(2, 3, 4, 4)):
        with pytest.raises(ValueError, match="expected"):
            save_png(tmp_path / "a.png", wrong)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_a_disk_error(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.png").mkdir()
    for path in (tmp_path / "file" / "a.png", tmp_path / "folder.png", tmp_path / ("x" * 300 + ".png")):
        with pytest.raises(DiskError) as caught:
            save_png(path, PIXELS)
        assert caught.value.exit_code == 9 and len(str(caught.value)) <= 200
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.png"]


def test_a_full_disk_leaves_the_older_picture_and_no_litter(tmp_path):
    resource = pytest.importorskip("resource", reason="no limits on file size on Windows")
    assert resource
    save_png(tmp_path / "a.png", PIXELS)
    script = f"""
import resource, signal, sys
import numpy as np
from stylegan_toon.errors import DiskError
from stylegan_toon.images import save_png
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then the write fails as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
noise = np.random.default_rng(0).integers(256, size=(200, 200, 3), dtype=np.uint8)
try:
    save_png({str(tmp_path / "a.png")!r}, noise)
except DiskError as error:
    sys.exit(error.exit_code)
"""
    root = str(Path(images.__file__).parents[1])
    ran = subprocess.run([sys.executable, "-c", script], cwd=root, env={**os.environ, "PYTHONPATH": root})
    assert ran.returncode == 9
    np.testing.assert_array_equal(loaded(tmp_path / "a.png"), PIXELS)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_a_grid_goes_row_by_row_and_fills_up_with_white():
    cells = torch.arange(3.0).reshape(3, 1, 1, 1).expand(3, 3, 1, 2) / 10
    expected = torch.tensor([[0.0, 0.0, 0.1, 0.1], [0.2, 0.2, 1.0, 1.0]]).expand(3, 2, 4)
    assert torch.equal(grid(cells, 2), expected)
    assert grid(cells, 5).shape == (3, 1, 10)
    for pictures, columns in ((cells[:0], 2), (cells, 0), (cells[0], 1)):
        with pytest.raises(ValueError, match="expected"):
            grid(pictures, columns)


def test_folders_are_listed_sorted_and_mirrored(tmp_path):
    for name in ("b.jpg", "a.PNG", "sub/c.webp", "sub/deep/d.tif", "notes.txt", ".hidden.png", ".git/e.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text("")
    (tmp_path / "in" / "folder.png").mkdir()
    (tmp_path / "odd name").write_text("")
    pairs = list_images([tmp_path / "in", str(tmp_path / "odd name"), tmp_path / "in" / "b.jpg"])
    wanted = ["a.PNG", "b.jpg", "sub/c.webp", "sub/deep/d.tif", "odd name"]
    assert [relative.as_posix() for _, relative in pairs] == wanted
    assert [file for file, _ in pairs][:2] == [tmp_path / "in" / "a.PNG", tmp_path / "in" / "b.jpg"]


def test_no_two_results_share_a_name(tmp_path):
    for name in ("one/me.jpg", "one/me.png", "two/ME.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    pairs = list_images([tmp_path / "one", tmp_path / "two"])
    assert [str(relative) for _, relative in pairs] == ["me.jpg", "me_2.png", "ME_3.jpg"]


def test_a_folder_without_pictures_is_an_input_error_and_a_missing_file_is_left_to_load_image(tmp_path):
    with pytest.raises(InputError, match="no picture in folder"):
        list_images([tmp_path])
    assert list_images([tmp_path / "none.png"]) == [(tmp_path / "none.png", Path("none.png"))]
