"""Training the small text model: pictures with labels, and texts that name them.

For each group of labels the prompts of all its members compete for a picture, as they will when it is
asked what a face looks like; whole captions compete for pictures, but only where they contradict them.
Texts are alike at first and part slowly: so that pictures need not wait for them, a fixed random
direction for each member competes beside its prompt, and the texts follow.
Source: Radford et al. 2021, arXiv 2103.00020, for the networks and the contrastive loss.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import AdamW, Optimizer

from stylegan_toon.device import channels_last
from stylegan_toon.features.clip import CLIP, MEAN, STD
from stylegan_toon.losses.clip import caption_loss, prompt_loss
from stylegan_toon.training.ema import update_ema


@dataclass(frozen=True)
class Config:
    """sizes: members of each group of labels; weights: of each group's loss; steps: until the rate is 0."""

    sizes: tuple[int, ...]
    weights: tuple[float, ...]
    batch: int = 64
    steps: int = 2000
    lr: float = 0.001
    warmup: int = 100
    decay: float = 0.05
    caption_weight: float = 0.5
    kinds_weight: float = 1.0
    ema: float = 0.997
    max_scale: float = 50.0


class ClipTraining(nn.Module):
    def __init__(self, config: Config, net: CLIP):
        super().__init__()
        self.config = config
        self.net = channels_last(net)
        self.kinds: Tensor
        always = torch.Generator().manual_seed(0)  # the same where a run starts from another's network
        self.register_buffer("kinds", torch.randn(sum(config.sizes), net.config.embed, generator=always))
        self.average = CLIP(net.config).requires_grad_(False)
        self.average.load_state_dict(net.state_dict())

    def optimizers(self) -> dict[str, Optimizer]:
        plain = [p for p in self.net.parameters() if p.ndim < 2]
        decayed = [p for p in self.net.parameters() if p.ndim >= 2]
        groups = [
            {"params": decayed, "weight_decay": self.config.decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        return {"net": AdamW(groups, self.config.lr, (0.9, 0.98))}

    def take_parts(self, parts: int) -> bool:
        """No: pictures of a batch are told from each other."""
        return parts == 1

    def rate(self, i: int) -> float:
        """The learning rate of step i: a ramp, then half a cosine down to 0."""
        config = self.config
        fall = 0.5 + 0.5 * math.cos(math.pi * min(i / config.steps, 1))
        return config.lr * min((i + 1) / config.warmup, 1) * fall

    def step(self, batch: Mapping[str, Tensor], opt: dict[str, Optimizer], i: int) -> dict[str, Tensor]:
        """One step.

        Args:
            batch: picture [N, 3, S, S] in [-1, 1]; label [N, G], -1 unknown; text [sum of sizes + M, T],
                tokens of the prompts and then of captions for the first M pictures; wrong [M, M], which
                picture is contradicted by which caption.
        """
        config, net = self.config, self.net
        for group in (group for one in opt.values() for group in one.param_groups):
            group["lr"] = self.rate(i)
        mean, std = (torch.tensor(values).to(batch["picture"])[:, None, None] for values in (MEAN, STD))
        pictures = F.normalize(net.visual((batch["picture"] * 0.5 + 0.5 - mean) / std))
        texts = F.normalize(net.encode_text(batch["text"]))
        prompts, captions = texts[: sum(config.sizes)], texts[sum(config.sizes) :]
        scale = net.logit_scale.exp().clamp(max=config.max_scale)
        groups = prompt_loss(pictures, prompts, batch["label"], config.sizes, scale)
        kinds = prompt_loss(pictures, F.normalize(self.kinds), batch["label"], config.sizes, scale)
        contrast = caption_loss(pictures[: len(captions)], captions, batch["wrong"], scale)
        weighted = (groups + kinds * config.kinds_weight) * groups.new_tensor(config.weights)
        total = weighted.sum() + contrast * config.caption_weight
        self.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        for one in opt.values():
            one.step()
        update_ema(self.average, net, min(config.ema, (i + 1) / (i + 10)))
        named = {f"prompt/{k}": value.detach() for k, value in enumerate(groups)}
        named |= {f"kind/{k}": value.detach() for k, value in enumerate(kinds)}
        return {"loss": total.detach(), "caption": contrast.detach(), "scale": scale.detach(), **named}
