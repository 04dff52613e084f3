"""Figures of a generator: are there faces, like photos, not copies; and is an inversion the person."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from stylegan_toon import __version__
from stylegan_toon.data import load_pictures
from stylegan_toon.device import choose_device
from stylegan_toon.errors import InputError, UsageError
from stylegan_toon.faces.align import roll
from stylegan_toon.faces.detect import Face, find_faces
from stylegan_toon.faces.detectors import choose_detector
from stylegan_toon.features.identity import choose_identity
from stylegan_toon.features.mobileface import load_mobileface
from stylegan_toon.features.untrained import Untrained
from stylegan_toon.images import to_uint8
from stylegan_toon.metrics.fid import fid as frechet_distance
from stylegan_toon.metrics.identity import identity_cosine
from stylegan_toon.metrics.kid import kid, statistics
from stylegan_toon.metrics.memorise import nearest_training
from stylegan_toon.metrics.precision import K, precision_recall
from stylegan_toon.pipelines.models import check_encoder, load_encoder, load_generator
from stylegan_toon.stylegan2.encoder import predict_shift
from stylegan_toon.stylegan2.files import AnyEncoder
from stylegan_toon.stylegan2.generator import Generator

SAMPLES = 2000  # for KID and the nearest training picture, psi 1
FACE_SAMPLES = 1000  # for the share of faces, psi 0.7
FACE_PSI = 0.7
FACE_SCORE = 0.7
MOST = 800  # pictures on each side, for precision and recall
LEAST = 32  # px, for the untrained network

Features = Callable[[Tensor], Tensor]


def evaluate(
    model: str | Path | Generator,
    real: Sequence[str | Path],
    train: Sequence[str | Path],
    exclude: Sequence[str] = (),
    samples: int = SAMPLES,
    face_samples: int = FACE_SAMPLES,
    fid: tuple[str, Features] | None = None,
    encoder: str | Path | AnyEncoder | None = None,
    identity: str = "mobileface",
    detector: str = "yunet",
    insightface_root: str | Path | None = None,
    device: str = "auto",
    seed: int = 0,
    batch: int = 32,
    report: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """The figures of docs/metrics.md, as JSON values.

    Args:
        model: a name, run or file as for load_generator, or a generator.
        real: folders or ZIPs of aligned photos held out from training (for a style: pictures of the style).
        train: those of the photos it was trained on; they set the scale of the features.
        exclude: names or patterns left out of train, as in training.
        samples, face_samples: how many codes are drawn; 0 leaves the figures out. The codes depend on seed
            alone, and the fewer are the first of the more.
        fid: name and network of the features that FID compares, as judge.fid_space; None leaves it out.
        encoder: what inverts the real photos, for the identity figure; None leaves it out.
        identity: what tells people apart, as choose_identity.
        detector, insightface_root: what looks for faces, as choose_detector.
    Pictures are compared at the generator's size, rounded to 8 bits as if saved; noise is const for samples
    and none for inversions, as toonify draws them.
    Raises: InputError (packs; photos that are in both), ModelError, MissingPartError (device), UsageError (1
        sample, a tiny generator).
    """
    if samples == 1 or samples < 0 or face_samples < 0:
        raise UsageError(f"{samples} samples give no figure; take 0 or at least 2, {SAMPLES} to compare")
    where = choose_device(device)
    find = choose_detector(detector, insightface_root, where.type, report)
    face = load_mobileface(device=where)
    embed = choose_identity(identity, insightface_root, where, report)
    generator = model if isinstance(model, Generator) else load_generator(model, where)
    generator = generator.to(where)
    size = generator.config.resolution
    if samples and size < LEAST:
        raise UsageError(
            f"the generator draws {size} px, figures need {LEAST}; take a larger one or --samples 0"
        )
    figures: dict[str, Any] = {
        "program": __version__,
        "model": "" if isinstance(model, Generator) else str(model),
        "resolution": size,
        "seed": seed,
        "detector": detector,
    }
    if face_samples:
        report(f"drawing {face_samples} samples and looking for faces")
        figures["faces"] = face_share(
            draw_samples(generator, face_samples, FACE_PSI, seed, batch), face_samples, find
        )
    held_out = load_pictures(real, size)
    figures["held_out"] = len(held_out)
    if samples:
        photos = load_pictures(train, size, exclude)
        if shared := len({p.numpy().tobytes() for p in held_out} & {p.numpy().tobytes() for p in photos}):
            raise InputError(f"{shared} photos of --real are in --train too; leave them out by --exclude")
        figures |= {"training": len(photos), "samples": samples}
        spaces: dict[str, Features] = {
            "mobileface": lambda x: face(x)[1],
            "untrained": Untrained().to(where),
        }
        figures["kid"], figures["floor"] = {}, {}
        several = min(MOST, samples, len(held_out))
        if several > K:
            figures["manifold"] = {"pictures": several, "neighbour": K}
        for space, net in spaces.items():
            report(f"comparing {samples} samples with {len(held_out)} photos: {space}")
            of_train, of_real = (features(net, parts(p, batch), where) for p in (photos, held_out))
            of_fake = features(net, draw_samples(generator, samples, 1.0, seed, batch), where)
            mean, std = statistics(of_train)
            some = torch.randperm(len(of_train), generator=torch.Generator().manual_seed(seed))[:samples]
            figures["kid"][space] = kid(of_real, of_fake, mean, std, seed=seed)._asdict()
            if len(some) > 1:
                figures["floor"][space] = kid(of_real, of_train[some], mean, std, seed=seed)._asdict()
            if several > K:
                shuffled = torch.randperm(len(of_real), generator=torch.Generator().manual_seed(seed))
                found = precision_recall(of_real[shuffled[:several]], of_fake[:several], mean, std)
                figures["manifold"][space] = found._asdict()
            if space == "mobileface":
                mirrored = features(net, parts(photos.flip(3), batch), where)
                both = torch.cat([of_train, mirrored])
                figures["nearest"] = nearest_training(of_fake, of_real, both, mean, std)._asdict()
    if fid and samples:
        name, net = fid
        report(f"comparing {samples} samples with {len(held_out)} photos: FID, {name}")
        drawn = draw_samples(generator, samples, 1.0, seed, batch)
        of_real, of_fake = features(net, parts(held_out, batch), where), features(net, drawn, where)
        figures["fid"] = {"network": name, "value": frechet_distance(of_real, of_fake)}
    if encoder is not None:
        report(f"inverting {len(held_out)} photos")
        invert = encoder if isinstance(encoder, AnyEncoder) else load_encoder(encoder, where)
        check_encoder(invert, generator)
        cosines = []
        with torch.inference_mode():
            for part in parts(held_out, batch):
                shown = part.to(where)
                w_plus = invert(shown)
                shift = predict_shift(invert, generator, shown, w_plus)
                again = generator.synthesis(w_plus, "none", shift=shift)[-1]
                cosines.append(identity_cosine(part, as_saved(again), embed))
        cosine = torch.cat(cosines)
        figures["identity"] = {"mean": float(cosine.mean()), "median": float(cosine.median())}
        figures["identity"]["network"] = Path(identity).name
    return figures


def as_text(figures: dict[str, Any]) -> list[str]:
    """The figures of evaluate, a line each."""

    def interval(name: str, one: dict[str, float]) -> str:
        return f"{name}: {one['value']:.4f} (95 %: {one['low']:.4f} to {one['high']:.4f})"

    lines = []
    if "faces" in figures:
        one = figures["faces"]
        lines.append(f"faces found: {one['share']:.1%} of {one['samples']} samples at psi {one['psi']}")
    for space, one in figures.get("kid", {}).items():
        lines.append(interval(f"KID, {space}", one))
        if space in figures["floor"]:
            lines.append(interval(f"KID of training photos, {space}", figures["floor"][space]))
    if "manifold" in figures:
        one = figures["manifold"]
        for space in figures["kid"]:
            both = f"precision {one[space]['precision']:.3f}, recall {one[space]['recall']:.3f}"
            lines.append(f"{both}: {space}, {one['pictures']} pictures, k = {one['neighbour']}")
    if "fid" in figures:
        one, sets = figures["fid"], f"{figures['samples']} samples, {figures['held_out']} photos"
        lines.append(f"FID, {one['network']}: {one['value']:.2f} ({sets})")
    if "nearest" in figures:
        one = figures["nearest"]
        lines.append(f"nearest training picture: {one['ratio']:.3f} times as far as from held-out photos")
        lines.append(f"nearer than 99 % of held-out photos: {one['closer']:.1%}")
    if "identity" in figures:
        one = figures["identity"]
        which = "" if one["network"] == "mobileface" else f", {one['network']}"
        means = f"mean {one['mean']:.3f}, median {one['median']:.3f}"
        lines.append(f"identity cosine of inversions{which}: {means}")
    return lines


def face_share(
    pictures: Iterator[Tensor], count: int, find: Callable[..., list[Face]] = find_faces
) -> dict[str, float]:
    """How many of count pictures, in batches [N, 3, H, W] in [-1, 1], hold an upright face for find."""
    found = 0
    for part in pictures:
        for picture in to_uint8(part):
            faces = find(Image.fromarray(picture), min_score=FACE_SCORE)
            found += any(face.score >= FACE_SCORE and abs(roll(face.points)) < 45 for face in faces)
    return {"share": found / count, "samples": count, "psi": FACE_PSI, "score": FACE_SCORE}


def draw_samples(generator: Generator, count: int, psi: float, seed: int, batch: int) -> Iterator[Tensor]:
    """Batches [N, 3, R, R] on the CPU, as saved, for z drawn one by one from seed; noise const."""
    draw = torch.Generator().manual_seed(seed)
    where = generator.w_mean.device
    codes = torch.cat([torch.randn(1, generator.config.z_dim, generator=draw) for _ in range(count)])
    for z in codes.split(batch):
        with torch.inference_mode():
            yield as_saved(generator(z.to(where), psi, "const"))


def as_saved(pictures: Tensor) -> Tensor:
    """Pictures [N, 3, H, W] rounded and clamped to 8 bits and back, on the CPU."""
    return torch.from_numpy(to_uint8(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def parts(pictures: Tensor, batch: int) -> Iterator[Tensor]:
    """Pictures [N, 3, H, W] uint8 as batches in [-1, 1]."""
    for part in pictures.split(batch):
        yield part.float() / 127.5 - 1


def features(net: Features, batches: Iterator[Tensor], where: torch.device) -> Tensor:
    """[N, F] on the CPU."""
    with torch.inference_mode():
        return torch.cat([net(part.to(where)).cpu() for part in batches])
