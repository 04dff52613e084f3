"""What a text asks of faces: the losses that all ways of editing by text share.

Source: Patashnik et al. 2021, arXiv 2103.17249, eq. 1 to 3; CPTR eq. 4 to 6. Deviations: CLIP sees cut-outs
of a picture, lit and turned a little, as a small one is easily fooled by a single view; the text may be a
difference of two.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan_toon.features.clip import Clip
from stylegan_toon.losses.text import step_loss, text_direction, text_loss
from stylegan_toon.stylegan2.generator import Generator

SCALE, SHIFT, TURN = (0.8, 1.0), 0.06, 0.12  # of a cut-out: its side, its place, its angle in radians
LIGHT, TINT = 0.15, 0.05  # standard deviations of brightness and contrast, and of each colour's gain
Cuts = tuple[Tensor, Tensor, Tensor]  # see draw_cuts


@dataclass(frozen=True)
class Weights:
    """Of the losses; text has 1. views: cut-outs of every picture that CLIP sees.

    The papers have 0.1 and 0.8, for a plain cosine, which moves by a few hundredths; the product with a
    difference of texts moves by tenths, and takes the identity along. A step counts in units of the spread.
    """

    identity: float = 0.5
    step: float = 0.1
    views: int = 2


class Goal:
    """A text, told by a CLIP, for pictures of one generator."""

    def __init__(
        self,
        clip: Clip,
        text: str,
        neutral: Sequence[str],
        embed: Callable[[Tensor], Tensor],
        weights: Weights | None = None,
    ):
        """Read the texts.

        Args:
            neutral: what the text is compared to, such as "a face", or what it is not; none leaves it alone.
            embed: aligned pictures [N, 3, H, H] to identity embeddings [N, F] of length 1, with gradients.
        Raises: UsageError for a text that CLIP cannot read.
        """
        self.weights = weights or Weights()
        self._clip, self._embed = clip, embed
        with torch.no_grad():
            texts = clip.text([text, *neutral])
        self._text = texts[0]
        self._direction = text_direction(texts[0], texts[1:].mean(0) if neutral else None)

    def __call__(self, after: Tensor, before: Tensor, step: Tensor) -> dict[str, Tensor]:
        """The losses [N] of edited faces, weighted, and their sum as "loss"; draws from torch's generator.

        Args:
            after, before: pictures [N, 3, R, R] in [-1, 1]; no gradient reaches before.
            step: [N, L, D], what was added to the codes, in units of their spread where that is known.
        """
        weights = self.weights
        seen = self._clip.image(cut_outs(after, weights.views))
        losses = {"text": text_loss(seen, self._direction).reshape(weights.views, -1).mean(0)}
        if weights.identity:
            with torch.no_grad():
                who = self._embed(before)
            losses["identity"] = weights.identity * (1 - (self._embed(after) * who).sum(1))
        losses["step"] = weights.step * step_loss(step)
        return {"loss": torch.stack([*losses.values()]).sum(0), **losses}

    def similarity(self, pictures: Tensor) -> Tensor:
        """[N]: cosines of pictures [N, 3, R, R] and the text, whole pictures, as CLIP itself tells them."""
        with torch.no_grad():
            return self._clip.image(pictures) @ self._text

    def identity(self, a: Tensor, b: Tensor) -> Tensor:
        """[N]: cosines of the identity embeddings of pictures."""
        with torch.no_grad():
            return (self._embed(a) * self._embed(b)).sum(1)


def draw_cuts(n: int) -> Cuts:
    """Of n cut-outs where they lie [N, 2, 3], as affine_grid takes it, their light, and their colours' gains.

    Draws from torch's generator, on the CPU, so that every device sees the same.
    """
    side = SCALE[0] + (SCALE[1] - SCALE[0]) * torch.rand(n)
    angle, mirror = TURN * torch.randn(n), torch.where(torch.rand(n) < 0.5, -1.0, 1.0)
    shift = SHIFT * torch.randn(n, 2)
    rows = [
        torch.stack([side * angle.cos() * mirror, -side * angle.sin(), shift[:, 0]], 1),
        torch.stack([side * angle.sin() * mirror, side * angle.cos(), shift[:, 1]], 1),
    ]
    light, tint = LIGHT * torch.randn(n, 2, 1, 1, 1), TINT * torch.randn(n, 3, 1, 1)
    return torch.stack(rows, 1), light[:, 1], (light[:, 0] + tint).exp()


def cut(x: Tensor, cuts: Cuts) -> Tensor:
    """[N, 3, H, H] -> [N, 3, H, H]: a square of each picture, mirrored, turned, lit; differentiable."""
    place, light, gain = (value.to(x) for value in cuts)
    grid = F.affine_grid(place, [*x.shape], align_corners=False)
    return F.grid_sample(x, grid, padding_mode="reflection", align_corners=False) * gain + light


def cut_outs(x: Tensor, views: int) -> Tensor:
    """[N, 3, H, H] -> [views * N, 3, H, H]: so many random cuts of each picture."""
    return cut(x.repeat(views, 1, 1, 1), draw_cuts(views * len(x)))


def spread(g: Generator) -> float:
    """The mean standard deviation of w: the unit of a step of codes."""
    z = torch.randn(4096, g.config.z_dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return float(g.mapping(z.to(g.w_mean)).std(0).mean())
