"""IR-SE: ArcFace's residual network with squeeze-and-excitation, in the form it has once it is trained.

Batch norms have fixed statistics then, so those after a convolution are part of it (importers put them
there). The one that begins a block stays, as a scale and a shift: the convolution after it pads with zeros.
Source: Deng et al. 2019, arXiv 1801.07698, section 3.1; Hu et al. 2018, arXiv 1709.01507; the layout of the
blocks is that of TreB1eN/InsightFace_Pytorch, model.py.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS, UNITS, REDUCTION = (64, 128, 256, 512), (3, 4, 14, 3), 16  # of IR-SE50
MAX_UNITS = 200  # a stage; IR-SE152 has 36


class Block(nn.Module):
    """Two 3x3 convolutions, the second of the stride, weighted by channel; the input is added, strided."""

    def __init__(self, n_in: int, n_out: int, stride: int, reduction: int):
        super().__init__()
        self.stride = stride
        self.scale, self.shift = nn.Parameter(torch.ones(n_in)), nn.Parameter(torch.zeros(n_in))
        self.conv0 = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
        self.act = nn.PReLU(n_out)
        self.conv1 = nn.Conv2d(n_out, n_out, 3, stride, 1)
        self.squeeze = nn.Conv2d(n_out, n_out // reduction, 1, bias=False)
        self.excite = nn.Conv2d(n_out // reduction, n_out, 1, bias=False)
        self.skip = nn.Conv2d(n_in, n_out, 1, stride) if n_in != n_out else None

    def forward(self, x: Tensor) -> Tensor:
        """[N, in, H, W] -> [N, out, ceil(H / stride), ceil(W / stride)]."""
        y = x * self.scale[:, None, None] + self.shift[:, None, None]
        y = self.conv1(self.act(self.conv0(y)))
        y = y * self.excite(F.relu(self.squeeze(y.mean((2, 3), keepdim=True)))).sigmoid()
        return y + (x[:, :, :: self.stride, :: self.stride] if self.skip is None else self.skip(x))


class IrSe(nn.Module):
    """Pictures to the outputs of its stages, each of half the size of the one before."""

    def __init__(self, widths: Sequence[int], units: Sequence[int], reduction: int):
        """widths, units: channels and number of blocks of each stage; reduction: of the squeezed channels."""
        super().__init__()
        self.stem = nn.Conv2d(3, widths[0], 3, padding=1)
        self.act = nn.PReLU(widths[0])
        self.stages = nn.ModuleList(
            nn.Sequential(Block(n_in, n, 2, reduction), *(Block(n, n, 1, reduction) for _ in range(1, count)))
            for (n_in, n), count in zip(pairwise([widths[0], *widths]), units, strict=True)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """[N, 3, H, W] -> [N, widths[k], H / 2^(k + 1), W / 2^(k + 1)] for every stage k, rounded up."""
        y, out = self.act(self.stem(x)), []
        for stage in self.stages:
            y = stage(y)
            out.append(y)
        return out


def check(widths: Sequence[int], units: Sequence[int], reduction: int) -> None:
    """Raises: ValueError if there is no IR-SE of this shape; for the configurations that hold one."""
    if not widths or len(widths) != len(units):
        raise ValueError(f"{len(widths)} widths do not fit {len(units)} numbers of units")
    if not all(type(n) is int and n > 0 for n in (*widths, *units, reduction)):
        raise ValueError("widths, units and reduction must be counts from 1 up")
    if max(units) > MAX_UNITS or min(widths) < reduction:
        raise ValueError(f"a stage has more than {MAX_UNITS} units, or fewer channels than reduction")
