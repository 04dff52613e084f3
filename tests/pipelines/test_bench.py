"""The arithmetic of a bench on given numbers; peers called by their names; the operators beside NumPy."""

import copy
import datetime
import sys

import pytest
import torch

from stylegan_toon.errors import MissingPartError, UsageError
from stylegan_toon.methods.gan import Gan, GanConfig
from stylegan_toon.methods.scratch import Scratch
from stylegan_toon.pipelines.bench import ops, peers, timing, toonify, train
from stylegan_toon.pipelines.toonifier import AROUND, STROKES, Toonifier
from stylegan_toon.pipelines.toonify import toonify_files
from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.discriminator import Discriminator
from stylegan_toon.stylegan2.generator import Generator
from tests.pipelines.peer import write_peer

CPU = torch.device("cpu")


@pytest.fixture
def peer(tmp_path, monkeypatch):
    """A checkout of rosinality's; what it imports is forgotten afterwards."""
    yield write_peer(tmp_path / "peer")
    for name in [name for name in sys.modules if name.partition(".")[0] in ("model", "op")]:
        del sys.modules[name]


def test_calls_take_turns_after_one_warm_up_each():
    order = []
    calls = {name: (lambda name=name: order.append(name)) for name in "ab"}
    times = timing.take_turns(calls, 3, CPU)
    assert order[-6:] == ["a", "b"] * 3
    assert len(times["a"].seconds) == len(times["b"].cpu) == 3


def test_a_measurement_is_filled_with_calls_and_told_for_one(monkeypatch):
    clock = [0.0]
    for name in ("perf_counter", "process_time"):
        monkeypatch.setattr(timing.time, name, lambda: clock[0])

    def call():
        clock[0] += 0.005

    times = timing.take_turns({"a": call}, 2, CPU, least=0.02)
    assert clock[0] == pytest.approx(0.005 * (1 + 1 + 2 * 4))  # to warm up, to see how long it takes, rounds
    assert times["a"].seconds == times["a"].cpu == [pytest.approx(0.005)] * 2


def test_figures_and_ratios_of_given_times():
    ours = timing.Times([0.2, 0.1, 0.4], [0.3, 0.3, 0.6])
    theirs = timing.Times([0.5, 0.4, 0.6], [0.9, 1.2, 0.1])
    assert timing.figures(ours) == {"ms": 200, "cpu_ms": 300, "ms_of_each_round": [200, 100, 400]}
    assert timing.ratios(theirs, ours) == {
        "time": 2.5, "cpu_time": 3.0, "time_of_each_round": [2.5, 4.0, 1.5],
    }  # fmt: skip


def test_a_difference_is_relative_to_the_largest_number():
    assert timing.difference(torch.tensor([1.0, -8.5]), torch.tensor([1.2, -8.0])) == 0.062
    assert timing.difference(torch.zeros(2), torch.zeros(2)) == 0


def test_a_table_is_aligned_and_shows_what_is_not_known():
    lines = timing.table(("who", "ms"), [("ours", 1.5), ("a peer", None)])
    assert lines == ["who      ms", "ours    1.5", "a peer    -"]


def test_the_conditions_say_where_and_when():
    told = timing.conditions(CPU)
    assert told["torch"] == torch.__version__ and told["threads"] == torch.get_num_threads()
    assert told["device"].startswith("cpu (")
    datetime.date.fromisoformat(told["date"])


def test_the_operators_equal_numpy_and_their_rates_follow_from_their_bytes(peer, monkeypatch):
    monkeypatch.setattr(ops, "LEAST", 0.001)
    report = ops.bench(8, 2, "cpu", [f"rosinality={peer}"], rounds=1)
    rows = {(r["case"], r["dtype"], r["who"]): r for r in report["results"]}
    assert len(rows) == 6 * 2 * 3
    for (_, dtype, who), row in rows.items():
        if who != "ours":
            assert row["difference"] < (2e-6 if dtype == "float32" else 2e-2)
            wanted = row["microseconds"] / rows[row["case"], dtype, "ours"]["microseconds"]
            assert row["ours_is_faster"]["time"] == pytest.approx(wanted, rel=1e-3)
        assert row["share_of_copy"] == pytest.approx(
            row["gb_per_second"] / row["copy_gb_per_second"], rel=1e-3
        )
    blur = rows["blur 9 -> 8", "float32", "ours"]
    moved = 2 * 64 * (9 * 9 + 8 * 8) * 4
    assert blur["gb_per_second"] == pytest.approx(moved / blur["microseconds"] / 1e3, rel=1e-3)
    down = rows["skip down", "bfloat16", "ours"]
    moved = 2 * 64 * (8 * 8 + 4 * 4) * 2
    assert down["gb_per_second"] == pytest.approx(moved / down["microseconds"] / 1e3, rel=1e-3)


