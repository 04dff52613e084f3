"""Moving pictures: GIF, APNG and WebP by Pillow, MP4 by PyAV where that is installed."""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image

from stylegan_toon.errors import MissingPartError, UsageError, shown
from stylegan_toon.files import open_aside

SUFFIXES = (".gif", ".png", ".apng", ".webp", ".mp4")


def check_suffix(path: str | Path) -> None:
    """Raises: UsageError for a name of another kind; MissingPartError for MP4 without PyAV."""
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"{shown(path)} ends in none of {', '.join(SUFFIXES)}; choose one, such as walk.gif")
    if suffix == ".mp4":
        _av()


def save_animation(
    path: str | Path,
    frames: Iterable[np.ndarray],
    fps: float,
    loop: bool = True,
    colours: Sequence[np.ndarray] = (),
) -> None:
    """Write frames, uint8 [H, W, 3] each, in the format of the name's ending.

    Args:
        fps: frames a second; a GIF counts in hundredths of a second, and shows no more than 50.
        loop: play for ever (GIF, APNG, WebP).
        colours: pictures from which a GIF's one palette is made, so that it does not flicker; none takes the
            first frame.
    Raises: UsageError for another ending or no frame; MissingPartError; DiskError.
    """
    check_suffix(path)
    suffix, found = Path(path).suffix.lower(), iter(frames)
    if (first := next(found, None)) is None:
        raise UsageError("there is no frame to write")
    every = chain([first], found)
    with open_aside(Path(path)) as file:
        if suffix == ".mp4":
            _save_mp4(file, every, fps)
            return
        pictures: Iterator[Image.Image] = map(Image.fromarray, every)
        more = {"save_all": True, "loop": 0 if loop else 1, "duration": 1000 / fps}
        if suffix == ".gif":
            sheet = Image.fromarray(np.concatenate([*colours] or [first], 0))
            palette = sheet.quantize(256, Image.Quantize.MEDIANCUT)
            pictures = (picture.quantize(palette=palette) for picture in pictures)
            more["duration"] = max(2, round(100 / fps)) * 10
            if not loop:
                more.pop("loop")  # a GIF without the block plays once
        start = next(pictures)
        kinds = {".gif": "GIF", ".webp": "WEBP"}
        rest = pictures if suffix in kinds else [*pictures]  # the PNG writer goes through them twice
        lossy = {"quality": 90, "method": 4} if suffix == ".webp" else {}
        start.save(file, kinds.get(suffix, "PNG"), append_images=rest, **more, **lossy)


def _save_mp4(file: object, frames: Iterable[np.ndarray], fps: float) -> None:
    av = _av()
    with av.open(file, "w", format="mp4") as container:
        codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001))
        stream.pix_fmt = "yuv420p"  # what players know; its sides are even
        stream.options = {"crf": "18"} if codec == "libx264" else {"qscale": "3"}
        for number, frame in enumerate(frames):
            even = frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2]
            if not number:
                stream.height, stream.width = even.shape[:2]
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24"))
            )
        container.mux(stream.encode())


def _av():  # type: ignore[no-untyped-def]
    try:
        import av
    except ImportError:
        remedy = "pip install 'stylegan-toon[video]', or name a .gif, .webp or .png"
        raise MissingPartError(f"an MP4 needs PyAV, which is not installed: {remedy}") from None
    return av
