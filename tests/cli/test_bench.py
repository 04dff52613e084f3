"""bench through the command line: a table, one document, and errors in a line."""

import json
import math
import sys

import numpy
import pytest
import torch

from stylegan_toon.pipelines.bench import generator, ops, timing, toonify
from tests.pipelines.peer import write_peer


@pytest.fixture
def peer(tmp_path):
    yield write_peer(tmp_path / "peer")
    for name in [name for name in sys.modules if name.partition(".")[0] in ("model", "op")]:
        del sys.modules[name]


def test_the_generator_beside_a_peer_as_one_document(here, peer, monkeypatch):
    monkeypatch.setattr(generator, "training_dtype", lambda device: torch.bfloat16)
    given = ("--resolution", "8", "--batch", "2", "--rounds", "2", "--device", "cpu")
    done = here("bench", "generator", *given, "--peer", f"rosinality={peer}", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["bench"], report["resolution"], report["batch"]) == ("generator", 8, 2)
    assert report["torch"] == torch.__version__
    ours, half, theirs = report["results"]
    assert [row["who"] for row in report["results"]] == ["ours", "ours, bfloat16", "rosinality"]
    assert 1e-5 < half["difference"] < 0.1 and half["faster_than_ours"]["time"] > 0
    assert ours["images_per_second"] == pytest.approx(2 / ours["ms"] * 1e3, rel=1e-3)
    assert theirs["ours_is_faster"]["time"] == pytest.approx(theirs["ms"] / ours["ms"], rel=1e-2)
    assert len(theirs["ours_is_faster"]["time_of_each_round"]) == 2
    assert 0 < theirs["difference"] < 1e-5
    if sys.platform == "linux":
        assert ours["peak_mib"] > 4 * report["parameters"] / 2**20
        assert theirs["peak_mib"] > 8 * report["parameters"] / 2**20  # it computes in float64


def test_the_operators_as_a_table(here, monkeypatch):
    monkeypatch.setattr(ops, "LEAST", 0.001)
    given = ("--resolution", "8", "--batch", "1", "--rounds", "1", "--device", "cpu")
    done = here("bench", "ops", *given)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert f"torch {torch.__version__}, rounds: 1" in lines[0]
    assert lines[2].split()[:3] == ["case", "numbers", "who"]
    assert len(lines) == 3 + 6 * 2 * 2


