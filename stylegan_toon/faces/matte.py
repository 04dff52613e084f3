"""Where the head is in a cartoon square, so that its painted background stays out of the photo."""

from typing import Any

import numpy as np

NOISE = 12.0  # colours so far from the background's, in 0..255, may still be its own
SHARP = 6.0  # squared distances, in the background's variance, at which a colour is taken for the head's
DOUBT = 8.0  # by how much more a cartoon must differ where the photo is plainly background
REACH = 0.22  # how far the corners' colours tell of the background, as a part of the side


def smooth(x: np.ndarray) -> np.ndarray:
    """0 up to 0, 1 from 1, with level ends: 3 x^2 - 2 x^3 between."""
    x = x.clip(0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


def blur_matrix(n: int, sigma: float, dtype: Any) -> np.ndarray:
    """[n, n]: a Gaussian of sigma pixels, not normalised; blur @ picture @ blur blurs both ways."""
    k = np.arange(n, dtype=dtype)
    return np.exp(-0.5 * np.square((k - k[:, None]) / dtype(sigma)))


def spread(values: np.ndarray, weight: np.ndarray, sigma: float) -> np.ndarray:
    """values [n, n, C] where weight [n, n] is, spread by a Gaussian of sigma pixels to where it is not."""
    blur = blur_matrix(len(weight), sigma, values.dtype.type)
    known = blur @ weight @ blur
    summed = np.einsum("ij,jkc,kl->ilc", blur, values * weight[..., None], blur, optimize=True)
    return (summed / (known[..., None] + 1e-3)).astype(values.dtype)


def head_matte(cartoon: np.ndarray, photo: np.ndarray | None = None) -> np.ndarray:
    """How much of each pixel is head, and not background, in an aligned square.

    The upper corners and the sides beside the forehead show the background; what differs from their colours,
    spread over the square, is head, and so are the middle of the face and the neck. A colour that head and
    background share goes to the background, that is, the photo keeps its own there.
    Args:
        cartoon: [n, n, 3] floats in 0..255, aligned as faces.align does.
        photo: what it was made from, alike; where that is plainly background, a cartoon must differ more from
            its own to count as head, as shades of a painted background do not.
    Returns: [n, n] in 0..1, of the same dtype.
    """
    n, dtype = len(cartoon), cartoon.dtype.type
    x = (np.arange(n, dtype=dtype) + dtype(0.5)) / dtype(n / 2) - 1  # -1 to 1, and y downwards
    y = x[:, None]
    doubt = np.zeros((n, n), dtype)
    if photo is not None:  # beside cheeks and chin; above, hair that fills a corner would pass for background
        doubt = np.exp(-_strangeness(photo, x) / SHARP) * smooth((y + 0.3) / 0.4)
    head = 1 - np.exp(-_strangeness(cartoon, x) / (SHARP * (1 + DOUBT * doubt)))
    face = np.sqrt(np.square(x / 0.54) + np.square((y - 0.05) / 0.8))
    neck = smooth((y - 0.55) / 0.3) * smooth((0.55 - np.abs(x)) / 0.2)
    head = np.maximum(head, np.maximum(smooth((1.05 - face) / 0.35), neck))
    blur = blur_matrix(n, 0.012 * n, dtype)
    blur /= blur.sum(1, keepdims=True)
    return smooth((blur @ head @ blur.T - 0.35) / 0.5).astype(dtype)


def _strangeness(picture: np.ndarray, x: np.ndarray) -> np.ndarray:
    """How far each colour is from the background's, squared, in its variance; x: -1 to 1 across. [n, n]"""
    n, dtype = len(picture), picture.dtype.type
    y = x[:, None]
    sides = (np.abs(x) > 0.86) & (y < -0.1)
    corners = (np.abs(x) > 0.62) & (y < -0.9)
    seen = (sides | corners).astype(dtype)
    mean = spread(picture, seen, REACH * n)
    variance = spread(np.square(picture - mean), seen, REACH * n).sum(2)
    return np.square(picture - mean).sum(2) / (variance + NOISE**2)
