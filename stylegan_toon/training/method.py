"""What the loop trains: two Protocols, nothing to inherit from."""

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor
from torch.optim import Optimizer


class Method(Protocol):
    """A trained method; every one is an nn.Module whose state_dict holds all that a step remembers.

    Its config says the batch: how many pictures a step takes.
    """

    config: Any

    def optimizers(self) -> dict[str, Optimizer]: ...

    def step(self, batch: Mapping[str, Tensor], opt: dict[str, Optimizer], i: int) -> dict[str, Tensor]: ...

    def take_parts(self, parts: int) -> bool:
        """Take every batch in so many parts, one after the other, with the gradient of the whole; False if
        it cannot be parted so."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any: ...


class Translator(Protocol):
    """A compared method: photo [N, 3, H, W] in [-1, 1], of any size, to a cartoon of the same shape.

    It is in eval mode. One that has a way back has back(cartoon), too.
    """

    def translate(self, photo: Tensor) -> Tensor: ...
