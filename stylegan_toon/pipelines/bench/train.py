"""How long a step of training takes, phase by phase, alone or beside peers that begin with our weights."""

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam

from stylegan_toon.checkpoint.format import Checkpoint
from stylegan_toon.device import choose_device, keep_buffers
from stylegan_toon.errors import UsageError
from stylegan_toon.losses.adversarial import logistic_d, logistic_g
from stylegan_toon.losses.regularize import path_length_penalty, r1_penalty
from stylegan_toon.methods.freezesg import Config as FreezeConfig
from stylegan_toon.methods.freezesg import FreezeSG
from stylegan_toon.methods.gan import Gan, GanConfig, Places, cut_noise
from stylegan_toon.methods.scratch import Scratch
from stylegan_toon.nn.graphs import WARM
from stylegan_toon.pipelines.bench.generator import power_of_two, random_generator
from stylegan_toon.pipelines.bench.peers import Peer, open_peer, open_peers
from stylegan_toon.pipelines.bench.timing import (
    OURS,
    Times,
    conditions,
    difference,
    heading,
    peak_memory,
    ratios,
    rounded,
    table,
    take_turns,
)
from stylegan_toon.stylegan2.config import Config, channels_for
from stylegan_toon.stylegan2.discriminator import Discriminator
from stylegan_toon.stylegan2.files import build_discriminator, build_generator, discriminator_checkpoint
from stylegan_toon.training.graphs import Player

RESOLUTION, BATCH = 64, 8
FREEZESG = "ours, FreezeSG"
CONFIG = GanConfig(mixing=0.0)  # a second pass through the mapping, 9 times in 10, would blur the figures
SHARES = {"d": 1.0, "r1": 1 / CONFIG.r1_every, "g": 1.0, "path": 1 / CONFIG.path_every, "ema": 1.0}
GRAPHS = "ours, CUDA graphs"
STEPS = {"first": 1 / CONFIG.r1_every, "rest": 1 - 1 / CONFIG.r1_every}  # whole steps, with R1 and without
# and those of GRAPHS, each with the number of a step that is such
KINDS = {"r1 and path": 0, "with path": CONFIG.path_every, "plain": 1}
STEPS |= {"r1 and path": 1 / CONFIG.r1_every, "with path": 1 / CONFIG.path_every - 1 / CONFIG.r1_every,
          "plain": 1 - 1 / CONFIG.path_every}  # fmt: skip
Phases = Mapping[str, Callable[[], object]]


def bench(
    resolution: int | None = None,
    batch: int | None = None,
    device: str = "auto",
    peers: Sequence[str] = (),
    rounds: int = 5,
    seed: int = 0,
    slopes: bool = False,
) -> dict[str, Any]:
    """Time D, R1, G, path length (on half a batch) and EMA, in float32, random weights of the paper's widths.

    Ours are the steps that train takes; FREEZESG is a step of finetune with half of the resolutions frozen,
    timed as a whole, as is on a GPU GRAPHS, a step that is recorded and played. A peer's networks are trained
    by the same losses and torch's Adam.
    Returns: JSON values: the conditions, and under "results" a row for ours, FREEZESG and each peer.
    Raises: UsageError (slopes, too), MissingPartError (device, peer).
    """
    if slopes:
        raise UsageError("bench train fits no slopes; --slopes goes with generator and toonify")
    where = choose_device(device)
    resolution, batch = power_of_two(resolution or RESOLUTION), batch or BATCH
    them = open_peers(peers, where)
    paths = {peer.name: given.partition("=")[2] for peer, given in zip(them, peers, strict=True)}
    keep_buffers()  # as training does
    phases, scores = {}, {}
    for peer in (None, *them):
        name = OURS if peer is None else peer.name
        phases[name], scores[name] = _phases(peer, resolution, batch, where, seed)
    own = {OURS: phases[OURS], FREEZESG: finetuning(resolution, batch, where, seed)}
    if where.type == "cuda":
        own[GRAPHS] = playing(resolution, batch, where, seed)
    phases = own | phases
    calls = {f"{name} {phase}": call for name in phases for phase, call in phases[name].items()}
    times = take_turns(calls, rounds, where)
    whole = {name: step_times({phase: times[f"{name} {phase}"] for phase in phases[name]}) for name in phases}
    results = []
    for name in phases:
        row: dict[str, Any] = {"who": name}
        row["phases_ms"] = {
            phase: rounded(times[f"{name} {phase}"].median * 1e3) for phase in SHARES if phase in phases[name]
        }
        row["step_ms"] = rounded(whole[name].median * 1e3)
        row["seconds_per_kimg"] = rounded(whole[name].median / batch * 1e3)
        path = str(Path(paths[name]).resolve()) if name in paths else ""
        row["peak_mib"] = peak_memory(stepping, name, path, resolution, batch, str(where), device=where)
        if name in scores and name != OURS:
            row["ours_is_faster"] = ratios(whole[name], whole[OURS])
            row["difference"] = difference(scores[OURS], scores[name])
        results.append(row)
    asked = {"bench": "train", "resolution": resolution, "batch": batch, "rounds": rounds, "seed": seed}
    return asked | conditions(where) | {"results": results}


