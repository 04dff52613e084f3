"""Inception v3 of 2015 in PyTorch, the features of FID; its file is the user's own.

The network is the one that TensorFlow's FID ran, so it differs from torchvision's: averages leave padding
out, the last block takes a maximum, and there are 1008 classes. Its modules bear the names in the file.
Source: Szegedy et al. 2015, arXiv 1512.00567; Heusel et al. 2017, arXiv 1706.08500; the layout is that of
mseitzer/pytorch-fid's pt_inception-2015-12-05-6726825d.pth (Apache-2.0). Pictures are enlarged as there:
bilinear, without antialiasing, which is not what clean-fid or TensorFlow do; values of different ways do not
compare.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stylegan_toon.checkpoint.importers.torch_file import read
from stylegan_toon.device import channels_last
from stylegan_toon.errors import ModelError, shown
from stylegan_toon.paths import pretrained_file

FILE = "pt_inception-2015-12-05-6726825d.pth"  # as `models get inception-fid` calls it
SIZE = 299
CLASSES = 1008
LARGEST = 200_000_000  # bytes: twice the file

Conv = tuple[str, int, int | tuple[int, int], int]  # name, channels out, kernel, stride (2: no padding)
# A branch is what follows one another; where its last step is several, their outputs are joined.
Branch = Sequence[Conv | Sequence[Conv]]
STEM: Sequence[Conv] = (  # the third alone is padded; after it and the last a maximum over 3x3 halves
    ("Conv2d_1a_3x3", 32, 3, 2), ("Conv2d_2a_3x3", 32, 3, 1), ("Conv2d_2b_3x3", 64, 3, 1),
    ("Conv2d_3b_1x1", 80, 1, 1), ("Conv2d_4a_3x3", 192, 3, 1),
)  # fmt: skip


def block_a(pool: int) -> list[Branch]:
    return [
        [("branch1x1", 64, 1, 1)],
        [("branch5x5_1", 48, 1, 1), ("branch5x5_2", 64, 5, 1)],
        [("branch3x3dbl_1", 64, 1, 1), ("branch3x3dbl_2", 96, 3, 1), ("branch3x3dbl_3", 96, 3, 1)],
        [("branch_pool", pool, 1, 1)],
    ]


def block_b() -> list[Branch]:
    return [
        [("branch3x3", 384, 3, 2)],
        [("branch3x3dbl_1", 64, 1, 1), ("branch3x3dbl_2", 96, 3, 1), ("branch3x3dbl_3", 96, 3, 2)],
        [],
    ]


def block_c(width: int) -> list[Branch]:
    across, down = (1, 7), (7, 1)
    return [
        [("branch1x1", 192, 1, 1)],
        [("branch7x7_1", width, 1, 1), ("branch7x7_2", width, across, 1), ("branch7x7_3", 192, down, 1)],
        [("branch7x7dbl_1", width, 1, 1), ("branch7x7dbl_2", width, down, 1),
         ("branch7x7dbl_3", width, across, 1), ("branch7x7dbl_4", width, down, 1),
         ("branch7x7dbl_5", 192, across, 1)],
        [("branch_pool", 192, 1, 1)],
    ]  # fmt: skip


def block_d() -> list[Branch]:
    return [
        [("branch3x3_1", 192, 1, 1), ("branch3x3_2", 320, 3, 2)],
        [("branch7x7x3_1", 192, 1, 1), ("branch7x7x3_2", 192, (1, 7), 1), ("branch7x7x3_3", 192, (7, 1), 1),
         ("branch7x7x3_4", 192, 3, 2)],
        [],
    ]  # fmt: skip


def block_e() -> list[Branch]:
    def both(name: str) -> list[Conv]:
        return [(f"{name}a", 384, (1, 3), 1), (f"{name}b", 384, (3, 1), 1)]

    return [
        [("branch1x1", 320, 1, 1)],
        [("branch3x3_1", 384, 1, 1), both("branch3x3_2")],
        [("branch3x3dbl_1", 448, 1, 1), ("branch3x3dbl_2", 384, 3, 1), both("branch3x3dbl_3")],
        [("branch_pool", 192, 1, 1)],
    ]


BLOCKS: Sequence[tuple[str, list[Branch], str]] = (  # name, branches, what the last branch takes first
    ("Mixed_5b", block_a(32), "mean"), ("Mixed_5c", block_a(64), "mean"), ("Mixed_5d", block_a(64), "mean"),
    ("Mixed_6a", block_b(), "halve"), ("Mixed_6b", block_c(128), "mean"),
    ("Mixed_6c", block_c(160), "mean"), ("Mixed_6d", block_c(160), "mean"),
    ("Mixed_6e", block_c(192), "mean"), ("Mixed_7a", block_d(), "halve"),
    ("Mixed_7b", block_e(), "mean"), ("Mixed_7c", block_e(), "max"),
)  # fmt: skip


class ConvNorm(nn.Module):
    """Convolution without bias, batch norm, ReLU."""

    def __init__(self, n_in: int, n_out: int, kernel: int | tuple[int, int], stride: int, padded: bool):
        super().__init__()
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (sides[0] // 2, sides[1] // 2) if padded else (0, 0)
        self.conv = nn.Conv2d(n_in, n_out, sides, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(n_out, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class Mixed(nn.Module):
    """Branches side by side, their outputs joined; the last one begins with a pooling over 3x3."""

    def __init__(self, n_in: int, branches: list[Branch], pool: str):
        super().__init__()
        self.pool, self.n_out = pool, 0
        self.names: list[list[list[str]]] = []  # of every branch its steps, of a step its convolutions
        for branch in branches:
            width, names = n_in, []
            for step in branch:
                convs: Sequence[Conv] = [step] if isinstance(step[0], str) else step  # type: ignore[list-item, assignment]
                for name, n_out, kernel, stride in convs:
                    self.add_module(name, ConvNorm(width, n_out, kernel, stride, stride == 1))
                names.append([name for name, *_ in convs])
                width = sum(n_out for _, n_out, _, _ in convs)
            self.names.append(names)
            self.n_out += width

    def forward(self, x: Tensor) -> Tensor:
        out = []
        for names in self.names:
            y = self._pooled(x) if names is self.names[-1] else x
            for step in names:
                y = torch.cat([self.get_submodule(name)(y) for name in step], 1)
            out.append(y)
        return torch.cat(out, 1)

    def _pooled(self, x: Tensor) -> Tensor:
        if self.pool == "mean":
            return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        return F.max_pool2d(x, 3, 1, 1) if self.pool == "max" else F.max_pool2d(x, 3, 2)


class Inception(nn.Module):
    """Pictures -> the 2,048 features of FID."""

    def __init__(self) -> None:
        super().__init__()
        width = 3
        for name, n_out, kernel, stride in STEM:
            self.add_module(name, ConvNorm(width, n_out, kernel, stride, name == "Conv2d_2b_3x3"))
            width = n_out
        for name, branches, pool in BLOCKS:
            block = Mixed(width, branches, pool)
            self.add_module(name, block)
            width = block.n_out
        self.fc = nn.Linear(width, CLASSES)  # in the file, and not used

    def forward(self, x: Tensor) -> Tensor:
        """x [N, 3, H, W], RGB in [-1, 1], any size -> [N, 2048]. Raises: ValueError for another shape."""
        if x.ndim != 4 or x.shape[1] != 3:
            raise ValueError(f"expected pictures [N, 3, H, W], got {list(x.shape)}")
        y = F.interpolate(x.to(self.fc.weight.dtype), (SIZE, SIZE), mode="bilinear", align_corners=False)
        for name, *_ in STEM:
            y = self.get_submodule(name)(y)
            if name in ("Conv2d_2b_3x3", "Conv2d_4a_3x3"):
                y = F.max_pool2d(y, 3, 2)
        for name, *_ in BLOCKS:
            y = self.get_submodule(name)(y)
        return y.mean((2, 3))


def load_inception(path: str | Path | None = None, device: str | torch.device = "cpu") -> Inception:
    """The network in float32, frozen.

    Args:
        path: a file in pytorch-fid's layout; None takes the one that `models get inception-fid` fetched.
    Raises: ModelError (exit 4) when it is missing, broken or of another layout, naming a key.
    """
    path = path or pretrained_file(FILE)
    if path is None:
        raise ModelError("Inception is not here; name its file, or stylegan-toon models get inception-fid")
    try:
        if Path(path).stat().st_size > LARGEST:
            raise ModelError(f"is larger than Inception's {LARGEST // 2_000_000} MB; name another file")
        state = read(Path(path).read_bytes())
    except OSError as error:
        raise ModelError(f"{shown(path)} cannot be read ({error.strerror}); name Inception's file") from None
    except ModelError as error:
        raise ModelError(f"{shown(path)} {error}") from None
    with torch.device("meta"):
        net = Inception()
    wanted = net.state_dict()
    found = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    tracked = {key: torch.tensor(0) for key in wanted if key.endswith("num_batches_tracked")}
    for key in sorted((wanted.keys() - tracked.keys()) | found.keys()):
        value = found.get(key)
        if key not in wanted or not isinstance(value, Tensor) or value.shape != wanted[key].shape:
            why = "is not as wanted" if key in wanted else "is left over"
            raise ModelError(f"{shown(path)} is no Inception for FID (key {key[:60]} {why}); get it again")
        found[key] = value.to(torch.float32, copy=True)  # read's tensors lie in the file's bytes
    net.load_state_dict({**found, **tracked}, assign=True)
    return channels_last(net.eval().requires_grad_(False).to(device))
