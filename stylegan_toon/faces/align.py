"""Five points of a face to the level square that every model here is trained on, and the way back.

Coordinates count pixel centres: (0, 0) is the middle of the first pixel, as in OpenCV. The five points are
the eyes, the nose and the mouth corners, the viewer's left first. Photo and crop differ by a similarity.
"""

import math
from typing import Literal

import numpy as np
from PIL import Image

MAX_OVERSAMPLING = 4


def square(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The FFHQ-like square of a face: its centre [2] and half its side as a vector [2] from left to right.

    The centre lies a tenth of the way from the eyes to the mouth, the side is the larger of 4 eye distances
    and 3.6 eye-to-mouth distances.
    Args:
        points: [5, 2] in photo coordinates.
    Raises: ValueError for another shape, or points that span no square.
    Source: Karras et al. 2019, arXiv 1812.04948, appendix A, with mouth and eyes as single points.
    """
    points = np.asarray(points, np.float64)
    if points.shape != (5, 2) or not np.isfinite(points).all():
        raise ValueError(f"expected five finite points [5, 2], got {list(points.shape)}")
    eyes, mouth = points[:2].mean(0), points[3:].mean(0)
    across, down = points[1] - points[0], mouth - eyes
    axis = across - np.array([-down[1], down[0]])
    if not np.hypot(*axis) > 0:
        raise ValueError("the five points span no square")
    half = max(np.hypot(*across) * 2.0, np.hypot(*down) * 1.8)
    return eyes + 0.1 * down, axis / np.hypot(*axis) * half


def side(points: np.ndarray) -> float:
    """The side of the square in photo pixels."""
    return 2.0 * float(np.hypot(*square(points)[1]))


def roll(points: np.ndarray) -> float:
    """How far the face is turned in the picture plane, in degrees, clockwise, -180 to 180."""
    x, y = square(points)[1]
    return math.degrees(math.atan2(y, x))


def _oversampling(points: np.ndarray, size: int) -> int:
    return max(1, min(MAX_OVERSAMPLING, math.ceil(side(points) / size)))


def to_photo(points: np.ndarray, size: int) -> np.ndarray:
    """The matrix [2, 3] that takes coordinates (x, y, 1) of a crop of size pixels to photo coordinates."""
    centre, axis = square(points)
    down = np.array([-axis[1], axis[0]])
    over = _oversampling(points, size)
    # The crop is the mean of over x over samples, the first of which lies on the corner of the square.
    origin = centre - axis - down + (axis + down) * (over - 1) / (over * size)
    return np.column_stack([2.0 * axis / size, 2.0 * down / size, origin])


def to_crop(points: np.ndarray, size: int) -> np.ndarray:
    """The matrix [2, 3] that takes photo coordinates (x, y, 1) to those of a crop of size pixels."""
    return invert(to_photo(points, size))


def invert(matrix: np.ndarray) -> np.ndarray:
    """The inverse of an affine matrix [2, 3]."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack([linear, -linear @ matrix[:, 2]])


def move(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """points [..., 2] taken through an affine matrix [2, 3]."""
    return np.asarray(points, np.float64) @ matrix[:, :2].T + matrix[:, 2]


def align(image: Image.Image, points: np.ndarray, size: int) -> Image.Image:
    """Cut the level square of a face out of a photo.

    The square is sampled up to 4 times finer than asked for and averaged; what lies outside the photo is
    mirrored at its edge.
    Args:
        image: the photo, RGB.
        points: [5, 2] in photo coordinates.
        size: side of the result in pixels.
    Returns: RGB, size x size.
    Raises: ValueError for points that span no square, or a size below 1.
    """
    if size < 1:
        raise ValueError(f"size must be at least 1, not {size}")
    over = _oversampling(points, size)
    centre, axis = square(points)
    origin = centre - axis - np.array([-axis[1], axis[0]])
    fine = np.column_stack([to_photo(points, size)[:, :2] / over, origin])
    # Averages of bilinear samples equal those of bicubic ones to 0.3 dB, and take a quarter of the time.
    crop = warp(
        image, fine, size * over, Image.Resampling.BICUBIC if over == 1 else Image.Resampling.BILINEAR
    )
    return crop.reduce(over)


def rgb(image: Image.Image) -> Image.Image:
    """The picture in mode RGB; itself, not a copy, if it is."""
    return image if image.mode == "RGB" else image.convert("RGB")


def warp(
    image: Image.Image,
    matrix: np.ndarray,
    size: int,
    resample: Literal[Image.Resampling.BILINEAR, Image.Resampling.BICUBIC],
    mirror: bool = True,
) -> Image.Image:
    """Sample a photo on a square grid.

    Where samples lie 2 photo pixels apart or more, the photo is averaged down first.
    Args:
        image: RGB.
        matrix: [2, 3], a similarity from grid to photo coordinates.
        size: side of the grid.
        mirror: outside, the photo is mirrored at its edge; else it is black there.
    """
    shrink = max(1, int(np.hypot(*matrix[:, 0])))
    corners = move(matrix, np.array([[0, 0], [size, 0], [0, size], [size, size]]))
    low = np.floor(corners.min(0)).astype(int) - 3 * shrink
    high = np.ceil(corners.max(0)).astype(int) + 3 * shrink
    if mirror:
        part, low = _mirrored(image, low, high, shrink)
    else:
        low = np.clip(low, 0, np.array(image.size) - 1)
        high = np.clip(high, low + 1, image.size)
        part = rgb(image).reduce(shrink, (*low.tolist(), *high.tolist()))
    scaled = matrix.copy()
    scaled[:, 2] = (matrix[:, 2] - low + 0.5) / shrink  # from here on pixels are counted by their corners
    scaled[:, :2] /= shrink
    scaled[:, 2] -= scaled[:, :2].sum(1) / 2
    return part.transform((size, size), Image.Transform.AFFINE, scaled.ravel().tolist(), resample)


def _mirrored(
    image: Image.Image, low: np.ndarray, high: np.ndarray, shrink: int
) -> tuple[Image.Image, np.ndarray]:
    """At least the part low <= (x, y) < high of a photo that goes on in mirror images of itself, shrunk.

    Returns the part, and where in the photo it begins.
    """
    steps = -(-(high - low) // shrink)
    if (low >= 0).all() and (low + steps * shrink <= image.size).all():
        box = (*low.tolist(), *(low + steps * shrink).tolist())
        return rgb(image).reduce(shrink, box), low
    small = rgb(image).reduce(shrink)
    first = np.floor(low / shrink).astype(int)
    columns, rows = (
        _reflect(np.arange(a, a + n + 1), end) for a, n, end in zip(first, steps, small.size, strict=True)
    )
    return Image.fromarray(np.asarray(small)[rows][:, columns]), first * shrink


def _reflect(index: np.ndarray, n: int) -> np.ndarray:
    """Indices folded into 0 .. n - 1 by mirroring about the outermost pixels, which are not repeated."""
    if n == 1:
        return np.zeros_like(index)
    index = np.abs(index) % (2 * n - 2)
    return np.minimum(index, 2 * n - 2 - index)