def as_text(report: dict[str, Any]) -> list[str]:
    """The report as a heading and a table."""
    head = ("who", *(f"{phase} ms" for phase in SHARES), "step ms", "s/kimg", "peak MiB", "ours is faster",
            "in cpu time", "difference")  # fmt: skip
    rows = []
    for row in report["results"]:
        ratio = row.get("ours_is_faster", {})
        figures = (row["step_ms"], row["seconds_per_kimg"], row["peak_mib"])
        against = (ratio.get("time"), ratio.get("cpu_time"), row.get("difference"))
        phases = (row["phases_ms"].get(phase) for phase in SHARES)
        rows.append((row["who"], *phases, *figures, *against))
    size = f"a step of training, {report['resolution']} px, batch {report['batch']}"
    return [heading(report), size, *table(head, rows)]


def step_times(phases: Mapping[str, Times]) -> Times:
    """A whole step round by round, every phase as often as it comes: R1 in 1 of 16 steps, ...

    Of STEPS, whole steps, too.
    """

    def added(rounds: Sequence[tuple[float, ...]]) -> list[float]:
        return [sum(a * b for a, b in zip(shares, one, strict=True)) for one in rounds]

    times, shares = [*phases.values()], [(SHARES | STEPS)[phase] for phase in phases]
    seconds = list(zip(*(one.seconds for one in times), strict=True))
    return Times(added(seconds), added(list(zip(*(one.cpu for one in times), strict=True))))


def stepping(name: str, path: str, resolution: int, batch: int, device: str) -> Callable[[], object]:
    """What takes every phase once, by ours or a peer, alone in its process."""
    where = torch.device(device)
    keep_buffers()
    if name == FREEZESG:
        return finetuning(resolution, batch, where, 0)["first"]
    if name == GRAPHS:
        return playing(resolution, batch, where, 0)["r1 and path"]
    peer = open_peer(f"{name}={path}", where) if path else None
    phases, _ = _phases(peer, resolution, batch, where, 0)
    return lambda: [phase() for phase in phases.values()]


def _phases(
    peer: Peer | None, resolution: int, batch: int, device: torch.device, seed: int
) -> tuple[Phases, Tensor]:
    """The phases of a peer or, of None, ours; and D's scores [N] of the pictures, before any step."""
    g = random_generator(resolution, seed)
    d = discriminator_checkpoint(Discriminator(Config(resolution, channels_for(resolution))))
    draw = torch.Generator().manual_seed(seed)
    real = (torch.rand(batch, 3, resolution, resolution, generator=draw) * 2 - 1).to(device)
    return _ours(g, d, real) if peer is None else _theirs(peer, g, d, real)


def _ours(g: Checkpoint, d: Checkpoint, real: Tensor) -> tuple[Phases, Tensor]:
    config = GanConfig(batch=len(real), mixing=CONFIG.mixing)
    gan = Gan(build_generator(g, trainable=True), build_discriminator(d, trainable=True), config)
    gan = gan.to(real.device)
    with torch.no_grad():
        scores = gan.d(real)
    return own_phases(gan, real), scores