def test_a_step_of_training_as_one_document(here):
    given = ("--resolution", "8", "--batch", "2", "--rounds", "1", "--device", "cpu")
    done = here("bench", "train", *given, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    row, finetuning = report["results"]
    assert set(row["phases_ms"]) == {"d", "r1", "g", "path", "ema"}
    d, r1, g, path, ema = row["phases_ms"].values()
    assert row["step_ms"] == pytest.approx(d + r1 / 16 + g + path / 4 + ema, rel=1e-3)
    assert row["seconds_per_kimg"] == pytest.approx(row["step_ms"] / 2, rel=1e-3)
    assert finetuning["who"] == "ours, FreezeSG" and finetuning["phases_ms"] == {}
    assert finetuning["step_ms"] > 0 and "ours_is_faster" not in finetuning


def test_a_photo_by_stage_and_several_as_one_document(here, monkeypatch):
    monkeypatch.setattr(toonify, "COUNTS", (1, 2))
    given = ("--resolution", "256", "--batch", "2", "--rounds", "1", "--device", "cpu")
    done = here("bench", "toonify", *given, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert list(report["stages_ms"]) == ["find", "invert", "draw", "enlarge", "paste", "save"]
    assert report["draw_by_onnxruntime_ms"] > 0
    two, four = report["photos"]
    assert (two["photos"], four["photos"]) == (2, 4)
    assert report["ms_per_photo"] == pytest.approx((four["ms"] - two["ms"]) / 2, rel=0.01, abs=0.1)


def test_how_time_grows(here, monkeypatch):
    monkeypatch.setattr(toonify, "COUNTS", (1, 2))
    monkeypatch.setattr(toonify, "CROWD", (1, 4))
    given = ("--rounds", "1", "--device", "cpu", "--slopes", "--json")
    drawing = json.loads(here("bench", "generator", "--resolution", "32", "--batch", "2", *given).stdout)
    batch, resolution = drawing["slopes"]["batch"], drawing["slopes"]["resolution"]
    assert list(batch["ms"]) == ["2", "4", "8"] and list(resolution["ms"]) == ["8", "16", "32"]
    assert batch["ms_each"] == pytest.approx(
        numpy.polyfit([2, 4, 8], list(batch["ms"].values()), 1)[0], rel=0.02
    )
    first, _, last = resolution["ms"].values()
    assert 0 < resolution["power_of_pixels"] == pytest.approx(math.log(last / first, 16), abs=0.2)

    photo = here("bench", "toonify", "--resolution", "512", *given)
    faces = json.loads(photo.stdout)["slopes"]["faces"]["ms"]
    assert list(faces) == ["1", "4"] and faces["4"] > faces["1"]


@pytest.mark.slow
def test_compiled_it_draws_the_same_and_without_a_compiler_a_line_says_so(here, monkeypatch):
    given = (
        "bench",
        "generator",
        "--resolution",
        "8",
        "--rounds",
        "1",
        "--device",
        "cpu",
        "--compile",
        "--json",
    )
    done = here(*given)
    assert done.returncode == 0, done.stderr
    plain, compiled = json.loads(done.stdout)["results"][:: len(json.loads(done.stdout)["results"]) - 1]
    assert (plain["who"], compiled["who"]) == ("ours", "ours, torch.compile")
    assert compiled["difference"] < 1e-4 and compiled["faster_than_ours"]["time"] > 0
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("TORCHINDUCTOR_FORCE_DISABLE_CACHES", "1")
    done = here(*given)
    assert done.returncode == 5 and done.stderr.count("\n") == 1, done.stderr
    assert "torch.compile does not work here" in done.stderr


def test_a_curve_of_known_shape():
    times = {n: timing.Times([0.002 * n + 0.001] * 3) for n in (1, 2, 4)}
    assert timing.growth(times)["ms_each"] == pytest.approx(2) and timing.growth(times)[
        "ms_fixed"
    ] == pytest.approx(1)
    times = {r: timing.Times([1e-6 * r**3]) for r in (8, 16, 64)}
    assert timing.growth_with_pixels(times)["power_of_pixels"] == pytest.approx(1.5)


@pytest.mark.parametrize(
    "args, code, words",
    [
        (("everything",), 2, "'everything' is not one of"),
        ((), 2, "Missing argument"),
        (("generator", "--resolution", "4"), 2, "--resolution"),
        (("generator", "--resolution", "100"), 2, "must be a power of two up to 1024"),
        (("ops", "--batch", "0"), 2, "--batch"),
        (("ops", "--peer", "rosinality=nowhere"), 2, "no checkout of rosinality"),
        (("toonify", "--peer", "stylegan3=."), 2, "bench toonify runs no peer"),
        (("ops", "--slopes"), 2, "bench ops fits no slopes"),
        (("toonify", "--compile"), 2, "bench toonify compiles nothing"),
        (("train", "--slopes"), 2, "bench train fits no slopes"),
        (("toonify", "--resolution", "8"), 2, "give another --seed or a larger --resolution"),
        (("generator", "--peer", "stylegan3"), 2, "give rosinality=PATH or stylegan3=PATH"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_wrong_use_is_one_line(here, args, code, words):
    done = here("bench", *args, "--device", "cpu")
    assert done.returncode == code
    assert words in done.stderr and done.stderr.count("\n") == 1 and len(done.stderr) <= 201


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("what", ["generator", "train", "ops", "toonify"])
def test_a_gpu_that_is_not_there_is_a_missing_device(here, what):
    done = here("bench", what, "--device", "cuda")
    assert done.returncode == 5
    assert "use --device cpu" in done.stderr
