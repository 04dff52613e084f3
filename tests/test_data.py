"""Training pictures: read in place, and drawn in an order that depends on seed and step alone."""

import io
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from stylegan_toon.data import Cuts, Sampler, load_large, load_pairs, load_pictures
from stylegan_toon.errors import InputError
from tests.hostile.pictures import GREEN, RED, exif, linear_profile, quarters


def picture(value, size=(8, 8)):
    data = io.BytesIO()
    Image.new("RGB", size, (value, 0, 255 - value)).save(data, "PNG")
    return data.getvalue()


@pytest.fixture
def pack(tmp_path):
    with zipfile.ZipFile(tmp_path / "pack.zip", "w") as z:
        for i in range(12):
            z.writestr(f"a/{i:05d}.png", picture(i))
        z.writestr("manifest.csv", "file\n")
    return tmp_path / "pack.zip"


def values(pictures):
    return sorted(int(p[0, 0, 0]) for p in pictures)


def test_zip_and_folder_give_the_same_pictures(pack, tmp_path):
    with zipfile.ZipFile(pack) as z:
        z.extractall(tmp_path / "folder")
    a, b = load_pictures([pack], 4), load_pictures([tmp_path / "folder"], 4)
    assert a.shape == (12, 3, 4, 4) and a.dtype == torch.uint8 and torch.equal(a, b)


def test_names_patterns_and_files_are_left_out(pack, tmp_path):
    (tmp_path / "list.txt").write_text("# comment\na/00003.png\na/00004.png\n")
    kept = load_pictures([pack], 8, ["*1.png", str(tmp_path / "list.txt"), "a/00000.png"])
    assert values(kept) == [2, 5, 6, 7, 8, 9, 10]


def test_wide_pictures_lose_their_sides_not_their_shape(tmp_path):
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 200
    Image.fromarray(wide).save(tmp_path / "wide.png")
    assert int(load_pictures([tmp_path], 10).min()) == 200


@pytest.mark.parametrize("content", [b"", b"not a picture", picture(3)[:40]])
def test_a_broken_picture_is_named(tmp_path, content):
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.png is not a readable picture"):
        load_pictures([tmp_path], 8)


def test_pictures_are_read_as_photos_are_upright_and_by_their_profile(tmp_path):
    stored = np.rot90(quarters()[:, 16:48])
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a.png", exif=exif(6))
    Image.new("RGB", (32, 32), (128, 128, 128)).save(tmp_path / "b.tif", icc_profile=linear_profile())
    Image.new("RGBA", (32, 32), (0, 0, 0, 0)).save(tmp_path / "c.png")
    upright, light, clear = load_pictures([tmp_path], 32).permute(0, 2, 3, 1).numpy()
    assert upright[4, 2].tolist() == list(RED) and upright[4, 28].tolist() == list(GREEN)
    np.testing.assert_allclose(light, 188, atol=1)  # half of the light, IEC 61966-2-1
    assert clear.min() == 255


def test_a_list_of_names_that_is_a_picture_is_an_input_error(tmp_path):
    (tmp_path / "x.png").write_bytes(picture(3))
    with pytest.raises(InputError, match=r"--exclude .*x\.png is no list of names"):
        load_pictures([tmp_path], 8, [str(tmp_path / "x.png")])


def test_nothing_there_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no picture in folder"):
        load_pictures([tmp_path], 8)
    with pytest.raises(InputError, match="no folder or file"):
        load_pictures([tmp_path / "absent.zip"], 8)


