"""What a run survives: crashes inside a save, damaged states, full disks, overflow, too little memory."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest
import torch
from torch.optim import SGD

from stylegan_toon.checkpoint.format import load
from stylegan_toon.errors import DiskError, MemoryFullError, ModelError, NotFiniteError, Terminated
from stylegan_toon.methods.freezesg import Config as FreezeConfig
from stylegan_toon.methods.freezesg import FreezeSG
from stylegan_toon.methods.gan import GanConfig
from stylegan_toon.methods.scratch import Scratch
from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.discriminator import Discriminator
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.training.loop import Run, train
from stylegan_toon.training.state import newest_state, open_newest, save_state, state_digest, states

NETWORK = Config(8, (8, 8), 8, 8, 2)
ROOT = Path(__file__).parents[2]


def scratch(**changes):
    torch.manual_seed(5)
    settings = {"batch": 4, "ada_p": 0.3, "ada_images": 100} | changes
    return Scratch(GanConfig(**settings), Generator(NETWORK), Discriminator(NETWORK))


def stream(i, batch=4):
    return {"photo": torch.rand(batch, 3, 8, 8, generator=torch.Generator().manual_seed(i)) * 2 - 1}


def run(method, out, steps, look=None, batches=stream, **settings):
    looked = []
    note = look or (lambda i: looked.append(i) or {})
    every = {"save_every": 2, "look_every": 100, "log_every": 1, "seed": 3, "quiet": True} | settings
    train(method, batches, Run(out, steps, **every), note, {})
    return looked


def digest(out):
    return state_digest(open_newest(out)[1])


CALLS = {"open", "write", "flush", "fsync", "close", "replace", "unlink"}


def crash_in_save(out, method, optimizers, done, at):
    """Save in a forked process that dies at the at-th moment before or after one of CALLS; False once it
    lives through."""
    pid = os.fork()
    if not pid:
        met = 0

        def profile(frame, event, argument):
            nonlocal met
            if event in ("c_call", "c_return") and argument.__name__ in CALLS:
                met += 1
                if met == at:
                    os._exit(77)

        sys.setprofile(profile)
        try:
            save_state(out, method, optimizers, done, 0)
        finally:
            sys.setprofile(None)
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 77


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_crash_before_or_after_any_call_of_a_save_leaves_the_old_or_the_new_state(tmp_path):
    method = torch.nn.Linear(2, 2)  # a method is any module with a config: a small one has few calls
    method.config = GanConfig()
    for step in (1, 2):
        save_state(tmp_path, method, {}, step, 0)
    torch.nn.init.constant_(method.weight, 3.0)
    seen, at = set(), 1
    while crash_in_save(tmp_path, method, {}, 3, at):
        path, state, passed = open_newest(tmp_path)
        step = state.meta["step"]
        assert passed == [] and (step == 3) == bool((state.tensors["method/weight"] == 3).all())
        assert len(states(tmp_path)) >= 2
        seen.add(step)
        if step == 3:
            path.unlink()
            save_state(tmp_path, method, {}, 1, 0)
        at += 1
    assert at > 20 and seen == {2, 3}
    assert [path.stem for path in states(tmp_path)] == ["00000003", "00000002"]


def test_what_a_crash_left_half_written_is_removed_by_the_next_run(tmp_path):
    run(scratch(), tmp_path, 2)
    for folder in (tmp_path, tmp_path / "state"):
        (folder / ".123-abc.part").write_bytes(b"half")
    run(scratch(), tmp_path, 3)
    assert not list(tmp_path.glob("**/.*.part"))


def test_a_damaged_newest_state_is_passed_over_with_a_word_and_the_end_is_the_same(tmp_path, capsys):
    run(scratch(), tmp_path / "calm", 6)
    run(scratch(), tmp_path / "hurt", 4)
    newest = newest_state(tmp_path / "hurt")
    data = bytearray(newest.read_bytes())
    data[-1] ^= 1
    newest.write_bytes(data)
    run(scratch(), tmp_path / "hurt", 6)
    assert "was changed since it was written" in capsys.readouterr().err
    assert digest(tmp_path / "hurt") == digest(tmp_path / "calm")


def test_when_no_state_is_whole_the_run_stops_and_says_how_to_start_anew(tmp_path):
    run(scratch(), tmp_path, 4)
    for path in states(tmp_path):
        path.write_bytes(b"")
    with pytest.raises(ModelError, match=r"no state in .* is whole; use --resume never"):
        run(scratch(), tmp_path, 6)
    assert len(states(tmp_path)) == 2


def test_a_run_killed_between_state_and_look_looks_again(tmp_path):
    def dies(i):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(scratch(), tmp_path, 6, look=dies, look_every=2)
    assert run(scratch(), tmp_path, 6, look_every=2) == [2, 4, 6]


def test_the_log_has_every_step_once_after_a_crash_that_tore_a_line(tmp_path):
    run(scratch(), tmp_path, 5)
    states(tmp_path)[0].unlink()  # as if killed before the state of step 5 was written
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write('{"step": 6, "sec')
    run(scratch(), tmp_path, 7)
    entries = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in entries if "rate" in entry] == [1, 2, 3, 4, 5, 6, 7]


def test_the_digest_leaves_out_the_settings_and_covers_every_tensor_and_the_step(tmp_path):
    run(scratch(), tmp_path, 2)
    state = load(newest_state(tmp_path))
    first = state_digest(state)
    state.config["lr"] = 9.0
    assert state_digest(state) == first
    state.meta["step"] = 3
    assert state_digest(state) != first
    state.meta["step"] = 2
    name = next(name for name in state.tensors if name.endswith("exp_avg_sq"))
    state.tensors[name].flatten()[0] += 1
    assert state_digest(state) != first


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource")
def test_a_disk_that_fills_up_keeps_the_old_state_and_nothing_half_written(tmp_path):
    import resource

    method = scratch()
    optimizers = method.optimizers()
    save_state(tmp_path, method, optimizers, 1, 0)
    size = newest_state(tmp_path).stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        for limit in (0, 1, 100, 5000, size // 2, size - 1):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
            with pytest.raises(DiskError, match="free some space"):
                save_state(tmp_path, method, optimizers, 2, 0)
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            assert [path.name for path in (tmp_path / "state").iterdir()] == ["00000001.safetensors"]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, old)
    assert open_newest(tmp_path)[1].meta["step"] == 1


class Spoilt(Scratch):
    """Scratch whose gradient, loss or weight is spoilt at step 2."""

    what, value = "", float("nan")

    def step(self, batch, opt, i):
        losses = super().step(batch, opt, i)
        if i == 2:
            if self.what == "gradient":
                self.gan.d.out.weight.grad.view(-1)[0] = self.value
            elif self.what == "loss":
                losses["g"] = losses["g"] * self.value
            else:
                with torch.no_grad():
                    self.gan.d.out.weight.view(-1)[0] = self.value
        return losses


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(
    "what, said", [("gradient", "the gradient of gan.d.out"), ("loss", "loss g "), ("weight", "gan.d.out")]
)
def test_what_is_not_finite_stops_the_run_in_its_step_and_is_not_saved(what, said, value, tmp_path):
    torch.manual_seed(5)
    method = Spoilt(GanConfig(batch=4), Generator(NETWORK), Discriminator(NETWORK))
    method.what, method.value = what, value
    with pytest.raises(NotFiniteError, match="is not finite") as caught:
        run(method, tmp_path, 9, save_every=1)
    assert said in str(caught.value) and "00000002.safetensors" in str(caught.value)
    assert len(str(caught.value)) < 190
    assert newest_state(tmp_path).stem == "00000002"


def test_large_finite_gradients_are_no_reason_to_stop(tmp_path):
    torch.manual_seed(5)
    method = Spoilt(GanConfig(batch=4), Generator(NETWORK), Discriminator(NETWORK))
    method.what, method.value = "gradient", 3e38  # its square is not finite in float32
    run(method, tmp_path, 3)


@pytest.mark.parametrize("kind", ["scratch", "freezesg", "relativistic", "near"])
@pytest.mark.parametrize("batch, parts", [(16, 2), (16, 4), (6, 2)])
def test_a_batch_in_parts_gives_the_step_of_the_whole_batch(kind, batch, parts):
    """With SGD, whose step is the gradient; noise, mixing and ADA are drawn for the whole batch."""
    results = []
    for taken in (1, parts):
        torch.manual_seed(5)
        settings = {"batch": batch, "r1_every": 1, "path_every": 1, "ada_p": 0.5, "mixing": 1.0}
        networks = Generator(NETWORK), Discriminator(NETWORK)
        with torch.no_grad():
            networks[0].synthesis.const.add_(0.1)
            for block in networks[0].synthesis.blocks:
                block.conv1.noise_strength.fill_(0.3)
        if kind == "scratch":
            method = Scratch(GanConfig(**settings), *networks)
        else:
            more = {
                "freezesg": {"structure_layers": 2},
                "relativistic": {"loss": "relativistic", "structure_layers": 2},
                "near": {"structure_of": "features", "structure_layers": 1, "cdc_weight": 3.0,
                         "l2sp_weight": 0.01, "freeze_mapping": False, "freeze_sg": 1},
            }  # fmt: skip
            method = FreezeSG(FreezeConfig(**settings, **more[kind]), *networks)
            method.gan.g.synthesis.blocks[1].to_rgb.bias.data += 0.3  # so that the structure loss is not 0
        assert method.take_parts(taken)
        torch.manual_seed(1)
        photo = stream(0, batch)["photo"]
        optimizers = {key: SGD(adam.param_groups, 0.01) for key, adam in method.optimizers().items()}
        losses = method.step({"photo": photo, "cartoon": photo}, optimizers, 0)
        results.append(losses | method.state_dict())
    whole, parted = results
    assert whole.keys() == parted.keys()
    assert all(whole[name].isfinite().all() for name in whole)
    gap = {name: float((whole[name] - parted[name]).abs().max()) for name in whole}
    assert max(gap.values()) < 1e-5, max(gap, key=gap.get)


def test_the_path_length_of_a_batch_in_parts_is_compared_with_the_mean_over_all_parts():
    method = scratch(batch=16, noise_lr=0.0, path_every=1)
    gan = method.gan
    gan.path_mean.fill_(0.05)
    assert method.take_parts(2)
    torch.manual_seed(7)
    w_plus = gan.draw_w(8)
    codes = w_plus.detach().requires_grad_()
    pictures = gan.g.synthesis(codes, "none")[-1]
    y = torch.randn_like(pictures) / 8  # the same draws, one sample's length at a time
    (gradient,) = torch.autograd.grad((pictures * y).sum(), codes)
    lengths = [float((row.square().sum(1).mean()) ** 0.5) for row in gradient]
    mean = 0.05 + 0.01 * (sum(lengths) / 8 - 0.05)
    penalty = sum((length - mean) ** 2 for length in lengths) / 8
    torch.manual_seed(7)
    found = gan.step_path(SGD(method.optimizers()["g"].param_groups, 0.01), 0)
    assert float(found["g/path"]) == pytest.approx(penalty, rel=1e-5)
    assert float(found["g/path_mean"]) == float(gan.path_mean) == pytest.approx(mean, rel=1e-5)


def test_parts_smaller_than_a_group_of_minibatch_stddev_are_refused():
    method = scratch(batch=8)
    assert method.take_parts(2) and not method.take_parts(4)
    assert method.gan.parts == 2
    assert sorted(int(i) for part in method.gan.places(8) for i in part) == list(range(8))


def test_after_an_allocation_failed_the_run_goes_on_from_its_state_in_two_parts(tmp_path):
    failed = []

    def hungry(i):
        if i == 3 and not failed:
            failed.append(i)
            torch.empty(1 << 50)  # more than any address space: the allocator's own error
        return stream(i, 8)

    run(scratch(batch=8), tmp_path, 4, batches=hungry)
    state = load(newest_state(tmp_path))
    assert failed and state.meta == {"step": 4, "seed": 3, "parts": 2}
    run(scratch(batch=8), tmp_path, 5, batches=hungry)
    assert load(newest_state(tmp_path)).meta["parts"] == 2


def test_a_run_in_parts_still_stops_at_a_signal_and_goes_on(tmp_path):
    def hungry(i):
        if i == 1 and method.gan.parts == 1:
            torch.empty(1 << 50)
        if i == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return stream(i, 8)

    method = scratch(batch=8)
    with pytest.raises(Terminated, match="stopped after step 3"):
        run(method, tmp_path, 6, batches=hungry)
    assert load(newest_state(tmp_path)).meta == {"step": 3, "seed": 3, "parts": 2}
    run(scratch(batch=8), tmp_path, 4, batches=lambda i: stream(i, 8))
    assert load(newest_state(tmp_path)).meta["step"] == 4


def test_when_halving_does_not_help_it_is_tried_until_a_group_is_left_and_the_state_is_named(tmp_path):
    def hungry(i):
        if i == 2:
            return {"photo": torch.empty(1 << 50)}  # more than any address space
        return stream(i, 16)

    method = scratch(batch=16)
    with pytest.raises(MemoryFullError, match=r"step 2 with the batch in 4 parts; the last good .*00000002"):
        run(method, tmp_path, 4, batches=hungry)
    assert method.gan.parts == 4
