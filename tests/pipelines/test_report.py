"""The page of a run: numbers worked by hand, nothing unescaped, nothing fetched."""

import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest
import torch

from stylegan_toon.checkpoint.format import Checkpoint, save
from stylegan_toon.images import save_png
from stylegan_toon.pipelines.report import _curve, best_look, in_words, ticks, write_report
from stylegan_toon.training.log import log

EVIL = "<script>alert('&\"x')</script>"


def made(out, kids=(2.0, 0.5, 0.75), steps=30, **about):
    (out / "samples").mkdir(parents=True)
    settings = {"target": "drawn", "source": "faces", "steps": steps, "patience": 1, "before": {"kid": 4.0}}
    settings |= {"training_pictures": 100, "method": {"lr": 0.002}, "program": "0"} | about
    (out / "run.json").write_text(json.dumps(settings))
    for i, kid in enumerate(kids):
        step = 10 * (i + 1)
        log(
            out,
            {
                "step": step,
                "rate": 1.0,
                "memory_mb": 1234,
                "d": 1.0,
                "g": 2.0 - i,
                "ada/p": 0.1,
                "d/sign": 0.4,
            },
        )
        log(out, {"step": step, "pictures": 4.0, "kid": kid, "structure": 0.01 * i})
        save_png(out / "samples" / f"{step:07d}.png", torch.zeros(3, 16, 16))
    log(out, {"step": 10 * len(kids), "nearest": 0.9, "closer": 0.02})
    return write_report(out).read_text()


class Balanced(HTMLParser):
    """Fails on a tag that is not closed; collects the names of tags, and addresses."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.addresses = [], set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.addresses += [
            value for name, value in attrs if name in ("src", "href", "action", "data", "xlink:href")
        ]
        if tag not in ("meta", "img", "path", "circle"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_best_look_is_that_of_the_lowest_kid(tmp_path):
    page = made(tmp_path / "runs" / "drawn")
    out = tmp_path / "runs" / "drawn"
    assert best_look(out)["step"] == 20
    said = in_words(out)
    assert (
        said == "best at step 20, KID 0.5 (source 4), nearest training picture at 0.90 of their own distance"
    )
    for words in ("the look with the lowest KID to the training pictures, at step 20.", "-88% from",
                  "2.0%", "--style drawn", "100 pictures", "30 of 30 steps", "1.2 GB"):  # fmt: skip
        assert words in page, words
    assert "ended early" not in page


def test_a_run_that_ended_early_says_why(tmp_path):
    assert "The run ended early, because KID had not fallen for 1 looks." in made(tmp_path / "a", steps=99)


def test_the_best_is_what_its_file_says_also_where_the_log_has_lost_that_look(tmp_path):
    made(tmp_path)
    for step, kid in ((10, 2.0), (15, 0.1)):
        meta = {"step": step, "judged": kid}
        save(tmp_path / "best.safetensors", Checkpoint("generator", {}, meta, {"x": torch.zeros(1)}))
        assert (best_look(tmp_path)["step"], best_look(tmp_path)["kid"]) == (step, kid)
        assert f"at step {step}." in write_report(tmp_path).read_text()


def test_without_kid_the_last_look_is_the_best(tmp_path):
    made(tmp_path, kids=())
    log(tmp_path, {"step": 5, "pictures": 1.0, "structure": 0.0})
    assert best_look(tmp_path)["step"] == 5
    assert "too few or too small pictures" in write_report(tmp_path).read_text()


def test_the_page_is_whole_escapes_everything_and_needs_nothing_from_elsewhere(tmp_path):
    page = made(tmp_path / "x", target=EVIL, source=EVIL, method={EVIL: EVIL}, pictures=EVIL, program=EVIL)
    parser = Balanced()
    parser.feed(page)
    assert (
        not parser.open and "script" not in parser.tags and parser.tags >= {"svg", "img", "table", "details"}
    )
    assert "<script" not in page and page.count("&lt;script&gt;") >= 6
    for address in parser.addresses:
        assert re.match(r"data:image/jpeg;base64,|samples/\d{7}\.png$", address)
    assert "http" not in page and "url(" not in page


@pytest.mark.parametrize(
    "low, high, about, wanted",
    [(0, 30, 5, [0, 10, 20, 30]), (0, 0.9, 4, [0, 0.5, 1]), (90.5, 130, 4, [90, 100, 110, 120, 130]),
     (-0.3, 0.3, 4, [-0.4, -0.2, 0, 0.2, 0.4]), (5, 5, 4, [4, 6]), (0, 0, 4, [0, 0.5])],
)  # fmt: skip
def test_ticks_are_round_and_hold_the_curve(low, high, about, wanted):
    found = ticks(low, high, about)
    assert found[0] <= low and found[-1] >= high and len(found) >= 2
    if low < high:
        assert found == pytest.approx(wanted)


def test_a_curve_is_where_its_numbers_are():
    points = [(0.0, 0.0), (50.0, 1.0), (100.0, 0.5)]
    text = _curve("K", "m", [("k", points)], (50.0, 1.0))
    svg = ET.fromstring(re.search(r"<svg.*</svg>", text)[0])
    line = next(path for path in svg.iter("path") if path.get("fill") == "none")
    numbers = [float(n) for n in re.findall(r"[\d.]+", line.get("d"))]
    left, right, top, bottom = 46, 420 - 12, 12, 190 - 24
    middle = (left + right) / 2
    assert numbers == pytest.approx([left, bottom, middle, top, right, (top + bottom) / 2], abs=0.06)
    dot = next(svg.iter("circle"))
    assert (float(dot.get("cx")), float(dot.get("cy"))) == pytest.approx((middle, top), abs=0.06)
    assert [text.text for text in svg.iter("text")][-1] == "100"
