"""A small comparison as a program runs it: split, controls, going on; the page made again of its JSON."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from stylegan_toon.data import load_pairs, load_pictures
from stylegan_toon.errors import InputError, UsageError
from stylegan_toon.features.lpips import load_lpips
from stylegan_toon.images import load_image
from stylegan_toon.losses.perceptual import map_distance
from stylegan_toon.methods.i2i import TRANSLATORS
from stylegan_toon.metrics.pixel import mse
from stylegan_toon.pipelines.baseline import settings
from stylegan_toon.pipelines.compare import judge as judging
from stylegan_toon.pipelines.compare import run as module
from stylegan_toon.pipelines.compare.data import draw_pairs, split
from stylegan_toon.pipelines.compare.judge import open_judge
from stylegan_toon.pipelines.compare.plot import front
from stylegan_toon.pipelines.compare.report import write_docs, write_page
from stylegan_toon.pipelines.compare.result import interval, read_result, rows
from stylegan_toon.pipelines.compare.run import _fitted, cells, compare
from stylegan_toon.pipelines.compare.suite import SUITES, Suite, read_suite
from stylegan_toon.pipelines.untrained import UNTRAINED
from tests.features.test_lpips import write as write_lpips
from tests.pipelines.rated import one, result

FIXTURES = Path(__file__).parents[1] / "fixtures"
DATA = {"photos": str(FIXTURES / "faces16.zip"), "cartoons": str(FIXTURES / "storybook16.zip")}
TINY = {"width": "4", "d_width": "4", "blocks": "1", "pool_size": "2"}
SUITE = Suite(
    "tiny",
    (
        {"label": "cyclegan", "method": "cyclegan", "set": TINY},
        {"label": "black-white", "method": "binarize"},
    ),
    size=32, pictures=3, seconds=0.2, seeds=2, held_out=4, reference=4, shown=2,
)  # fmt: skip


def run(folder, suite=SUITE, **more):
    return compare(suite, folder, **{**DATA, "fid": "emotion", "device": "cpu", "quiet": True, **more})


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared") / "out"
    return folder, run(folder)


def test_every_entry_has_a_cell_for_every_budget_and_seed_if_it_is_trained(ran):
    folder, found = ran
    names = [f"{cell['label']}-{cell['budget']}-{cell['seed']}" for cell in found["cells"]]
    assert names == [
        "cyclegan-pictures-0", "cyclegan-seconds-0", "black-white-taken-0", "cyclegan-pictures-1",
        "cyclegan-seconds-1",
    ]  # fmt: skip
    assert found["missing"] == 0 and json.loads((folder / "compare.json").read_text()) == found
    first, timed = found["cells"][:2]
    assert (first["steps"], first["seen"]) == (3, 3)
    assert timed["steps"] == max(1, round(0.2 * first["steps"] / first["seconds"]))
    other = found["cells"][3]["figures"]
    assert other["kid/untrained"]["value"] != first["figures"]["kid/untrained"]["value"]


def test_what_is_held_out_is_in_no_training_set(ran):
    data = ran[0] / "data"
    sets = {
        name: {bytes(p.numpy().tobytes()) for p in load_pictures([data / name], 16)}
        for name in ("photos", "photos-held-out", "cartoons", "cartoons-held-out")
    }
    assert [len(sets[name]) for name in sets] == [12, 4, 12, 4]
    assert not sets["photos"] & sets["photos-held-out"] and not sets["cartoons"] & sets["cartoons-held-out"]


def test_controls_are_what_they_must_be(ran):
    copy = {key: of["value"] for key, of in ran[1]["controls"]["copy"].items()}
    assert copy["way"] == 0 and copy["mse"] == 0 and copy["psnr"] is None
    for key in ("edge_ssim", "ssim", "identity"):
        assert copy[key] == pytest.approx(1)
    cartoons = {key: of["value"] for key, of in ran[1]["controls"]["cartoons"].items()}
    assert cartoons["way"] > 0.5 and cartoons["edge_ssim"] < 0.6
    binary = next(cell for cell in ran[1]["cells"] if cell["label"] == "black-white")
    for key in ("edge_ssim", "layout", "ssim"):
        assert binary["shuffled"][key]["value"] < binary["figures"][key]["value"]


def test_figures_are_those_of_the_pictures_that_were_made(ran):
    folder, found = ran
    photos = load_pictures([folder / "data" / "photos-held-out"], 32)
    strip = np.array(load_image(folder / "pictures" / "black-white-taken-0.png"))  # [32, 4 * 32, 3]
    made = torch.from_numpy(strip).view(32, 4, 32, 3).permute(1, 3, 0, 2)
    binary = next(cell for cell in found["cells"] if cell["label"] == "black-white")
    assert binary["figures"]["mse"]["value"] == pytest.approx(float(mse(photos, made).mean()))
    assert set(made.unique().tolist()) == {0, 255}
    assert binary["parameters"] == 0 and binary["cost"]["seconds"] > 0


def test_a_comparison_that_was_stopped_goes_on(ran, monkeypatch):
    folder, found = ran
    (folder / "cells" / "cyclegan-seconds-1.json").unlink()
    done = []
    real = module._run_cell
    monkeypatch.setattr(module, "_run_cell", lambda cell, *rest: done.append(cell.name) or real(cell, *rest))
    again = run(folder)
    assert done == ["cyclegan-seconds-1"]
    same = [cell["figures"] for cell in again["cells"]]
    assert same == [cell["figures"] for cell in found["cells"]]  # the run was there, and ends where it ended


def test_seconds_alone_are_turned_into_steps_by_a_short_trial(tmp_path):
    found = run(tmp_path, replace(SUITE, methods=SUITE.methods[:1], pictures=0, seconds=0.3, seeds=1))
    (cell,) = found["cells"]
    rate = json.loads((tmp_path / "rates" / "cyclegan-seconds-0.json").read_text())["rate"]
    assert cell["budget"] == "seconds" and cell["steps"] == max(1, round(0.3 * rate))
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"cyclegan-seconds-0"}


def test_lpips_is_taken_where_its_files_are(ran, tmp_path, monkeypatch):
    files = write_lpips(tmp_path)
    monkeypatch.setattr(judging, "lpips_files", lambda: files)
    judge = open_judge(replace(SUITE, size=64), ran[0], "emotion", torch.device("cpu"))
    assert judge.measure(judge.photos)["lpips"]["value"] == pytest.approx(0, abs=1e-9)
    x = judge.photos.float() / 127.5 - 1
    wanted = map_distance(*(load_lpips(*files)(v) for v in (x, x.roll(1, 0)))).mean()
    assert judge.measure(judge.photos.roll(1, 0))["lpips"]["value"] == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize(
    "change, key", [({"style": "avatar"}, "style"), ({"seed": 3}, "seed"), ({"photos": None}, "photos_from"),
                    ({"suite": replace(SUITE, pictures=9)}, "suite")],
)  # fmt: skip
def test_another_comparison_in_the_same_folder_is_refused(ran, change, key):
    with pytest.raises(UsageError, match=f"another {key}; name another --out"):
        run(ran[0], **change)


def test_too_few_pictures_and_unknown_methods_end_before_anything_is_trained(tmp_path):
    with pytest.raises(InputError, match="16 pictures, too few to hold 15 out"):
        run(tmp_path / "a", replace(SUITE, held_out=15))
    methods = ({"label": "a", "method": "nothing"},)
    with pytest.raises(UsageError, match="no method 'nothing'"):
        run(tmp_path / "b", replace(SUITE, methods=methods))
    assert not (tmp_path / "b").exists()


def test_faces_are_drawn_where_there_are_no_photos(tmp_path):
    said = []
    split(replace(SUITE, drawn=6, held_out=3), tmp_path, None, DATA["cartoons"], said.append)
    drawn = load_pictures([tmp_path / "data" / "photos"], 64)
    assert len(drawn) == 3 and drawn.float().std() > 20 and "real photos tell more" in said[0]
    assert not (tmp_path / "data" / ".drawn").exists()


def test_pairs_are_the_training_photos_and_what_toonify_makes_of_them(tmp_path):
    split(replace(SUITE, held_out=14), tmp_path, DATA["photos"], DATA["cartoons"])
    place = draw_pairs(tmp_path, "storybook", "cpu", lambda text: None)
    photos, toons = load_pairs(place, 128)
    wanted = load_pictures([tmp_path / "data" / "photos"], 128)
    assert torch.equal(photos, wanted) and toons.shape == photos.shape
    assert (toons.float() - photos.float()).abs().mean() > 10


@pytest.mark.parametrize(
    "preset, steps, wanted", [("small", 40, 40), ("small", 7, 20), ("paper", 12_345, 12_400)]
)
def test_a_schedule_in_epochs_ends_with_the_run(preset, steps, wanted):
    """As nearly as whole epochs of at least one picture can: 20 in the small preset, 200 in the paper's."""
    assert _fitted(settings("cyclegan", preset, {}), steps).steps == wanted