def test_every_epoch_shows_every_picture_once(pack):
    sampler = Sampler(load_pictures([pack], 4), 5, seed=7)
    drawn = [i for step in range(12) for i in sampler.indices(step)]
    epochs = [drawn[i : i + 12] for i in range(0, 60, 12)]
    assert all(sorted(epoch) == list(range(12)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 5


def test_a_batch_depends_on_seed_and_step_alone(pack):
    pictures = load_pictures([pack], 4)
    a, b = Sampler(pictures, 5, seed=7), Sampler(pictures, 5, seed=7)
    for i in range(4):
        a.batch(i)
    torch.randn(9)
    assert torch.equal(a.batch(4), b.batch(4))
    assert not torch.equal(a.batch(4), Sampler(pictures, 5, seed=8).batch(4))


def test_mirroring_flips_about_half(tmp_path):
    ramp = np.tile(np.arange(0, 256, 16, dtype=np.uint8)[None, :, None], (16, 1, 3))
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    batch = Sampler(load_pictures([tmp_path], 16), 400, seed=1).batch(0)
    flipped = (batch[:, 0, 0, 0] > batch[:, 0, 0, -1]).float().mean()
    assert 0.4 < float(flipped) < 0.6 and batch.min() >= -1 and batch.max() <= 1


def test_crops_lie_all_over_the_picture_and_are_a_function_of_seed_and_step():
    rows, columns = torch.meshgrid(torch.arange(12), torch.arange(12), indexing="ij")
    pictures = torch.stack([rows, columns, rows]).to(torch.uint8)[None].expand(3, -1, -1, -1)
    sampler = Sampler(pictures, 300, 5, mirror=False, crop=8)
    batch = (sampler.batch(2) + 1) * 127.5
    assert batch.shape == (300, 3, 8, 8)
    corners = {(round(float(x[0, 0, 0])), round(float(x[1, 0, 0]))) for x in batch}
    assert corners == {(i, j) for i in range(5) for j in range(5)}
    assert torch.allclose(batch[:, 0, -1, 0] - batch[:, 0, 0, 0], torch.tensor(7.0), atol=1e-4)
    assert torch.equal(sampler.batch(2), Sampler(pictures, 300, 5, mirror=False, crop=8).batch(2))


def test_two_samplers_of_one_seed_show_the_same_places():
    a = torch.randint(0, 256, (6, 3, 12, 12), dtype=torch.uint8)
    for i in range(3):
        x, y = (Sampler(p, 4, 9, crop=8).batch(i) for p in (a, 255 - a))
        torch.testing.assert_close(x, -y)


@pytest.fixture
def pairs(tmp_path):
    with zipfile.ZipFile(tmp_path / "pairs.zip", "w") as z:
        for i in (2, 0, 1):
            z.writestr(f"set/toon/{i:05d}.png", picture(100 + i))
            z.writestr(f"set/photo/{i:05d}.png", picture(i))
        z.writestr("set/other/00000.png", picture(9))
    return tmp_path / "pairs.zip"


def test_pairs_come_in_one_order_from_a_zip_or_a_folder(pairs, tmp_path):
    photo, toon = load_pairs(pairs, 4)
    assert photo.shape == toon.shape == (3, 3, 4, 4)
    assert photo[:, 0, 0, 0].tolist() == [0, 1, 2] and toon[:, 0, 0, 0].tolist() == [100, 101, 102]
    with zipfile.ZipFile(pairs) as z:
        z.extractall(tmp_path / "folder")
    (tmp_path / "folder/set/toon").rename(tmp_path / "folder/set/cartoon")
    assert all(
        torch.equal(a, b) for a, b in zip(load_pairs(tmp_path / "folder", 4), (photo, toon), strict=True)
    )


def test_half_a_pair_is_named(pairs, tmp_path):
    with pytest.raises(InputError, match=r"00001 has no other half in toon/ \(1 such\)"):
        load_pairs(pairs, 4, ["set/toon/00001.png"])
    assert len(load_pairs(pairs, 4, ["00001.png"])[0]) == 2
    with zipfile.ZipFile(tmp_path / "none.zip", "w") as z:
        z.writestr("00000.png", picture(9))
    with pytest.raises(InputError, match="no pairs; wanted a folder or archive with photo/ and toon/"):
        load_pairs(tmp_path / "none.zip", 4)
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as z:
        z.writestr("photo/00000.png", b"nothing")
    with pytest.raises(InputError, match=r"photo/00000\.png is not a readable picture"):
        load_pairs(tmp_path / "bad.zip", 4)


def test_large_pictures_keep_their_sizes_and_small_ones_are_named(tmp_path):
    for name, size in (("b", (40, 30)), ("a", (20, 25))):
        (tmp_path / f"{name}.png").write_bytes(picture(len(name), size))
    assert [p.shape for p in load_large([tmp_path], 20)] == [(25, 20, 3), (30, 40, 3)]
    with pytest.raises(InputError, match=r"a.png is 20x25, smaller than the cuts of 22 px.*--exclude a.png"):
        load_large([tmp_path], 22)
    assert len(load_large([tmp_path], 22, ["a.png"])) == 1


def test_a_batch_of_cuts_depends_on_seed_and_step_alone_and_shows_every_picture():
    pictures = [np.full((16 + i, 24, 3), 20 * i, np.uint8) for i in range(12)]
    a, b = Cuts(pictures, 8, 5, seed=7), Cuts(pictures, 8, 5, seed=7)
    drawn = torch.cat([a.batch(i) for i in range(12)])
    assert drawn.shape == (60, 3, 8, 8) and torch.equal(b.batch(4), drawn[20:25])
    found = ((drawn[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()
    assert all(sorted(found[i : i + 12]) == [20 * k for k in range(12)] for i in range(0, 60, 12))
    assert not torch.equal(b.batch(4), Cuts(pictures, 8, 5, seed=8).batch(4))


def test_cuts_are_places_of_all_sizes_up_to_three_times_their_edge():
    ramp = np.repeat(np.arange(120, dtype=np.uint8)[None, :, None], 120, 0).repeat(3, 2)
    batch = (Cuts([ramp], 16, 300, seed=1).batch(0) + 1) * 127.5
    step = (
        batch[:, 0, 8, 9] - batch[:, 0, 8, 6]
    ) / 3  # how much a pixel covers; below 0 where it is mirrored
    assert 0.4 < float((step < 0).float().mean()) < 0.6
    assert 0.9 < float(step.abs().min()) < 1.2 and 2.7 < float(step.abs().max()) < 3.3
    whole = Cuts([ramp[:16, :16]], 16, 2, seed=1, mirror=False).batch(0)
    assert torch.equal(((whole[0] + 1) * 127.5).round()[0, 0], torch.arange(16.0))
