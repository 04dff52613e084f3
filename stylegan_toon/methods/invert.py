"""Coming nearer to a photo than the encoder does: optimising its code, then the generator round it.

Sources: Abdal et al. 2019, arXiv 1904.03189 (w_plus); Karras et al. 2020, arXiv 1912.04958, appendix D (the
rate, noise); Zhu et al. 2020, arXiv 2012.09036 (staying where codes are dense); Tov et al. 2021, arXiv
2102.02766 (staying near W keeps codes editable, and blended pictures clean); Kang et al. 2021, arXiv
2108.08998 (F/W+: features of a middle resolution beside the codes); Roich et al. 2021, arXiv 2106.05744
(tuning round the pivot). Deviations: no noise is added to codes; the penalty of noise has the weight 1, not
1e5, with which few steps go to it alone; eyes and mouth count more; features are those of the codes and
a shift, so that edits of the codes still move them; what is tuned is what a style file holds, a low rank of
the affine layers and all biases.
"""

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import Adam

from stylegan_toon.exact import normal
from stylegan_toon.features.look import Look
from stylegan_toon.losses.identity import identity_loss
from stylegan_toon.losses.latent import part_mask, part_weights, pyramid_l1
from stylegan_toon.losses.perceptual import map_distance
from stylegan_toon.losses.regularize import noise_penalty
from stylegan_toon.nn.modulated import StyledConv
from stylegan_toon.stylegan2.adapters import add_lora, style_parameters
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.stylegan2.latents import fold_shift, unfold_shift

STEPS = (0, 30, 100, 200)  # of --refine 0, 1, 2, 3
SPACES = ("f3/w+", "f/w+", "w+", "w")
SHIFTED = SPACES[:2]
RANK = 8  # of what tune() changes
SQUARE, FEATURE, IDENTITY, NOISE = 0.5, 0.5, 0.2, 1.0  # weights beside that of the pixel pyramid
PARTS = 10.0  # how much more eyes, brows and mouth count in the pyramid
STAY, LEAST = 30.0, 20  # weight of the pull, divided by the steps: who asks for more wants to come nearer
USUAL, NARROW = 0.12, 0.14  # weight of unusual moves, likewise; the least deviation, in that of w
SHIFT = 0.4  # weight of the mean square of the features' shift, in their deviations
RATE, NEAR_RATE = 0.1, 0.05  # in units of w's spread; where a shift is known to start from, it is near
FINE_RATE, FULL = (
    0.012,
    24,
)  # and nearer still where it is of all resolutions; from so many steps on, less before
PACE = 2.0  # of the shift's rate, beside that of codes
BETAS = 0.8, 0.95  # Adam's: so few steps want a short memory
GRID = 2**14  # parts of 1 that codes in float64 are rounded to: far below a step, far above an error


@dataclass(frozen=True)
class Inversion:
    """w_plus [N, L, D]; the maps [N, 1, r, r] of every noise input where they were optimised; in the space
    F/W+ the shift [N, C, r, r] of features, as latents.unfold_shift takes it."""

    w_plus: Tensor
    noise: list[Tensor]
    shift: Tensor | None = None

    def draw(self, g: Generator) -> Tensor:
        """The pictures [N, 3, R, R], not clamped."""
        return g.synthesis(self.w_plus, self.noise or "none", shift=self.shift)[-1]


def rate(done: float) -> float:
    """The share of the learning rate at a share of all steps: up over 5 %, down over the last 25 %.

    Source: Karras et al. 2020, appendix D.
    """
    return min(1.0, done / 0.05) * (0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - done) / 0.25)))


def near_rate(steps: int, fine: bool) -> float:
    """The learning rate from a known shift on; fine: it is of all resolutions."""
    return FINE_RATE * min(1.0, steps / FULL) if fine else NEAR_RATE


def gap(made: Tensor, photos: Tensor, look: Look | None, known: tuple[Tensor, list[Tensor]] | None) -> Tensor:
    """[N]: how far pictures are from photos, in pixels, looks and identity; each sample for itself.

    Eyes, brows and mouth, a tenth of the picture, count nearly as much as the rest.
    known: look(photos); without look, pixels alone count.
    """
    weights = part_weights(photos.shape[3], PARTS).to(photos)
    pairs = zip(made.split(1), photos.split(1), strict=True)
    pixels = [pyramid_l1(a, b, weights=weights) for a, b in pairs]
    loss = torch.stack(pixels) + SQUARE * (made - photos).square().mean([1, 2, 3])
    if look is None or known is None:
        return loss
    embedding, maps = look(made)
    who = [identity_loss(embedding[i : i + 1], known[0][i : i + 1]) for i in range(len(photos))]
    return loss + FEATURE * map_distance(maps, known[1]) + IDENTITY * torch.stack(who)