def test_suites_name_every_method_and_methods_that_are():
    for name in SUITES:
        suite = read_suite(name)
        assert {entry.method for entry in suite.entries} == set(TRANSLATORS) | set(UNTRAINED)
        blends = {entry.set["blend"] for entry in suite.entries if entry.method == "toonify"}
        assert blends == set("0123456")
        for entry in suite.entries:
            if entry.method in TRANSLATORS:
                settings(entry.method, entry.preset, {**entry.changes, "size": str(suite.size)})
    assert len(cells(read_suite("full"))) == 6 * len(TRANSLATORS) + len(suite.entries) - len(TRANSLATORS)


def test_the_suite_in_the_manual_is_one(tmp_path):
    manual = (Path(__file__).parents[2] / "docs" / "comparison.md").read_text()
    (tmp_path / "mine.json").write_text(re.search(r"```json\n(.*?)```", manual, re.DOTALL)[1])
    suite = read_suite(str(tmp_path / "mine.json"))
    assert [entry.label for entry in suite.entries] == ["cyclegan", "mine", "toonify-3"]
    assert suite.entries[0].changes == {"blocks": "9", "dropout": "true"}
    assert [cell.budget for cell in cells(suite)][:3] == ["pictures", "taken", "taken"]


@pytest.mark.parametrize(
    "text, said", [("{}", "methods"), ("[]", "no suite"), ('{"methods": [], "size": 64}', "methods"),
                   ('{"methods": [{"label": "a b", "method": "nst"}]}', "label"), ("nonsense", "no suite"),
                   ('{"methods": [{"label": "a", "method": "nst"}], "sise": 3}', "sise"),
                   ('{"methods": [{"label": "a", "method": "nst", "set": [1]}]}', "set of 'a'"),
                   ('{"methods": [{"label": "a", "method": "nst", "set": {"calls": [1]}}]}', "set of 'a'"),
                   ('{"methods": [1]}', "no suite"), ('{"methods": 1}', "methods"),
                   ('{"methods": [{"label": "a", "methd": "nst"}]}', "methd"),
                   ('{"methods": [{"label": "a", "method": "nst"}], "size": 8}', "size=8"),
                   ('{"methods": [{"label": "a", "method": "nst"}], "seeds": 11}', "seeds=11")],
)  # fmt: skip
def test_a_suite_that_is_none_is_one_line_that_names_the_key(tmp_path, text, said):
    (tmp_path / "mine.json").write_text(text)
    with pytest.raises(UsageError, match=said) as caught:
        read_suite(str(tmp_path / "mine.json"))
    assert len(str(caught.value)) < 190
    with pytest.raises(UsageError, match="known: smoke, full"):
        read_suite("fast")


