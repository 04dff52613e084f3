"""A style at every blend: how near to the style's pictures, and how much of the person is left."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylegan_toon import __version__
from stylegan_toon.data import load_pictures
from stylegan_toon.errors import InputError
from stylegan_toon.faces.detect import Face
from stylegan_toon.faces.detectors import choose_detector
from stylegan_toon.features.mobileface import load_mobileface
from stylegan_toon.features.untrained import Untrained
from stylegan_toon.images import grid, load_image, save_png
from stylegan_toon.metadata import chunks
from stylegan_toon.metrics.identity import identity_cosine
from stylegan_toon.metrics.kid import kid, statistics
from stylegan_toon.pipelines.evaluate import as_saved, features, parts
from stylegan_toon.pipelines.toonifier import Toonifier
from stylegan_toon.stylegan2.blend import Recipe

TOGETHER = 8  # photos refined at a time: more need memory for little speed


def measure_blends(
    style: str,
    source: str,
    photos: Sequence[str | Path],
    pictures: Sequence[str | Path],
    out: str | Path,
    shown: Sequence[str | Path] = (),
    limit: int = 200,
    exclude: Sequence[str] = (),
    detector: str = "yunet",
    insightface_root: str | Path | None = None,
    device: str = "auto",
    batch: int = 32,
    report: Callable[[str], None] = lambda text: None,
    blend_width: float = 0.0,
    keep: str = "low",
    refine: int | None = None,
) -> dict[str, Any]:
    """KID to the style and identity cosine of toonified photos at every K, and a strip of pictures.

    Args:
        photos: aligned photos (folders, ZIPs), the first `limit` of them; they also set the scale of KID.
        pictures: the style's pictures (folders, ZIPs).
        out: OUT.png shows photo, inversion and K = 0 upwards in a row for each photo of shown.
        shown: photos, of which the largest face is taken; none takes the first three of photos.
        exclude: names or patterns left out of photos.
        detector, insightface_root: what finds the faces of shown, as choose_detector.
        blend_width, keep: of every blend, as in stylegan2.blend.Recipe.
        refine: of the photos' codes, as Toonifier.steps.
    Returns: JSON values; "photos" is the figure of the photos themselves.
    """
    toonifier = Toonifier(style, source, Recipe(0, blend_width, keep), device, report)
    where, size = toonifier.device, toonifier.source.config.resolution
    real = load_pictures(photos, size, exclude)[:limit]
    wanted = load_pictures(pictures, size)
    steps = toonifier.steps(refine)
    codes = [toonifier.fit(part.to(where), steps) for part in parts(real, TOGETHER)]
    face = load_mobileface(device=where)
    spaces: dict[str, Callable[[Tensor], Tensor]] = {
        "mobileface": lambda x: face(x)[1],
        "untrained": Untrained().to(where),
    }
    scale, goal = {}, {}
    for space, net in spaces.items():
        of_photos = features(net, parts(real, batch), where)
        scale[space] = (of_photos, *statistics(of_photos))
        goal[space] = features(net, parts(wanted, batch), where)

    def figure(made: Tensor | None) -> dict[str, Any]:
        row: dict[str, Any] = {}
        for space, net in spaces.items():
            of_photos, mean, std = scale[space]
            fake = of_photos if made is None else features(net, iter(made.split(batch)), where)
            row[space] = kid(goal[space], fake, mean, std)._asdict()
        if made is not None:
            pairs = zip(parts(real, batch), made.split(batch), strict=True)
            cosines = [identity_cosine(a, b, lambda x: face(x.to(where))[0]) for a, b in pairs]
            row["identity"] = float(torch.cat(cosines).mean())
        return row

    n = toonifier.source.config.n_resolutions
    document: dict[str, Any] = {
        "program": __version__, "style": style, "source": source, "resolution": size,
        "blend_width": blend_width, "keep": keep, "refine_steps": steps, "photo_count": len(real),
        "picture_count": len(wanted), "photos": figure(None), "blends": {},
    }  # fmt: skip
    some = [real[:3].float() / 127.5 - 1]
    if shown:
        find = choose_detector(detector, insightface_root, where.type, report)
        some = [largest_face(toonifier, path, find) for path in shown]
    examples = torch.cat(some).to(where)
    known = toonifier.fit(examples, steps)
    columns = [examples, toonifier.draw(known.w_plus, toonifier.source, known.shift)]
    for k in range(n + 1):
        report(f"{style}: K = {k} of {n}")
        toonifier.set_blend(Recipe(k, blend_width, keep))
        made = torch.cat([as_saved(toonifier.draw(one.w_plus, shift=one.shift)) for one in codes])
        document["blends"][str(k)] = figure(made)
        columns.append(toonifier.draw(known.w_plus, shift=known.shift))
    strip = torch.stack([column.cpu() for column in columns], 1).flatten(0, 1)
    about = {"command": "blends", "models": toonifier.files, "blend_width": blend_width, "keep": keep}
    about |= {"refine_steps": steps}
    save_png(f"{out}.png", grid(strip, len(columns)), chunks(about))
    return document


def largest_face(toonifier: Toonifier, path: str | Path, find: Callable[..., list[Face]]) -> Tensor:
    """[1, 3, R, R]: the largest face of a photo, aligned. Raises: InputError."""
    photo = load_image(path)
    found = find(photo)
    if not found:
        raise InputError(f"no face found in {path}; show another photo")
    return toonifier.crops(photo, found[:1])


def as_text(document: dict[str, Any]) -> list[str]:
    """The figures of measure_blends, a line a K."""
    rows = [("photos", document["photos"]), *document["blends"].items()]
    return [
        f"K {name}: "
        + ", ".join(f"KID {s} {row[s]['value']:.3f}" for s in ("mobileface", "untrained"))
        + (f", identity {row['identity']:.3f}" if "identity" in row else "")
        for name, row in rows
    ]
