"""What a comparison measures: pictures beside the photos they were made of, and the cartoons held out."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stylegan_toon.data import load_pictures
from stylegan_toon.features.identity import choose_identity
from stylegan_toon.features.lpips import load_lpips, lpips_files
from stylegan_toon.losses.perceptual import map_distance
from stylegan_toon.metrics.fid import fid as frechet_distance
from stylegan_toon.metrics.identity import identity_cosine
from stylegan_toon.metrics.kid import kid, statistics
from stylegan_toon.metrics.pixel import average_gradient, mse, psnr, ssim
from stylegan_toon.metrics.structure import edge_ssim, layout_correlation
from stylegan_toon.pipelines.compare.data import BATCH
from stylegan_toon.pipelines.compare.suite import Suite
from stylegan_toon.pipelines.evaluate import features, parts
from stylegan_toon.pipelines.judge import Spaces, fid_space, spaces


@dataclass
class Judge:
    """The held-out photos and cartoons [N, 3, S, S] uint8, and what measures pictures made of the photos."""

    photos: Tensor
    cartoons: Tensor
    spaces: Spaces
    scale: dict[str, tuple[Tensor, Tensor]]
    goal: dict[str, Tensor]  # features of the held-out cartoons
    where: torch.device
    fid_space: str
    lpips: Callable[[Tensor], list[Tensor]] | None
    embed: Callable[[Tensor], Tensor]  # pictures to identity embeddings

    def __post_init__(self) -> None:
        self.copy = {space: one["value"] for space, one in self._kids(self.photos).items()}

    def measure(self, made: Tensor, turn: int = 0) -> dict[str, dict[str, float]]:
        """Every figure of pictures [N, 3, S, S] uint8 made of the photos, with its 95 % interval or nan.

        turn: compare with the photo so many places on, as a control of the figures of content.
        """
        photos = self.photos.roll(turn, 0)
        out = {f"kid/{space}": one for space, one in self._kids(made).items()} if not turn else {}
        if out:
            gone = [1 - out[f"kid/{space}"]["value"] / max(self.copy[space], 1e-3) for space in self.scale]
            out["way"] = _alone(sum(max(share, -1.0) for share in gone) / len(gone))
            net = self.spaces[self.fid_space]
            of = [features(net, parts(side, BATCH), self.where) for side in (self.cartoons, made)]
            out[f"fid/{self.fid_space}"] = _alone(frechet_distance(*of))
            out["gradient"] = _mean(average_gradient(made))
        x, y = (side.float() / 127.5 - 1 for side in (photos, made))
        out["edge_ssim"] = _mean(edge_ssim(x, y))
        out["layout"] = _alone(layout_correlation(x, y))
        out["identity"] = _mean(identity_cosine(x, y, self.embed, BATCH))
        out["mse"], out["ssim"] = _mean(mse(photos, made)), _mean(ssim(photos, made))
        finite = psnr(photos, made)
        out["psnr"] = _mean(finite) if bool(finite.isfinite().all()) else _alone(math.inf)
        if self.lpips:
            with torch.inference_mode():
                pairs = zip(x.split(BATCH), y.split(BATCH), strict=True)
                found = [map_distance(*(self.lpips(v.to(self.where)) for v in pair)).cpu() for pair in pairs]
            out["lpips"] = _mean(torch.cat(found))
        return out

    def _kids(self, made: Tensor) -> dict[str, dict[str, float]]:
        """KID to the held-out cartoons in every space; Inception's is for FID alone."""
        out = {}
        for space, (mean, std) in self.scale.items():
            of_made = features(self.spaces[space], parts(made, BATCH), self.where)
            out[space] = kid(self.goal[space], of_made, mean, std)._asdict()
        return out


def open_judge(suite: Suite, folder: Path, fid_by: str | None, where: torch.device) -> Judge:
    """fid_by: as judge.fid_space. Raises: InputError for pictures that cannot be read, ModelError."""
    data = folder / "data"
    held, wanted, photos = (
        load_pictures([data / name], suite.size)
        for name in ("photos-held-out", "cartoons-held-out", "photos")
    )
    nets = spaces(where)
    scale = {space: statistics(features(net, parts(photos, BATCH), where)) for space, net in nets.items()}
    goal = {space: features(net, parts(wanted, BATCH), where) for space, net in nets.items()}
    name, net = fid_space(fid_by, where)
    embed = choose_identity(device=where)
    files = lpips_files() if suite.size >= 64 else None
    lpips = load_lpips(*files, where) if files else None
    return Judge(held, wanted, {**nets, name: net}, scale, goal, where, name, lpips, embed)


def _mean(values: Tensor) -> dict[str, float]:
    """The mean of [N] values and its 95 % bootstrap interval over the photos."""
    x = values.double().cpu().numpy()
    draws = np.random.default_rng(0).integers(len(x), size=(1000, len(x)))
    low, high = np.quantile(x[draws].mean(1), (0.025, 0.975))
    return {"value": float(x.mean()), "low": float(low), "high": float(high)}


def _alone(value: float) -> dict[str, float]:
    """A figure of the whole set, without an interval."""
    return {"value": value, "low": math.nan, "high": math.nan}