def test_the_interval_is_students_over_seeds_and_the_photos_own_for_one():
    group = rows(result())[0]
    mean, low, high = interval(group.cells, "way")
    assert mean == pytest.approx(0.6) and high - mean == pytest.approx(12.7062 * 0.1, rel=1e-4)
    assert low == pytest.approx(2 * mean - high)
    assert interval(group.cells[:1], "edge_ssim") == pytest.approx((0.4, 0.35, 0.45))
    assert interval(group.cells, "lpips") is None
    assert math.isnan(interval([{"figures": {"psnr": one(None)}}], "psnr")[0])


def test_the_front_is_what_nobody_beats_on_both():
    assert front([(0, 5), (1, 4), (0.5, 4.5), (0.4, 3), (2, 0), (1, 1)]) == [0, 2, 1, 4]
    assert front([(1, 1), (1, 2)]) == [1]


def test_the_page_is_made_again_of_the_json_alone_and_needs_nothing_else(ran, tmp_path):
    folder, found = ran[0], read_result(ran[0])
    write_page(found, folder)
    (tmp_path / "compare.json").write_bytes((folder / "compare.json").read_bytes())
    write_page(read_result(tmp_path), tmp_path)
    for name in ("compare.html", "compare.csv"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    page = (tmp_path / "compare.html").read_text()
    assert "http" not in page.replace("http-equiv", "")
    assert set(re.findall(r'(?:src|href)="([^":]*):', page)) == {"data"}
    assert page.count("data:image/jpeg") == 2 * (1 + len(rows(found)))
    table = (tmp_path / "compare.csv").read_text().splitlines()
    assert len(table) == 1 + 2 + 5 and table[1].startswith("copy,")
    at = table[0].split(",").index("edge_ssim")
    assert float(table[3].split(",")[at]) == found["cells"][0]["figures"]["edge_ssim"]["value"]


def test_the_page_says_what_was_compared_and_escapes_it(tmp_path):
    given = result(cartoons_from="<script>alert(1)</script>.zip", missing=2)
    votes = [{"method": "cyclegan", "counts": [0, 1, 0, 0, 3], "average": 4.25}]
    write_page(given, tmp_path, votes)
    page = (tmp_path / "compare.html").read_text()
    assert "<script" not in page and "&lt;script&gt;" in page
    for said in ("no real photos", "40 photos shown", "5 seconds of training", "not which is best",
                 "2 networks were trained for this, in 0.3 minutes",
                 "2 runs have no", "0.60", "-0.67 to 1.87", "12,345", "2.50", "25.0", "4.25",
                 "outputs, shuffled"):  # fmt: skip
        assert said in page, said


def test_the_docs_section_is_written_below_its_mark_again_and_again(tmp_path):
    docs = tmp_path / "comparison.md"
    docs.write_text("# Mine\n\nwords\n")
    write_docs(result(), docs)
    once = docs.read_text()
    written = write_docs(result(), docs)
    assert docs.read_text() == once and once.startswith("# Mine\n\nwords\n")
    assert "| cyclegan, pictures | 0.60 (-0.67 to 1.87) |" in once
    for path in written:
        assert path.is_file()
    for picture in re.findall(r"\]\((images/.*?)\)", once):
        assert (tmp_path / picture).is_file()
    assert load_image(tmp_path / "images" / "comparison.png").size == (3 * 16, 3 * 16)  # photo, two methods


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"version": 2, "cells": []}', "[" * 5000])
def test_a_broken_result_is_one_line(tmp_path, text):
    (tmp_path / "compare.json").write_text(text)
    with pytest.raises(InputError, match="no result of a comparison"):
        read_result(tmp_path)


def test_a_result_with_a_part_missing_is_one_line(tmp_path):
    for key in ("about", "cells", "photos_from"):
        given = result()
        del given[key]
        (tmp_path / "compare.json").write_text(json.dumps(given))
        with pytest.raises(InputError, match="no result of a comparison"):
            read_result(tmp_path)
    given = result()
    del given["cells"][1]["cost"]
    (tmp_path / "compare.json").write_text(json.dumps(given))
    with pytest.raises(InputError, match="no result of a comparison"):
        read_result(tmp_path / "compare.json")
