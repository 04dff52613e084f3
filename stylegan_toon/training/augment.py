"""Adaptive discriminator augmentation: geometry and colour, with a strength p that follows overfitting.

Source: Karras et al. 2020, arXiv 2006.06676. Deviation: pictures are resampled bilinearly without the
2x oversampling of the paper's appendix B, and the filter, noise and cutout groups are left out.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Augment(nn.Module):
    """Differentiable random warps and colour changes of pictures [N, 3, H, W], each with probability p.

    p, and the running sum behind it, are buffers, so they are saved and resumed with the run.
    """

    p: Tensor
    signs: Tensor

    def __init__(self, p: float = 0.0, target: float = 0.6, images: int = 500_000, every: int = 4):
        """target: the mean sign of D(real) to hold; 0 keeps p fixed. images: how many take p from 0 to 1."""
        super().__init__()
        self.target, self.images, self.every = target, images, every
        self.register_buffer("p", torch.tensor(float(p)))
        self.register_buffer("signs", torch.zeros(2))  # sum of signs, how many

    def draw(self, n: int, p: float | None = None) -> list[Tensor]:
        """What happens to n pictures: warps [n, 3, 3] and colour maps [n, 4, 4]; nothing at p = 0.

        p: where it is known, the p that counts; None reads it, which waits for a GPU.
        """
        p = float(self.p) if p is None else p
        return [make(n, p).to(self.p.device) for make in (warp_matrices, colour_matrices)] if p else []

    def forward(self, x: Tensor, drawn: Sequence[Tensor] | None = None) -> Tensor:
        """drawn: as draw gave it, for these pictures; None draws anew."""
        drawn = self.draw(len(x)) if drawn is None else drawn
        return recolour(warp(x, drawn[0]), drawn[1]) if drawn else x

    def update(self, signs: Tensor, n: int, i: int) -> None:
        """Count the sum of the signs of n scores D(real); at every `every`-th step i move p to the target."""
        if not self.target:
            return
        self.signs += torch.stack([signs.detach().float(), self.signs.new_tensor(n)])
        if (i + 1) % self.every == 0:
            step = (self.signs[0] / self.signs[1] - self.target).sign() * self.signs[1] / self.images
            self.p.copy_((self.p + step).clamp(0, 1))
            self.signs.zero_()


def _sometimes(value: Tensor, p: float, identity: float) -> Tensor:
    """value [N], or identity where a coin of probability p says no."""
    return torch.where(torch.rand_like(value) < p, value, torch.full_like(value, identity))


def _eye(n: int, size: int, **entries: Tensor) -> Tensor:
    """n identity matrices [n, size, size] with entries such as m01=[n] set."""
    matrix = torch.eye(size).repeat(n, 1, 1)
    for name, value in entries.items():
        matrix[:, int(name[1]), int(name[2])] = value
    return matrix


def _rotation(angle: Tensor) -> Tensor:
    return _eye(len(angle), 3, m00=angle.cos(), m01=-angle.sin(), m10=angle.sin(), m11=angle.cos())


def warp_matrices(n: int, p: float) -> Tensor:
    """Random maps [n, 3, 3] from output to input coordinates in [-1, 1]: mirror, quarter turns, shifts,
    zooms, stretches and rotations, each with probability p (rotations twice, together p)."""
    mirror = _sometimes(torch.randint(2, [n]).float() * -2 + 1, p, 1)
    turn = _sometimes(torch.randint(4, [n]).float() * (math.pi / 2), p, 0)
    jump_x, jump_y = torch.where(torch.rand(n) < p, torch.rand(2, n) * 0.5 - 0.25, 0)
    zoom = _sometimes(torch.exp2(torch.randn(n) * 0.2), p, 1)
    stretch = _sometimes(torch.exp2(torch.randn(n) * 0.2), p, 1)
    p_rotate = 1 - math.sqrt(1 - p)
    before, after = (_sometimes((torch.rand(n) * 2 - 1) * math.pi, p_rotate, 0) for _ in range(2))
    shift_x, shift_y = torch.where(torch.rand(n) < p, torch.randn(2, n) * 0.25, 0)
    return (
        _eye(n, 3, m00=mirror)
        @ _rotation(turn.mul(2 / math.pi).round().mul(math.pi / 2))
        @ _eye(n, 3, m02=jump_x, m12=jump_y)
        @ _eye(n, 3, m00=zoom, m11=zoom)
        @ _rotation(before)
        @ _eye(n, 3, m00=stretch, m11=1 / stretch)
        @ _rotation(after)
        @ _eye(n, 3, m02=shift_x, m12=shift_y)
    )


def warp(x: Tensor, matrices: Tensor) -> Tensor:
    """Resample x [N, 3, H, W] by matrices [N, 3, 3], bilinear, reflecting at the border."""
    theta = matrices[:, :2].clone()
    close = theta.round()
    theta = torch.where((theta - close).abs() < 1e-6, close, theta)  # quarter turns stay exact
    where = F.affine_grid(theta, list(x.shape), align_corners=False).to(x.dtype)
    return F.grid_sample(x, where, mode="bilinear", padding_mode="reflection", align_corners=False)


def colour_matrices(n: int, p: float) -> Tensor:
    """Random colour maps [n, 4, 4]: brightness, contrast, luma flip, hue, saturation, each with
    probability p."""
    brightness = _sometimes(torch.randn(n) * 0.2, p, 0)
    contrast = _sometimes(torch.exp2(torch.randn(n) * 0.5), p, 1)
    flip = _sometimes(torch.randint(2, [n]).float(), p, 0)
    hue = _sometimes((torch.rand(n) * 2 - 1) * math.pi, p, 0)
    saturation = _sometimes(torch.exp2(torch.randn(n)), p, 1)
    axis = torch.full([3], 3**-0.5)
    luma, one = torch.outer(axis, axis), torch.eye(3)
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) * 3**-0.5

    def col(t: Tensor) -> Tensor:
        return t[:, None, None]

    turned = one * col(hue.cos()) + cross * col(hue.sin()) + luma * col(1 - hue.cos())
    linear = (luma + (one - luma) * col(saturation)) @ turned @ (one - 2 * luma * col(flip))
    linear = linear * col(contrast)
    matrix = torch.eye(4).repeat(n, 1, 1)
    matrix[:, :3, :3] = linear
    matrix[:, :3, 3] = (linear @ brightness[:, None, None].expand(-1, 3, 1)).squeeze(2)
    return matrix


def recolour(x: Tensor, matrices: Tensor) -> Tensor:
    """Apply colour maps [N, 4, 4] to x [N, 3, H, W]."""
    m = matrices.to(x.dtype)
    flat = x.flatten(2)
    return torch.baddbmm(m[:, :3, 3:], m[:, :3, :3], flat).reshape(x.shape)
