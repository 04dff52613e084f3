"""First weights."""

from collections.abc import Callable

from torch import Tensor, nn


def draw_weights(network: nn.Module, draw: Callable[[Tensor], object]) -> None:
    """Fill every weight of convolutions and linear layers by draw, one of torch.nn.init; biases become 0."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            draw(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