def own_phases(gan: Gan, real: Tensor) -> Phases:
    """What methods.scratch does in a step on real [N, 3, R, R], in parts."""
    n, opt, real = len(real), gan.optimizers(), real.to(memory_format=torch.channels_last)

    def step_d() -> None:
        with torch.no_grad():
            fake = gan.g.synthesis(gan.draw_w(n), gan.draw_noise(n))[-1]
        gan.step_d(real, fake, opt["d"], 1)

    def step_r1() -> None:
        gan.step_penalty((real,), 1.0, opt["d"])

    def step_g() -> None:
        w_plus, noise = gan.draw_w(n), gan.draw_noise(n)

        def losses(codes: Tensor, at: Places) -> tuple[Tensor, dict[str, Tensor]]:
            loss = gan.loss_g(gan.g.synthesis(codes, cut_noise(noise, at))[-1], real[at], 1, [])
            return loss, {"g": loss}

        gan.step_g(w_plus, losses, opt["g"])

    path, average = partial(gan.step_path, opt["g"], 0), partial(gan.average, 1)
    return {"d": step_d, "r1": step_r1, "g": step_g, "path": path, "ema": average}


def finetuning(resolution: int, batch: int, device: torch.device, seed: int) -> Phases:
    """A step of FreezeSG with structure loss, with R1 ("first") and without ("rest")."""
    source = build_generator(random_generator(resolution, seed), trainable=True)
    half = source.config.n_resolutions // 2
    config = FreezeConfig(batch=batch, freeze_g=half, freeze_sg=half, structure_layers=half)
    method = FreezeSG(config, source.to(device), Discriminator(source.config).to(device)).to(device)
    real, opt = torch.rand(batch, 3, resolution, resolution, device=device) * 2 - 1, method.optimizers()
    step = partial(method.step, {"cartoon": real.to(memory_format=torch.channels_last)}, opt)
    return {"first": partial(step, 0), "rest": partial(step, 1)}


def playing(resolution: int, batch: int, device: torch.device, seed: int) -> Phases:
    """Steps of training of each of KINDS, recorded as CUDA graphs; on a CPU they are called."""
    g = build_generator(random_generator(resolution, seed), trainable=True)
    config = GanConfig(batch=batch, mixing=CONFIG.mixing)
    player = Player() if device.type == "cuda" else None
    method = Scratch(config, g, Discriminator(g.config), player=player).to(device)
    real, opt = torch.rand(batch, 3, resolution, resolution, device=device) * 2 - 1, method.optimizers()
    step = partial(method.step, {"photo": real.to(memory_format=torch.channels_last)}, opt)
    for i in [*KINDS.values()] * (WARM + 1 if player else 0):
        step(i)
    return {name: partial(step, i) for name, i in KINDS.items()}


def _theirs(
    peer: Peer, g_checkpoint: Checkpoint, d_checkpoint: Checkpoint, real: Tensor
) -> tuple[Phases, Tensor]:
    g, d = peer.generator(g_checkpoint), peer.discriminator(d_checkpoint)
    average = [copy.deepcopy(p.detach()) for p in g.parameters()]
    opt_g, opt_d = (Adam(net.parameters(), CONFIG.lr, betas=(0.0, 0.99)) for net in (g, d))
    mean, z_dim = torch.zeros([], device=real.device), g_checkpoint.config["z_dim"]

    def drawn(n: int) -> tuple[Tensor, Tensor]:
        w_plus = peer.codes(g, torch.randn(n, z_dim, device=real.device))
        return peer.pictures(g, w_plus, "random"), w_plus

    def step(opt: Adam, loss: Tensor) -> None:
        opt.zero_grad()
        loss.backward()
        opt.step()

    def step_d() -> None:
        d.requires_grad_(True)
        with torch.no_grad():
            fake = drawn(len(real))[0]
        step(opt_d, logistic_d(peer.scores(d, real), peer.scores(d, fake)))

    def step_r1() -> None:
        d.requires_grad_(True)
        pictures = real.detach().requires_grad_()
        penalty = r1_penalty(peer.scores(d, pictures), pictures)
        step(opt_d, penalty * (CONFIG.r1_weight * CONFIG.r1_every))

    def step_g() -> None:
        d.requires_grad_(False)
        step(opt_g, logistic_g(peer.scores(d, drawn(len(real))[0])))

    def step_path() -> None:
        penalty, _ = path_length_penalty(*drawn(max(1, len(real) // 2)), mean)
        step(opt_g, penalty * (CONFIG.path_weight * CONFIG.path_every))

    @torch.no_grad()
    def step_ema() -> None:
        for kept, new in zip(average, g.parameters(), strict=True):
            kept.lerp_(new, 0.001)

    with torch.no_grad():
        scores = peer.scores(d, real)
    return {"d": step_d, "r1": step_r1, "g": step_g, "path": step_path, "ema": step_ema}, scores
