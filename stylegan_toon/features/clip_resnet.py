"""The ResNet that looks at pictures in some of OpenAI's CLIP models.

It differs from a plain one: three convolutions at the start, averages instead of strides, and attention from
the mean of all places as the last pooling.
Source: Radford et al. 2021, arXiv 2103.00020, section 2.4; github.com/openai/CLIP (MIT), whose names the
parameters keep.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class BatchNorm(nn.Module):
    """nn.BatchNorm2d without its count of batches, which nothing here reads."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.running_mean: Tensor
        self.running_var: Tensor
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, self.training)


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)


class Bottleneck(nn.Module):
    """x + three convolutions, 4 * planes wide at the end; a stride is an average after the second one."""

    def __init__(self, inputs: int, planes: int, stride: int):
        super().__init__()
        self.stride = stride
        self.conv1, self.bn1 = conv(inputs, planes, 1), BatchNorm(planes)
        self.conv2, self.bn2 = conv(planes, planes, 3), BatchNorm(planes)
        self.conv3, self.bn3 = conv(planes, 4 * planes, 1), BatchNorm(4 * planes)
        self.downsample: nn.Module | None = None
        if stride > 1 or inputs != 4 * planes:
            self.downsample = nn.Sequential(
                OrderedDict({"0": conv(inputs, 4 * planes, 1), "1": BatchNorm(4 * planes)})
            )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        if self.stride > 1:
            x, y = F.avg_pool2d(x, self.stride), F.avg_pool2d(y, self.stride)
        y = self.bn3(self.conv3(y))
        return F.relu(y + (self.downsample(x) if self.downsample else x))


class AttentionPool(nn.Module):
    """The places of a [N, C, S, S] map, asked by their mean: [N, embed]. A head is 64 wide."""

    def __init__(self, side: int, channels: int, embed: int):
        super().__init__()
        self.positional_embedding = nn.Parameter(torch.randn(side**2 + 1, channels) * channels**-0.5)
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(channels, channels) for _ in "qkv")
        self.c_proj = nn.Linear(channels, embed)
        for layer in (self.q_proj, self.k_proj, self.v_proj, self.c_proj):
            nn.init.normal_(layer.weight, std=channels**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(2).transpose(1, 2)
        x = torch.cat([x.mean(1, keepdim=True), x], dim=1) + self.positional_embedding
        q, k, v = self.q_proj(x[:, :1]), self.k_proj(x), self.v_proj(x)
        q, k, v = (part.unflatten(2, (-1, 64)).transpose(1, 2) for part in (q, k, v))
        return self.c_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(1))


class ResNet(nn.Module):
    """[N, 3, 32 * side, 32 * side], normalised, to [N, embed]. stages: blocks in each of the four."""

    def __init__(self, width: int, stages: tuple[int, ...], side: int, embed: int):
        super().__init__()
        half = width // 2
        self.conv1, self.bn1 = conv(3, half, 3, 2), BatchNorm(half)
        self.conv2, self.bn2 = conv(half, half, 3), BatchNorm(half)
        self.conv3, self.bn3 = conv(half, width, 3), BatchNorm(width)
        inputs = width
        for i, blocks in enumerate(stages):
            planes = width * 2**i
            first = Bottleneck(inputs, planes, 1 if i == 0 else 2)
            inputs = 4 * planes
            rest = (Bottleneck(inputs, planes, 1) for _ in range(blocks - 1))
            self.add_module(f"layer{i + 1}", nn.Sequential(first, *rest))
        self.attnpool = AttentionPool(side, inputs, embed)

    def forward(self, x: Tensor) -> Tensor:
        for convolve, norm in ((self.conv1, self.bn1), (self.conv2, self.bn2), (self.conv3, self.bn3)):
            x = F.relu(norm(convolve(x)))
        x = F.avg_pool2d(x, 2)
        for i in range(1, 5):
            x = self.get_submodule(f"layer{i}")(x)
        return self.attnpool(x)
