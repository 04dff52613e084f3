"""Training the photo encoder against a fixed generator.

Half of each batch are photos (reconstruction), half are samples of the generator (whose w is known too).
Source: Richardson et al. 2021, arXiv 2008.00951; Tov et al. 2021, arXiv 2102.02766. Deviation: features of
the generator's own discriminator stand for LPIPS, without one those of features.look; MobileFace for ArcFace;
eyes, brows and mouth count more than the rest, for they are small and tell the mood.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from stylegan_toon.device import channels_last
from stylegan_toon.errors import UsageError
from stylegan_toon.features.look import Look
from stylegan_toon.losses.identity import identity_loss
from stylegan_toon.losses.latent import feature_l1, feature_sizes, offset_loss, part_weights, pyramid_l1
from stylegan_toon.stylegan2.discriminator import Discriminator
from stylegan_toon.stylegan2.encoder import Encoder
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.training import ranks
from stylegan_toon.training.ema import update_ema


@dataclass(frozen=True)
class Config:
    """parts: how much more eyes, brows and mouth count in the pixel loss (losses.latent.part_weights)."""

    batch: int = 16
    lr: float = 0.001
    parts: float = 10.0
    pixel_weight: float = 2.0
    feature_weight: float = 1.0
    identity_weight: float = 0.5
    latent_weight: float = 0.5
    offset_weight: float = 0.2
    ema: float = 0.995
    degrade: float = 0.5  # share of inputs that are blurred, recoloured or noisy
    bf16: bool = False


class EncoderTraining(nn.Module):
    def __init__(
        self,
        config: Config,
        encoder: Encoder,
        g: Generator,
        d: Discriminator | None,
        look: Look | None = None,
    ):
        """look: tells identity and, without d, features; None leaves these losses out.

        Raises: UsageError where there are more processes than photos in a batch.
        """
        super().__init__()
        if config.batch // 2 < ranks.world():
            raise UsageError(
                f"a batch of {config.batch} has {config.batch // 2} photos for {ranks.world()} processes; "
                f"use --batch {2 * ranks.world()} or more"
            )
        self.config = config
        self.encoder = encoder
        self.average = Encoder(encoder.config).requires_grad_(False)
        self.average.load_state_dict(encoder.state_dict())
        dtype = torch.bfloat16 if config.bf16 else torch.float32
        encoder.compute_dtype = g.synthesis.compute_dtype = dtype
        if d is not None:
            d.eval().requires_grad_(False).compute_dtype = dtype
        self._fixed = (g.eval().requires_grad_(False), d, look)
        with torch.no_grad():
            z = torch.randn(4096, g.config.z_dim, generator=torch.Generator().manual_seed(0))
            self._spread = float(g.mapping(z.to(g.w_mean.device)).var(0).mean())
        channels_last(self)

    def optimizers(self) -> dict[str, Optimizer]:
        fused = self.encoder.w_mean.device.type != "mps"
        return {"e": Adam(self.encoder.parameters(), self.config.lr, (0.9, 0.99), fused=fused)}

    def features(self, x: Tensor) -> list[Tensor]:
        """The outputs of the discriminator's blocks down to 8x8; without one the maps of look, if any."""
        _, d, look = self._fixed
        if d is None:
            return look(x)[1] if look else []
        y = d.from_rgb(x.to(d.compute_dtype, memory_format=torch.channels_last))
        out = []
        for block in d.blocks[:-1]:
            y = block(y)
            out.append(y)
        return out

    def degrade(self, x: Tensor, of: int | None = None, at: Tensor | slice = slice(None)) -> Tensor:
        """Some of x [N, 3, H, W] blurred, brighter, darker or noisy, as found photos are.

        of: how many pictures there are in all, of which x are those at some places; None means x.
        """
        n, p = len(x) if of is None else of, self.config.degrade
        if not p:
            return x

        def some() -> Tensor:
            return (torch.rand(n, 1, 1, 1) < p)[at].to(x.device)

        size = x.shape[2]
        small = int(torch.randint(size // 4, size, []))
        blurred = F.interpolate(
            F.interpolate(x, (small, small), mode="bilinear", antialias=True), (size, size), mode="bilinear"
        )
        x = torch.where(some(), blurred, x)
        gain, lift = torch.exp2(torch.randn(n, 1, 1, 1) * 0.15)[at], (torch.randn(n, 1, 1, 1) * 0.08)[at]
        x = torch.where(some(), x * gain.to(x.device) + lift.to(x.device), x)
        noisy, all_of_them = some(), x
        if len(x) < n:  # drawn in the order in which the pictures lie in memory
            all_of_them = x.new_empty(n, *x.shape[1:]).to(memory_format=torch.channels_last)
        return torch.where(noisy, x + torch.randn_like(all_of_them)[at] * 0.05, x)

    def take_parts(self, parts: int) -> bool:
        """No: it is trained with the whole batch only."""
        return parts == 1

    def comparisons(self, made: Tensor, wanted: Tensor, share: float) -> dict[str, Tensor]:
        """The weighted losses between pictures [N, 3, R, R], of which these are a share of all."""
        config, look = self.config, self._fixed[2]
        losses = {}
        if config.pixel_weight:
            weights = part_weights(wanted.shape[3], config.parts).to(wanted)
            losses["pixel"] = pyramid_l1(made, wanted, weights=weights) * config.pixel_weight
        with torch.no_grad():
            wanted_features = self.features(wanted) if config.feature_weight else []
            sizes = ranks.total(feature_sizes(wanted_features) * share) if wanted_features else None
        if wanted_features:
            made_features = self.features(made)
            losses["feature"] = feature_l1(made_features, wanted_features, sizes) * config.feature_weight
        if look is not None and config.identity_weight:
            with torch.no_grad():
                known = look(wanted)[0]
            losses["identity"] = identity_loss(look(made)[0], known) * config.identity_weight
        return losses

    def step(self, batch: Mapping[str, Tensor], opt: dict[str, Optimizer], i: int) -> dict[str, Tensor]:
        """One step on batch["photo"] [N, 3, R, R] and as many samples of the generator.

        Where no loss compares pictures it is 2 N samples, and nothing is drawn from their codes.
        """
        config, (g, _, _) = self.config, self._fixed
        compares = config.pixel_weight or config.feature_weight or config.identity_weight
        photos = batch["photo"] if compares else batch["photo"][:0]
        n = 2 * len(batch["photo"]) - len(photos)
        at, mine = ranks.part(n), ranks.part(len(photos))
        photos, share = photos[mine], len(range(n)[at]) / n
        with torch.no_grad():
            w = g.broadcast(g.mapping(torch.randn(n, g.config.z_dim, device=g.w_mean.device)[at]))
            samples = g.synthesis(w, "none")[-1].clamp(-1, 1)
        wanted = torch.cat([photos, samples]).contiguous(memory_format=torch.channels_last)
        total_of = len(batch["photo"]) * 2
        places = torch.arange(total_of)
        kept = torch.cat([places[: total_of - n][mine], places[total_of - n :][at]])
        w_plus = self.encoder(self.degrade(wanted, total_of, kept))
        losses = {
            "latent": (w_plus[len(photos) :] - w).square().mean() / self._spread * config.latent_weight,
            "offset": offset_loss(w_plus) / self._spread * config.offset_weight,
        }
        if compares:
            losses |= self.comparisons(g.synthesis(w_plus, "none")[-1], wanted, share)
        total = torch.stack(list(losses.values())).sum() * share
        opt["e"].zero_grad()
        total.backward()
        figures = {f"e/{name}": value.detach() * share for name, value in losses.items()}
        figures = ranks.share(opt["e"], {"e": total.detach()} | figures)
        opt["e"].step()
        update_ema(self.average, self.encoder, min(config.ema, (i + 1) / (i + 10)))
        return figures