def unusual(moves: Tensor, spread: Tensor, least: float) -> Tensor:
    """How unusual moves of codes [N, L, D] are, [N]: squared, in deviations, divided by the directions.

    Args:
        spread: [K, L, D], orthogonal directions in which codes of photos differ, as long as their deviation.
        least: the deviation in every other direction, and the least in these.
    """
    along = spread.flatten(1)
    length = along.norm(dim=1, keepdim=True)
    x, unit = moves.flatten(1), along / length.clamp(min=1e-12)  # a direction of no length is none
    parts = x @ unit.T
    rest = x - parts @ unit
    inside = (parts / length.T.clamp(min=least)).square().sum(1)
    return (inside + (rest / least).square().sum(1)) / len(spread)


def refine(
    g: Generator,
    photos: Tensor,
    w_plus: Tensor,
    steps: int,
    look: Look | None = None,
    space: str = "w+",
    noise: bool = False,
    lr: float = RATE,
    usual: Tensor | None = None,
    shift: Tensor | None = None,
) -> Inversion:
    """Move codes towards photos by Adam, with a pull back to where they began.

    The pull is a plain one or, with usual, weak in the directions in which codes of photos differ and strong
    in others: codes then stay such as the generator draws well, and its children know.

    Args:
        photos: [N, 3, R, R] in [-1, 1], aligned, at the generator's size.
        w_plus: [N, L, D], where to start.
        steps: how many; 0 takes the start itself.
        look: what pictures are compared by, beside pixels; None leaves it out.
        space: "w" keeps one code for all layers, at first the mean of w_plus; "f/w+" also shifts the features
            of an eighth of the resolution, and "f3/w+" those of a quarter, too, and of half where
            eyes, brows and mouth are.
        noise: also optimise the noise inputs, where the generator uses any; else it draws without.
        lr: in units of the spread of w; the rate rises and falls.
        usual: [K, L, D], as unusual() has its spread.
        shift: where that of "f/w+" or "f3/w+" starts, [N, C, r, r] of an eighth of the resolution, or with
            the channels of those above it; None is at none.
    Returns: that of the lowest loss seen for each photo. Samples do not influence each other. In float64 the
        codes stay on a grid, so that every step begins with the same bits on every machine.
    Raises: ValueError for another space.
    """
    if space not in SPACES:
        raise ValueError(f"space must be one of {', '.join(SPACES)}, not {space!r}")
    if space == "w":
        w_plus = w_plus.mean(1, keepdim=True).expand_as(w_plus)
    if not steps:
        return Inversion(w_plus, [], shift if space in SHIFTED else None)
    exact = w_plus.dtype == torch.float64
    with torch.no_grad():
        z = normal((1024, g.config.z_dim), torch.Generator().manual_seed(0), exact)
        spread = g.mapping(z.to(w_plus.device)).std(0).mean()
        known = look(photos) if look else None
    start = on_grid(w_plus.detach().clone())
    free = start[:, : 1 if space == "w" else None].clone().requires_grad_()
    maps = white_noise(g, len(photos)) if noise else []
    unit, drift = None, []
    if space in SHIFTED:
        channels = None if space == "f3/w+" else g.config.channels[g.config.shift_block]
        unit = on_grid(feature_spread(g, z[:64].to(w_plus.device))[:, :channels])
        drift = [torch.zeros_like(unit).repeat(len(photos), 1, 1, 1)]
        if shift is not None:
            known_part = slice(shift.shape[1])
            drift[0][:, known_part] = on_grid(shift.detach() / unit[:, known_part].clamp(min=1e-6))
        drift[0].requires_grad_()
    groups = [{"params": [free], "scale": float(spread)}]
    groups += [{"params": part, "scale": pace} for part, pace in ((maps, 1.0), (drift, PACE)) if part]
    optimizer = Adam(groups, betas=BETAS)
    best = torch.full([len(photos)], float("inf"), device=photos.device, dtype=w_plus.dtype)

    def at_hand() -> Inversion:
        return Inversion(free.expand_as(start), maps, unit * drift[0] if unit is not None else None)

    kept = [part.detach().clone() for part in tensors(at_hand())]
    for step in range(steps + 1):
        now = at_hand()
        losses = gap(now.draw(g), photos, look, known)
        moves = now.w_plus - start
        if usual is None:
            pull = STAY * (moves / spread).square().mean([1, 2])
        else:
            pull = USUAL * unusual(moves, usual, NARROW * float(spread))
        losses = losses + pull / max(steps, LEAST)
        if drift:
            for part in unfold_shift(g.config, drift[0]).values():
                losses = losses + SHIFT * part.square().mean([1, 2, 3])
        if maps:
            losses = losses + NOISE * noise_penalty(maps)
        with torch.no_grad():
            better = losses < best
            best = torch.where(better, losses, best)
            for old, new in zip(kept, tensors(now), strict=True):
                old[better] = new[better]
        if step < steps:
            for group in optimizer.param_groups:
                group["lr"] = lr * group["scale"] * rate((step + 1) / (steps + 1))
            optimizer.zero_grad()
            losses.sum().backward()
            optimizer.step()
            with torch.no_grad():
                for code in (free, *drift):
                    on_grid(code)
                for m in maps:
                    m.sub_(m.mean([2, 3], keepdim=True))
                    m.mul_(m.square().mean([2, 3], keepdim=True).rsqrt())
    return Inversion(kept[0], kept[1 : 1 + len(maps)], kept[-1] if drift else None)


