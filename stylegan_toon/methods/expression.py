"""Keeping a child's expressions its source's: what an edit does to a face, a text model sees on both.

After Gal et al. 2021, arXiv 2108.00946, whose loss compares directions in CLIP's space; here both ends are
pictures, before and after an edit, and only what tells expressions apart counts.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from stylegan_toon.features.clip import Clip
from stylegan_toon.losses.expression import expression_loss
from stylegan_toon.methods.gan import Places
from stylegan_toon.methods.text_goal import Cuts, cut, draw_cuts
from stylegan_toon.stylegan2.edits import Edit
from stylegan_toon.stylegan2.generator import Synthesis

MOODS = ("sad", "angry", "happy", "surprised")  # what is told apart
LEAST, MOST = 0.5, 1.5  # of an edit's own strength, in a draw


@dataclass(frozen=True)
class Change:
    """Edits of N faces: w_plus [N, L, D] is added to codes, styles [N, C] to those of named convolutions.

    cuts: how the text model looks at the faces, before and after, if it does.
    """

    w_plus: Tensor
    styles: Mapping[str, Tensor]
    cuts: Cuts | None = None

    def __getitem__(self, at: Places) -> "Change":
        styles = {name: step[at] for name, step in self.styles.items()}
        cuts = self.cuts and (self.cuts[0][at], self.cuts[1][at], self.cuts[2][at])
        return Change(self.w_plus[at], styles, cuts)

    @contextmanager
    def on(self, synthesis: Synthesis) -> Iterator[None]:
        """Meanwhile synthesis draws with the changed styles."""
        hooks = [
            synthesis.get_submodule(f"{name}.conv.affine").register_forward_hook(
                lambda module, given, style, step=step: style + step.to(style)
            )
            for name, step in self.styles.items()
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def changed(edits: Sequence[Edit], shares: Tensor, w_plus: Tensor, cuts: Cuts | None = None) -> Change:
    """How edits, directions all, change faces with codes like w_plus [N, L, D].

    shares: [N, edits], of each edit's own strength.
    """
    codes = w_plus.new_zeros(len(shares), *w_plus.shape[1:])
    styles: dict[str, Tensor] = {}
    for share, edit in zip(shares.T.to(w_plus), edits, strict=True):
        of = share * edit.strength
        for name, step in edit.tensors.items():
            step = step.to(w_plus)
            if name in ("w", "w_plus"):
                codes = codes + of[:, None, None] * step
            else:
                styles[name[2:]] = styles.get(name[2:], 0) + of[:, None] * step
    return Change(codes, styles, cuts)


class Expressions:
    """Edits of the source's codes and styles, and how far a text model sees a face's expression change."""

    def __init__(self, clip: Clip, edits: Sequence[Edit]):
        """Args:
            clip: which knows MOODS.
            edits: of one generator.
        Raises: ValueError for a mapper.
        """
        if any(edit.mapper is not None for edit in edits):
            raise ValueError("the expression loss takes directions, not mappers")
        self._clip, self._edits = clip, list(edits)
        with torch.no_grad():
            texts = clip.text([f"a really {mood} face" for mood in MOODS])
        self._texts = texts - texts.mean(0)

    def draw(self, n: int, w_plus: Tensor) -> Change:
        """n random changes for codes like w_plus [N, L, D]; draws from torch's generator, on the CPU."""
        size = LEAST + (MOST - LEAST) * torch.rand(n)
        chosen = torch.nn.functional.one_hot(torch.randint(len(self._edits), [n]), len(self._edits))
        return changed(self._edits, chosen * size[:, None], w_plus, draw_cuts(n))

    def loss(self, child: Sequence[Tensor], source: Sequence[Tensor], change: Change) -> Tensor:
        """expression_loss of what is seen of pictures [N, 3, R, R] before and after a change."""
        assert change.cuts, "draw() gives them"
        with torch.no_grad():
            wanted = self._rise(source, change.cuts)
        return expression_loss(self._rise(child, change.cuts), wanted)

    def _rise(self, pair: Sequence[Tensor], cuts: Cuts) -> Tensor:
        before, after = (self._clip.image(cut(x.float(), cuts)) @ self._texts.T for x in pair)
        return after - before
