"""insightface's recognition network as a judge of identity: aligned pictures to embeddings, no gradients.

Source: Deng et al. 2019, "ArcFace", arXiv 1801.07698. The files are insightface's (w600k_r50.onnx and its
like), which allows them for non-commercial research only; they do not ship.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from stylegan_toon.faces.insightface import load
from stylegan_toon.features.mobileface import to_template


def load_arcface(
    root: str | Path | None = None, device: str = "cpu", report: Callable[[str], None] = lambda text: None
) -> Callable[[Tensor], Tensor]:
    """embed, with the network loaded from a folder that is here. Raises: as faces.insightface.load."""
    return partial(embed, load("recognition", root, device, report))


def embed(net: Any, x: Tensor) -> Tensor:
    """Embed FFHQ-style aligned pictures.

    Args:
        net: insightface's ArcFaceONNX.
        x: [N, 3, H, H], RGB in [-1, 1]; clamped, as saved pictures are.
    Returns: [N, F] float32 on the CPU, of length 1; F is 512 for the published files.
    Raises: ValueError if x is not [N, 3, H, H].
    """
    faces = to_template(x.detach().cpu().clamp(-1, 1), net.input_size[0]) * 127.5 + 127.5
    at_once = 1 if isinstance(net.input_shape[0], int) else 32
    out = [torch.from_numpy(net.forward(part.numpy())) for part in faces.split(at_once) if len(part)]
    return F.normalize(torch.cat(out)) if out else torch.empty(0)