def tensors(of: Inversion) -> list[Tensor]:
    """All that an inversion has, [N, ...] each: w_plus, the noise maps and, if there is one, the shift."""
    return [of.w_plus, *of.noise, *([] if of.shift is None else [of.shift])]


def on_grid(x: Tensor) -> Tensor:
    """x in place, rounded where it is float64: as refine says of codes."""
    return x.mul_(GRID).round_().div_(GRID) if x.dtype == torch.float64 else x


def feature_spread(g: Generator, z: Tensor) -> Tensor:
    """[1, C, r, r] as config.shift_shape: each channel's deviation over pictures of z and places.

    Of half the resolution, 0 but where eyes, brows and mouth are.
    """
    k = g.config.shift_block
    with torch.no_grad():
        features = [features for features, _ in g.synthesis.run(g.codes(z), "none", k + 3)][k:]
    units = [f.std([0, 2, 3], keepdim=True).expand_as(f[:1]) for f in features]
    if len(units) == 3:
        units[2] = units[2] * part_mask(units[2].shape[3]).to(units[2])
    return fold_shift(units)


def white_noise(g: Generator, count: int) -> list[Tensor]:
    """Maps to optimise, [count, 1, r, r] for every noise input, all rows alike; none if g uses no noise."""
    layers = [layer for layer in g.synthesis.modules() if isinstance(layer, StyledConv)]
    if not any(bool(layer.noise_strength) for layer in layers):
        return []
    draw = torch.Generator().manual_seed(0)
    sizes = [layer.noise_const.shape for layer in layers]
    rows = [normal((1, 1, *size), draw).to(g.w_mean).expand(count, 1, *size) for size in sizes]
    return [row.clone().requires_grad_() for row in rows]


def tune(
    g: Generator,
    photos: Tensor,
    pivot: Inversion,
    steps: int,
    look: Look | None = None,
    rank: int = RANK,
    lr: float = 0.01,
) -> Generator:
    """A child of g that draws the photos from their codes: biases tuned, and affine layers by a low rank.

    Args: as refine; pivot stays as it is, and all photos share the child. Draws from torch's generator.
    Returns: a new generator as adapters.add_lora leaves it, for adapters.style_checkpoint with frozen=0.
    """
    child = add_lora(copy.deepcopy(g), rank, 0) if rank else copy.deepcopy(g)
    free = [parameter.requires_grad_() for parameter in style_parameters(child.to(g.w_mean), 0).values()]
    with torch.no_grad():
        known = look(photos) if look else None
    optimizer = Adam(free)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = lr * rate((step + 1) / (steps + 1))
        optimizer.zero_grad()
        gap(pivot.draw(child), photos, look, known).sum().backward()
        optimizer.step()
    return child.requires_grad_(False)
