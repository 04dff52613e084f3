"""Put cartoon squares back into the photo they were cut from, without a seam.

sRGB in 0..255 throughout; colours are compared in YCbCr (ITU-R BT.601, as in JPEG).
"""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL import Image

from stylegan_toon.faces.align import align, invert, move, rgb, side, square, to_photo
from stylegan_toon.faces.matte import head_matte, smooth, spread

FEATHER = 0.16
COLOUR = 0.5
FACE = 0.75  # the face ends about here, on the way from the middle (0) to the outline (1)
SMALL = 64  # side of the pictures that colours are compared on
MATTE = 128  # side of the picture in which the head is told from its background
SIGMA = 0.08  # how far colours at the edge reach along it, as a part of the side
_YCC = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
_RGB = np.linalg.inv(_YCC)


def paste(
    photo: Image.Image,
    cartoons: Sequence[tuple[Image.Image | np.ndarray, np.ndarray]],
    feather: float = FEATHER,
    colour: float = COLOUR,
    exact: bool = False,
    background: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Put cartoons over the faces of a photo.

    Each is brought back to the place and size of its square, its colours moved towards the photo's, and
    blended in by a rounded mask (|x|^3 + |y|^3 = 1 in the square) that rises softly inwards and leaves
    the cartoon's background out. Where masks overlap, the earlier one keeps what is nearer to its middle.
    Args:
        photo: RGB.
        cartoons: pairs of a square picture, RGB or floats [S, S, 3] in 0..255, and the five points [5, 2]
            it was aligned by. Floats are rounded once, at the end: of two that are nearly equal no byte then
            differs by more than one.
        feather: width of the soft edge as a part of the square's side, above 0, at most 0.5.
        colour: how far the face's mean and deviation go to those of the photo, 0 not at all, 1 all the way.
        exact: compute in float64, so that the bytes are the same on every machine.
        background: blend in the cartoon's background as well.
    Returns: uint8 [H, W, 3] of the photo's size, and the mask, float32 [H, W] in 0..1. Where the mask is 0
        every pixel is the photo's own.
    Raises: ValueError for a cartoon that is not square, or feather or colour outside their range.
    """
    if not 0 < feather <= 0.5 or not 0 <= colour <= 1:
        raise ValueError(f"feather must be in (0, 0.5] and colour in [0, 1], not {feather} and {colour}")
    before = np.asarray(rgb(photo))
    out, mask = before.copy(), np.zeros(before.shape[:2], np.float32)
    dtype = np.float64 if exact else np.float32
    done: list[np.ndarray] = []
    for cartoon, points in cartoons:
        face = np.asarray(cartoon, dtype)
        if face.shape[0] != face.shape[1]:
            raise ValueError(f"a cartoon must be square, not {face.shape[1]}x{face.shape[0]}")
        if (where := _bounds(points, photo.size)) is not None:
            top, left = where[0].start, where[1].start
            alpha, away = _mask(points, where, feather, dtype)
            for other in done:
                nearer = _distance(other, where, dtype) - away
                alpha = alpha * smooth(nearer / 0.3 + 0.5)
            small = _resized(face, MATTE, Image.Resampling.BOX).astype(dtype)
            head = np.ones((MATTE, MATTE), dtype)
            if not background:
                head = head_matte(small, np.asarray(align(photo, points, MATTE), dtype))
            tinted = _recolour(photo, face, head, points, feather, colour, dtype)
            new = _warp_back(tinted, points, (top, left), alpha.shape)
            if not background:
                matte = _warp_back(head[..., None], points, (top, left), alpha.shape)[..., 0]
                alpha = alpha * matte.clip(0, 1)
            old = out[where]
            out[where] = np.rint(old + alpha[..., None] * (new - old)).astype(np.uint8)
            mask[where] += alpha * (1 - mask[where])
        done.append(points)
    return out, mask


def _bounds(points: np.ndarray, extent: tuple[int, int]) -> tuple[slice, slice] | None:
    """Rows and columns of the photo that the square touches; None if it lies outside."""
    centre, axis = square(points)
    reach = np.abs(axis).sum()
    low = np.maximum(np.floor(centre - reach), 0).astype(int)
    high = np.minimum(np.ceil(centre + reach) + 1, extent).astype(int)
    if (low >= high).any():
        return None
    return slice(low[1], high[1]), slice(low[0], high[0])


def _distance(points: np.ndarray, where: tuple[slice, slice], dtype: Any) -> np.ndarray:
    """Of every pixel from the middle of a face: 0 there, 1 on the mask's outline. [h, w] of dtype."""
    centre, axis = square(points)
    length = float(np.hypot(*axis))
    x = np.arange(where[1].start, where[1].stop, dtype=dtype) - dtype(centre[0])
    y = np.arange(where[0].start, where[0].stop, dtype=dtype)[:, None] - dtype(centre[1])
    cos, sin = (dtype(part / length**2) for part in axis)
    return np.cbrt(_cube(x * cos + y * sin) + _cube(y * cos - x * sin))


def _cube(x: np.ndarray) -> np.ndarray:
    return np.abs(x * x * x)


def _mask(
    points: np.ndarray, where: tuple[slice, slice], feather: float, dtype: Any
) -> tuple[np.ndarray, np.ndarray]:
    """The mask of one face, and the distances it is made of; both [h, w] of dtype."""
    away = _distance(points, where, dtype)
    return smooth((1.0 - away) / (2.0 * feather)), away


def _warp_back(
    cartoon: np.ndarray, points: np.ndarray, corner: tuple[int, int], shape: tuple[int, ...]
) -> np.ndarray:
    """A square picture [S, S, C] in photo coordinates, float32 [h, w, C], from corner on."""
    span, width = side(points), len(cartoon)
    forth = to_photo(points, width)
    if width > span:  # average down first, or fine lines break up
        size = max(1, math.ceil(span))
        ratio = width / size
        forth[:, 2] += forth[:, :2].sum(1) * (ratio - 1) / 2
        forth[:, :2] *= ratio
        cartoon = _resized(cartoon, size, Image.Resampling.LANCZOS)
    pad = 3  # so that bicubic samples at the rim have neighbours
    padded = np.pad(cartoon, ((pad, pad), (pad, pad), (0, 0)), mode="edge")
    back = invert(forth)
    back[:, 2] = move(back, np.array([corner[1], corner[0]], np.float64)) + pad + 0.5
    back[:, 2] -= back[:, :2].sum(1) / 2
    matrix = back.ravel().tolist()
    extent, how = (shape[1], shape[0]), Image.Resampling.BICUBIC
    with ThreadPoolExecutor() as pool:  # Pillow takes one core for one picture
        new = pool.map(lambda c: c.transform(extent, Image.Transform.AFFINE, matrix, how), _channels(padded))
        return np.stack([np.asarray(c) for c in new], axis=2).clip(0, 255)


def _resized(picture: np.ndarray, size: int, how: Image.Resampling) -> np.ndarray:
    """A square picture [S, S, C] brought to size pixels, float32."""
    return np.stack([np.asarray(c.resize((size, size), how)) for c in _channels(picture)], axis=2)


def _channels(picture: np.ndarray) -> list[Image.Image]:
    """The channels of [H, W, C] as pictures of float32, so that nothing is rounded to 8 bits."""
    return [Image.fromarray(channel) for channel in np.moveaxis(picture, 2, 0).astype(np.float32, order="C")]


def _recolour(
    photo: Image.Image,
    cartoon: np.ndarray,
    head: np.ndarray,
    points: np.ndarray,
    feather: float,
    colour: float,
    dtype: Any,
) -> np.ndarray:
    """The cartoon with the photo's tone in the face and the photo's local colour along the soft edge.

    The face: mean and deviation in YCbCr go part of the way to the photo's. The edge: the difference to the
    photo there, smoothed, is added, and fades out towards the face; only the head [MATTE, MATTE] counts.
    """
    n = SMALL
    u = _cube((np.arange(n, dtype=dtype) + 0.5) / (n / 2) - 1.0)
    away = np.cbrt(u + u[:, None])
    new = _resized(cartoon, n, Image.Resampling.BOX).astype(dtype)
    old = np.asarray(align(photo, points, n), dtype)
    linear, shift = _tone(new, old, smooth((FACE - away) / 0.3), colour)
    new = (new @ linear.T + shift).clip(0, 255)
    edge = smooth((1.0 - away) / (2.0 * feather))
    seam = 4.0 * edge * (1.0 - edge) * head.reshape(n, MATTE // n, n, MATTE // n).mean((1, 3))
    gap = spread(old - new, seam, SIGMA * n) * smooth((away - 0.4) / 0.45)[..., None]
    wide = _resized(gap, len(cartoon), Image.Resampling.BICUBIC)
    return (cartoon @ linear.T + shift + wide).clip(0, 255)


def _tone(
    new: np.ndarray, old: np.ndarray, weight: np.ndarray, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """Matrix [3, 3] and shift [3] that move mean and deviation of new's YCbCr towards old's, by weight."""
    share = (weight / weight.sum())[..., None]
    (mean, deviation), (goal, spread) = (
        (middle := (ycc * share).sum((0, 1)), np.sqrt((np.square(ycc - middle) * share).sum((0, 1))))
        for ycc in (new @ _YCC.T.astype(new.dtype), old @ _YCC.T.astype(new.dtype))
    )
    # A flat photo must not wash a cartoon out, nor a flat cartoon be blown up to noise.
    gain = 1.0 + strength * (((spread + 2.0) / (deviation + 2.0)).clip(0.67, 1.5) - 1.0)
    shift = _RGB @ (mean + strength * (goal - mean) - gain * mean)
    return (_RGB @ np.diag(gain) @ _YCC).astype(new.dtype), shift.astype(new.dtype)
