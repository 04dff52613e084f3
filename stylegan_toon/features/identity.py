"""Which network tells people apart: the one that ships, or others whose files are here."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from stylegan_toon.errors import UsageError, shown
from stylegan_toon.features import irse
from stylegan_toon.features.arcface import load_arcface
from stylegan_toon.features.mobileface import load_mobileface

IDENTITIES = ("mobileface", "arcface", irse.NAME)


def choose_identity(
    name: str = "mobileface",
    root: str | Path | None = None,
    device: str | torch.device = "cpu",
    report: Callable[[str], None] = lambda text: None,
) -> Callable[[Tensor], Tensor]:
    """A function from aligned pictures [N, 3, H, H] in [-1, 1] to embeddings [N, F] of length 1.

    Args:
        name: one of IDENTITIES, or a file of the last one's layout. "arcface" is insightface's, and passes
            no gradients; the others do.
        root: the folder of insightface's models, as in faces.insightface.roots.
    Raises: UsageError for another name, ModelError (exit 4) for a file that is missing or broken,
        MissingPartError (exit 5) when insightface or its model is missing.
    """
    where = torch.device(device)
    if name == "mobileface":
        face = load_mobileface(device=where)
        return lambda x: face(x.to(where))[0]
    if name == "arcface":
        return load_arcface(root, where.type, report)
    if name != irse.NAME and Path(name).name == name and not Path(name).suffix:
        raise UsageError(f"identity {shown(name, 40)!r} is none of {', '.join(IDENTITIES)}; or name a file")
    net = irse.load_irse(None if name == irse.NAME else name, where)
    return lambda x: net(x.to(where))
