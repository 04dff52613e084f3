"""compare, and baseline run of what needs no training, as a person types them."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylegan_toon.images import load_image
from stylegan_toon.methods.i2i import TRANSLATORS
from tests.pipelines.rated import result

FIXTURES = Path(__file__).parents[1] / "fixtures"
PHOTO = str(FIXTURES / "portrait_A000055.jpg")
DATA = ["--photos", str(FIXTURES / "faces16.zip"), "--cartoons", str(FIXTURES / "storybook16.zip")]
CPU = ["--device", "cpu", "--quiet"]


def suite(folder, *methods, **more):
    settings = {"size": 32, "pictures": 1, "held_out": 4, "reference": 4, "shown": 2, **more}
    (folder / "mine.json").write_text(json.dumps({**settings, "methods": methods}))


def test_every_method_goes_through_the_smallest_comparison(here, tmp_path):
    """What `compare smoke` does, smaller still: 32 px, four channels, a batch of training each."""
    names = []
    for name, (config, _) in TRANSLATORS.items():
        narrow = {key: "4" for key in ("width", "d_width") if hasattr(config, key)}
        names.append({"label": name, "method": name, "set": narrow})
    names += [{"label": "toonify-2", "method": "toonify", "set": {"blend": "2"}}]
    names += [
        {"label": "nst", "method": "nst", "set": {"calls": "6"}},
        {"label": "otsu", "method": "binarize"},
    ]
    suite(tmp_path, *names)
    done = here("compare", "mine.json", *DATA, "--fid", "emotion", "--out", "out", *CPU, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["cells"] == len(names)
    with (tmp_path / "out" / "compare.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [line["label"] for line in table] == ["copy", "cartoons", *(one["label"] for one in names)]
    for line in table[2:]:
        for key in ("way", "kid/untrained", "edge_ssim", "identity", "mse", "gradient", "flops a picture"):
            assert np.isfinite(float(line[key])), (line["label"], key)
        assert line["method"] == "binarize" or int(line["parameters"]) > 1000
    page = (tmp_path / "out" / "compare.html").read_text()
    assert all(f"<td>{one['label']}" in page for one in names)

    before = (tmp_path / "out" / "compare.json").read_bytes()
    again = here("compare", "mine.json", *DATA, "--fid", "emotion", "--out", "out", *CPU)
    assert again.returncode == 0 and (tmp_path / "out" / "compare.json").read_bytes() == before
    done = here("compare", "page", "out", "--docs", "docs/here.md")
    assert done.stdout.splitlines() == [
        "out/compare.html", "out/compare.csv", "docs/here.md", "docs/images/here.svg", "docs/images/here.png",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "args, code, said",
    [
        (["compare", "fast"], 2, "known: smoke, full"),
        (["compare", "page"], 2, "needs the folder"),
        (["compare", "page", "nowhere"], 3, "no result of a comparison"),
        (["compare", "rate", "nowhere"], 3, "no result of a comparison"),
        (["compare", "smoke", "more"], 2, "SUITE alone"),
        (["compare", "smoke", "--docs", "a.md"], 2, "--docs is of page"),
        (["compare", "page", "out", "--photos", "a"], 2, "--photos belongs to a run"),
        (["compare", "smoke", "--photos", "nowhere", "--out", "x"], 3, "nowhere"),
        (["compare", "smoke", "--fid", "nowhere.pth", *DATA, "--out", "y"], 3, "too few to hold"),
        (["compare", "mine.json", "--fid", "vgg", *DATA, "--out", "z"], 2, "untrained, inception"),
        (["compare", "votes", "."], 2, "compare rate"),
        (["compare"], 2, "SUITE"),
    ],
)
def test_a_wrong_command_is_one_line(here, tmp_path, args, code, said):
    (tmp_path / "compare.json").write_text(json.dumps(result()))
    suite(tmp_path, {"label": "otsu", "method": "binarize"})
    done = here(*args)
    assert done.returncode == code and said in done.stderr.splitlines()[-1], done.stderr
    assert all(len(line) <= 200 for line in done.stderr.splitlines()) and "Traceback" not in done.stderr


def test_binarize_nst_and_toonify_run_without_training_and_keep_the_size(here, tmp_path):
    small = load_image(PHOTO).resize((60, 75))
    small.save(tmp_path / "me.png")
    for args in (["binarize", "--preset", "adaptive"], ["nst", "--style", PHOTO, "--set", "calls=2"]):
        done = here("baseline", "run", *args, "me.png", "--out", args[0], *CPU)
        assert done.returncode == 0, done.stderr
        assert load_image(tmp_path / args[0] / "me.png").size == (60, 75)
    assert set(np.unique(np.array(load_image(tmp_path / "binarize" / "me.png")))) == {0, 255}
    assert here("baseline", "run", "toonify", PHOTO, "--set", "blend=3", "--out", "t", *CPU).returncode == 0
    made = load_image(next((tmp_path / "t").glob("*.png")))
    assert made.size == load_image(PHOTO).size
    note = json.loads(Image.open(tmp_path / "nst" / "me.png").text["stylegan-toon"])
    assert (
        note["method"] == "nst"
        and note["settings"]["calls"] == 2
        and "MobileFace" in note["settings"]["features"]
    )


@pytest.mark.parametrize(
    "args, said",
    [
        (["nst"], "--style FILE"),
        (["binarize", "--weights", "x"], "no --weights"),
        (["binarize", "--style", "x"], "no style"),
        (["toonify", "--vgg", "x"], "--vgg is of no use"),
        (["cyclegan"], "needs --weights"),
        (["cyclegan", "--weights", "x", "--set", "a=1"], "--set is of"),
        (["binarize", "--preset", "best"], "known: paper, small, otsu"),
        (["binarize", "--set", "way=best"], "otsu, fixed, adaptive"),
        (["binarize", "--set", "colour=1"], "known: way threshold"),
        (["toonify", "--set", "blend=9"], "0..6"),
    ],
)
def test_a_wrong_run_is_one_line(here, args, said):
    done = here("baseline", "run", *args, PHOTO, *CPU)
    assert done.returncode == 2 and said in done.stderr, done.stderr
    assert len(done.stderr.splitlines()) == 1 and len(done.stderr) <= 201
