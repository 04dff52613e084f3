"""What a picture and its inversion are compared by: who it shows, and how it looks."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from stylegan_toon.features.lpips import load_lpips, lpips_files
from stylegan_toon.features.mobileface import load_mobileface

# Aligned pictures [N, 3, H, H] -> identity embeddings [N, F] of length 1, and maps for map_distance.
Look = Callable[[Tensor], tuple[Tensor, list[Tensor]]]
LEAST = 64  # px, for AlexNet


def load_look(
    size: int, device: str | torch.device = "cpu", report: Callable[[str], None] = lambda text: None
) -> tuple[Look, str, Path | None]:
    """MobileFace for identity, and LPIPS for looks where its files are; else MobileFace for both.

    Args:
        size: edge of the pictures.
        report: is told where LPIPS is missing.
    Returns: the function, "lpips" or "mobileface", and LPIPS' backbone.
    Raises: ModelError for a broken file.
    """
    face = load_mobileface(device=device)
    files = lpips_files()
    if files is None or size < LEAST:
        why = "LPIPS is not here" if files is None else f"LPIPS takes {LEAST} px and more"
        report(f"{why}, so pictures are compared by the features of MobileFace (docs/inversion.md)")
        return face.look, "mobileface", None
    net = load_lpips(*files, device)
    return lambda x: (face(x)[0], net(x)), "lpips", files[0]