@pytest.mark.parametrize(
    "given, words",
    [
        ("lucidrains=.", "rosinality=PATH or stylegan3=PATH"),
        ("stylegan3", "rosinality=PATH or stylegan3=PATH"),
        ("rosinality=", "rosinality=PATH or stylegan3=PATH"),
        ("rosinality=nowhere", "nowhere is no checkout of rosinality: it has no model.py"),
        ("stylegan3=nowhere", "no checkout of stylegan3"),
    ],
)
def test_what_is_no_peer_is_wrong_usage(given, words):
    with pytest.raises(UsageError, match=words):
        peers.open_peer(given, CPU)


def test_a_peer_that_does_not_import_lacks_a_part(peer):
    (peer / "op/fused_act.py").write_text("import no_such_module_anywhere")
    with pytest.raises(MissingPartError, match=r"does not import \(ModuleNotFoundError: No module named"):
        peers.open_peer(f"rosinality={peer}", CPU)


def test_a_peer_is_named_once(peer):
    with pytest.raises(UsageError, match="given twice"):
        peers.open_peers([f"rosinality={peer}"] * 2, CPU)


def test_opening_a_peer_leaves_imports_as_they_were(peer):
    path, load = list(sys.path), torch.utils.cpp_extension.load
    peers.open_peer(f"rosinality={peer}", CPU)
    assert sys.path == path and torch.utils.cpp_extension.load is load


def test_a_step_counts_every_phase_as_often_as_it_comes():
    rounds = {"d": [16.0, 1], "r1": [32.0, 1], "g": [8.0, 1], "path": [20.0, 1], "ema": [0.5, 1]}
    phases = {name: timing.Times(times, [2 * t for t in times]) for name, times in rounds.items()}
    whole = train.step_times(phases)
    assert whole.seconds == [16 + 2 + 8 + 5 + 0.5, 3 + 1 / 16 + 1 / 4]
    assert whole.cpu == [2 * seconds for seconds in whole.seconds]


@pytest.mark.parametrize("step", [0, 1], ids=["with penalties", "without"])
def test_the_phases_are_a_step_of_training(step):
    config, shape = GanConfig(batch=4, mixing=0.0), Config(16, (8, 8, 8), 16, 16, 2)
    real, players = torch.rand(4, 3, 16, 16) * 2 - 1, (Generator(shape), Discriminator(shape))
    whole = Scratch(config, *(copy.deepcopy(player) for player in players))
    torch.manual_seed(7)
    whole.step({"photo": real}, whole.optimizers(), step)
    gan = Gan(*players, config)
    phases = train.own_phases(gan, real)
    torch.manual_seed(7)
    for name in ("d", "r1", "g", "path") if step == 0 else ("d", "g"):
        phases[name]()
    for kind in ("g", "d"):
        pairs = zip(getattr(gan, kind).parameters(), getattr(whole.gan, kind).parameters(), strict=True)
        assert all(a.equal(b) for a, b in pairs)


def test_the_kinds_of_steps_make_up_all_steps():
    shares = train.SHARES | train.STEPS
    for kinds in (("first", "rest"), train.KINDS):
        assert sum(shares[name] for name in kinds) == 1
    steps = train.playing(16, 2, CPU, 0)
    found = {name: {key.partition("/")[2] for key in call()} for name, call in steps.items()}
    assert ["r1" in found[name] for name in train.KINDS] == [True, False, False]
    assert ["path" in found[name] for name in train.KINDS] == [True, True, False]


def test_the_line_through_given_times():
    assert toonify.line({1: 2.5, 2: 3.0, 4: 4.0, 8: 6.0}) == pytest.approx((0.5, 2.0))
    assert toonify.line({1: 1.0, 2: 1.0, 3: 4.0}) == pytest.approx((1.5, -1.0))


def test_the_stages_are_what_toonify_does(tmp_path):
    photo, out = tmp_path / "photo.png", tmp_path / "staged.png"
    toonify.drawn_photo(320, 0, "cpu").save(photo)
    toonifier = Toonifier(device="cpu", upscale="auto", strokes=STROKES, around=AROUND)
    for stage in toonify.stages_of(toonifier, [photo], out).values():
        stage()
    folder = str(tmp_path / "out")
    (result,) = toonify_files([str(photo)], out=folder, device="cpu", metadata=False)
    assert result.path is not None
    assert out.read_bytes() == result.path.read_bytes()
