"""A training set from folders and archives: what is kept, what is dropped and why, the same bytes again."""

import contextlib
import hashlib
import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from stylegan_toon.cli import cli
from stylegan_toon.cli.common import ENVIRONMENT, run
from stylegan_toon.data import load_pictures
from stylegan_toon.faces.detect import Face, find_faces, select_faces
from stylegan_toon.paths import sample_file
from stylegan_toon.pipelines.prepare import Config, common_place, perceptual_hash, prepare
from tests.hostile import archives, pictures

PORTRAIT = Path(__file__).parents[2] / "samples" / "nasa_astronaut.png"


@pytest.fixture(scope="module")
def portrait():
    with Image.open(PORTRAIT) as opened:
        return opened.convert("RGB")


@pytest.fixture
def toon(tmp_path):
    def call(*args):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.chdir(tmp_path), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(cli, [*map(str, args)], "stylegan-toon", ENVIRONMENT)
        assert all(len(line) <= 200 for line in err.getvalue().splitlines()), err.getvalue()
        return code, out.getvalue(), err.getvalue()

    return call


def drawing(number: int, side: int = 40) -> Image.Image:
    """A picture unlike those of other numbers."""
    coarse = np.random.default_rng(number).integers(256, size=(8, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def drawings(folder: Path, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        drawing(i).save(folder / f"{i:03d}.png")


def manifest(path: Path):
    with zipfile.ZipFile(path) as pack:
        return json.loads(pack.read("manifest.json"))


def reasons(path: Path) -> dict[str, str]:
    return {entry["member"]: entry["why"] for entry in manifest(path)["dropped"]}


def test_a_face_comes_out_level_and_in_its_place(toon, tmp_path, portrait):
    (tmp_path / "in").mkdir()
    portrait.rotate(25, Image.Resampling.BICUBIC).save(tmp_path / "in" / "turned.png")
    code, out, err = toon("prepare", "in", "set.zip", "--size", "128")
    assert (code, out) == (0, "set.zip\n"), err
    with zipfile.ZipFile(tmp_path / "set.zip") as pack, Image.open(pack.open("00000.png")) as picture:
        assert picture.size == (128, 128) and picture.mode == "RGB"
        (face,) = find_faces(picture)
    eyes, mouth = face.points[:2].mean(0), face.points[3:].mean(0)
    assert abs(face.points[1, 1] - face.points[0, 1]) < 3  # level
    assert abs(eyes[0] - 63.5) < 4
    np.testing.assert_allclose(
        eyes[1] + 0.1 * (mouth - eyes)[1], 63.5, atol=4
    )  # as the shipped models' faces
    (entry,) = manifest(tmp_path / "set.zip")["pictures"]
    assert entry["member"] == "turned.png" and entry["source"] == "in" and entry["face"]["score"] > 0.75
    assert entry["sha256"] == hashlib.sha256((tmp_path / "in" / "turned.png").read_bytes()).hexdigest()


def test_copies_are_dropped_and_say_of_what(toon, tmp_path, portrait):
    folder = tmp_path / "in"
    folder.mkdir()
    portrait.save(folder / "a.png")
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes())
    portrait.save(folder / "c.jpg", quality=60)
    ImageEnhance.Brightness(portrait.resize((300, 300))).enhance(1.15).save(folder / "d.webp")
    drawing(1, 200).save(folder / "e.png")
    code, _, err = toon("prepare", "in", "set.zip", "--size", "64")
    assert code == 0
    assert reasons(tmp_path / "set.zip") == {
        "b.png": "exact",
        "c.jpg": "near",
        "d.webp": "near",
        "e.png": "no face",
    }
    assert [entry.get("of") for entry in manifest(tmp_path / "set.zip")["dropped"]] == [
        "a.png",
        "00000.png",
        "00000.png",
        None,
    ]
    assert "1 pictures; dropped: 1 exact, 1 no face, 2 near" in err
    assert toon("prepare", "in", "set.zip", "--size", "64", "--near", "0", "--quiet")[0::2] == (0, "")
    assert len(manifest(tmp_path / "set.zip")["pictures"]) == 3


def test_other_pictures_are_no_copies(toon, tmp_path):
    drawings(tmp_path / "in", 60)
    assert toon("prepare", "in", "set.zip", "--no-align", "--size", "32")[0] == 0
    assert len(manifest(tmp_path / "set.zip")["pictures"]) == 60


def test_folder_zip_and_tar_give_the_same_pictures_and_the_same_bytes_again(toon, tmp_path):
    drawings(tmp_path / "in", 5)
    files = sorted((tmp_path / "in").iterdir())
    with zipfile.ZipFile(tmp_path / "in.zip", "w", zipfile.ZIP_DEFLATED) as pack:
        for file in files:
            pack.write(file, file.name)
    with tarfile.open(tmp_path / "in.tar.gz", "w:gz") as tar:
        for file in files:
            tar.add(file, file.name)
    before = sorted(tmp_path.iterdir())
    made = []
    for source in ("in", "in.zip", "in.tar.gz", "in"):
        assert toon("prepare", source, "new/set.zip", "--no-align", "--size", "32")[0] == 0
        made.append((tmp_path / "new" / "set.zip").read_bytes())
        with zipfile.ZipFile(io.BytesIO(made[-1])) as pack:
            assert {info.compress_type for info in pack.infolist()} == {zipfile.ZIP_STORED}
    assert made[0] == made[3] and len({text.replace(b"in.zip", b"in") for text in made}) <= 3
    pixels = [load_pictures([path], 32) for path in (tmp_path / "in", tmp_path / "new" / "set.zip")]
    np.testing.assert_array_equal(
        *(
            np.asarray(Image.open(io.BytesIO(zipfile.ZipFile(io.BytesIO(data)).read("00003.png"))))
            for data in made[1:3]
        )
    )
    np.testing.assert_array_equal(*pixels)  # training reads the set as it read the folder
    assert sorted(tmp_path.iterdir()) == [*before, tmp_path / "new"]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["set.zip"]


def test_up_to_a_tenth_may_be_broken_and_is_named(toon, tmp_path):
    drawings(tmp_path / "in", 18)
    (tmp_path / "in" / "x1.png").write_bytes(b"")
    (tmp_path / "in" / "x2.jpg").write_bytes(b"no picture")
    code, out, err = toon("prepare", "in", "set.zip", "--no-align", "--size", "32", "--json")
    document = json.loads(out)
    assert code == 0 and document["pictures"] == 18 and document["dropped"] == {"broken": 2}
    assert len(document["errors"]) == 2 and "x1.png is empty" in err and "x2.jpg is not a picture" in err
    (tmp_path / "in" / "x3.png").write_bytes(b"P6 9 9")
    (tmp_path / "set.zip").unlink()
    code, out, err = toon("prepare", "in", "set.zip", "--no-align", "--size", "32")
    assert (code, out) == (3, "") and "3 of 21 pictures are broken" in err
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert toon("prepare", "in", "set.zip", "--no-align", "--size", "32", "--exclude", "x?.*")[0] == 0
    assert set(reasons(tmp_path / "set.zip").values()) == {"excluded"}


def test_what_is_stopped_leaves_the_older_set_and_no_litter(tmp_path):
    drawings(tmp_path / "in", 3)
    (tmp_path / "in" / "002.png").write_bytes(b"")
    (tmp_path / "set.zip").write_text("older")

    def stop(text):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare([tmp_path / "in"], tmp_path / "set.zip", Config(32, align=False), problem=stop, quiet=True)
    assert (tmp_path / "set.zip").read_text() == "older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "set.zip"]


def test_many_broken_pictures_are_counted_not_listed(toon, tmp_path):
    drawings(tmp_path / "in", 1)
    for i in range(50):
        (tmp_path / "in" / f"x{i}.png").write_bytes(b"")
    code, _, err = toon("prepare", "in", "set.zip", "--no-align")
    assert code == 3 and len(err.splitlines()) == 22 and "and 30 more" in err


def test_without_align_the_centre_square_is_taken(toon, tmp_path):
    wide = np.zeros((16, 48, 3), np.uint8)
    wide[:, 16:32] = (10, 200, 90)
    (tmp_path / "in").mkdir()
    Image.fromarray(wide).save(tmp_path / "in" / "wide.png")
    drawing(2, 7).save(tmp_path / "in" / "tiny.png")
    for kind in ("png", "webp", "jpg"):
        code = toon("prepare", "in", "set.zip", "--no-align", "--size", "16", "--format", kind)[0]
        assert code == 0 and reasons(tmp_path / "set.zip") == {"tiny.png": "small"}
        picture = load_pictures([tmp_path / "set.zip"], 16)[0].permute(1, 2, 0)
        np.testing.assert_allclose(
            picture, np.broadcast_to((10, 200, 90), (16, 16, 3)), atol=6 * (kind != "png")
        )


@pytest.mark.parametrize("lower", [0, 14])  # px; the square of such faces would reach out below
def test_drawn_faces_that_lie_alike_are_all_cut_alike_also_those_that_are_not_found(tmp_path, lower):
    (tmp_path / "heads").mkdir()
    with zipfile.ZipFile(sample_file("toonhead")) as pack:
        for name in sorted(name for name in pack.namelist() if name.endswith((".png", ".webp", ".jpg")))[:20]:
            head = Image.open(pack.open(name)).convert("RGB")
            if lower:
                top = head.crop((0, 0, 128, 1)).resize((128, lower))
                head.paste(head.crop((0, 0, 128, 128 - lower)), (0, lower))
                head.paste(top, (0, 0))
            head.paste((255, 0, 0), (18, 98, 26, 106))  # its middle is at 21.5, 101.5
            head.save(tmp_path / "heads" / f"{Path(name).stem}.png")
    prepare([tmp_path / "heads"], tmp_path / "set.zip", Config(128, near=0, centre=True))
    about = manifest(tmp_path / "set.zip")
    place = np.array(about["place"]) * 128
    assert len(about["pictures"]) == 20 and not any("face" in entry for entry in about["pictures"])
    found = [find_faces(Image.open(file)) for file in sorted((tmp_path / "heads").glob("*.png"))]
    points = np.array([select_faces(faces, "largest")[0].points for faces in found if faces])
    assert 4 < len(points) < 19
    np.testing.assert_allclose(place, np.median(points, 0), atol=0.05)
    # The square by hand: its middle a tenth of the way from eyes to mouth, at most as far out as fits.
    eyes, mouth = place[:2].mean(0), place[3:].mean(0)
    across, down = place[1] - place[0], mouth - eyes
    axis = across - [-down[1], down[0]]
    axis /= np.linalg.norm(axis)
    half = max(2 * np.linalg.norm(across), 1.8 * np.linalg.norm(down))
    middle = (eyes + 0.1 * down).clip(min(half, 64) - 0.5, max(128 - half, 64) - 0.5)
    away = (np.array([21.5, 101.5]) - middle) * 64 / half
    wanted = 63.5 + np.array([away @ axis, away @ [-axis[1], axis[0]]])
    for picture in load_pictures([tmp_path / "set.zip"], 128):
        red = (picture[0].float() - picture[1:].float().mean(0)).clamp(min=0).numpy()
        red[:80], red[:, 40:] = 0, 0
        red[red < 215] = 0  # clothes are not as red
        seen = np.array([(red.sum(i) * np.arange(128)).sum() / red.sum() for i in (0, 1)])
        np.testing.assert_allclose(seen, wanted, atol=0.6)


def test_where_faces_lie_alike_is_known_of_drawings_of_one_shape_of_which_some_are_found(tmp_path):
    drawings(tmp_path / "all", 10)
    usual = np.array([[14, 18], [26, 18], [20, 24], [15, 29], [25, 29]], float)

    def place(points, folder="all"):
        """What is known if the i-th picture's face has points(i), None where it is not found."""
        numbers = iter(range(99))

        def find(photo):
            at = points(next(numbers))
            return [] if at is None else [Face(np.array([0, 0, 40, 40]), 0.9, at)]

        return common_place([tmp_path / folder], lambda name: False, find)

    near = [usual + 12 * 0.2 * (i % 3 - 1) for i in range(10)]  # 0.2 eye distances to either side
    np.testing.assert_allclose(place(lambda i: near[i] if i < 6 else None), usual / 40)
    assert place(lambda i: None) is None
    assert place(lambda i: near[i] if i < 3 else None) is None  # too few to know
    assert place(lambda i: near[i]) is None  # all are found: each is levelled
    assert place(lambda i: usual + 12 * 0.3 * (i - 3) if i < 8 else None) is None  # all over the place
    drawings(tmp_path / "two", 9)
    drawing(50).resize((40, 50)).save(tmp_path / "two/050.png")
    assert place(lambda i: near[i] if i < 6 else None, "two") is None


def test_which_faces_are_taken_and_which_are_too_small_or_outside(toon, tmp_path, portrait):
    (tmp_path / "in").mkdir()
    both = Image.new("RGB", (800, 512))
    both.paste(portrait)
    both.paste(portrait.resize((256, 256)), (530, 100))
    both.save(tmp_path / "in" / "two.png")
    portrait.crop((195, 0, 512, 512)).save(tmp_path / "in" / "cut.png")
    args = ("prepare", "in", "set.zip", "--size", "64", "--near", "0")

    def kept(*more):
        assert toon(*args, *more)[0] == 0
        return [entry["member"] for entry in manifest(tmp_path / "set.zip")["pictures"]]

    assert kept() == ["two.png"]
    assert reasons(tmp_path / "set.zip") == {"cut.png": "outside"}
    assert kept("--faces", "all") == ["two.png", "two.png"]
    assert kept("--max-outside", "0.6") == ["cut.png", "two.png"]
    assert kept("--faces", "all", "--min-size", "150") == ["two.png"]
    assert toon(*args, "--min-size", "2000")[0] == 3
    assert toon(*args, "--min-score", "1")[0] == 3


def test_what_goes_wrong_is_said_in_one_line(toon, tmp_path):
    drawings(tmp_path / "in", 2)
    (tmp_path / "file").write_text("")
    toon("prepare", "in", "set.zip", "--no-align", "--size", "32")
    before = (tmp_path / "set.zip").read_bytes()
    (tmp_path / "empty").mkdir()
    for args, code, words in (
        (("in", "set.png"), 2, ".zip"),
        (("set.zip",), 2, "SOURCES"),
        (("in", "set.zip", "./set.zip"), 2, "one of the sources"),
        (("absent", "set.zip"), 3, "absent"),
        (("empty", "set.zip"), 3, "no picture"),
        (("file", "set.zip"), 3, "file"),
        (("in", "set.zip", "--size", "100", "--no-align"), 3, "2 small"),
        (("in", "set.zip", "--no-align", "--exclude", "in/000.png"), 3, "--exclude"),
        (("in", "file/set.zip", "--no-align", "--size", "32"), 9, "file/set.zip"),
    ):
        got, out, err = toon("prepare", *args)
        assert (got, out) == (code, ""), (args, err)
        assert words in err and err.count("\n") == 1 and err.startswith("Error: ")
    assert (tmp_path / "set.zip").read_bytes() == before
    assert not list(tmp_path.glob("**/.*"))


def test_the_hash_is_that_of_the_cosine_transform(portrait):
    fft = pytest.importorskip("scipy.fft")
    grey = np.asarray(portrait.convert("L").resize((64, 64), Image.Resampling.LANCZOS), np.float64)
    waves = fft.dctn(grey)[:16, :16].ravel()[1:]
    wanted = waves > np.median(waves)
    got = np.array([int(bit) for bit in f"{perceptual_hash(portrait):0255b}"], bool)
    np.testing.assert_array_equal(got, wanted)


def test_of_every_hostile_archive_a_set_is_made_or_one_line(toon, tmp_path):
    for one in archives.archives():
        (tmp_path / "a.archive").write_bytes(one.data)
        code, _, err = toon("prepare", "a.archive", "set.zip", "--no-align", "--size", "8", "--quiet")
        wanted = 0 if one.good and not one.refused else 3
        assert code == wanted, (one.name, err)
        assert all(line.startswith("Error: ") for line in err.splitlines())
        assert (tmp_path / "set.zip").exists() == (code == 0)
        (tmp_path / "set.zip").unlink(missing_ok=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.archive"]


def test_toonify_does_the_good_photo_among_hostile_pictures(toon, tmp_path, models, monkeypatch, capfd):
    monkeypatch.setenv("STYLEGAN_TOON_HOME", str(models))
    (tmp_path / "in").mkdir()
    bad = [one for one in pictures.pictures() if one.wanted is None and len(one.data) < 100_000]
    for one in bad:
        (tmp_path / "in" / f"{one.name}.png").write_bytes(one.data)
    (tmp_path / "in" / "zz.png").write_bytes(PORTRAIT.read_bytes())
    code, out, err = toon("toonify", "in", "--style", "drawn", "--source", "plain")
    assert (code, out) == (3, "out/zz.png\n")
    lines = err.splitlines()
    assert len(lines) == len(bad) + 1 and all(line.startswith("Error: ") for line in lines)
    assert all(any(one.name[:3] in line for line in lines) for one in bad)
    assert capfd.readouterr() == ("", "")
