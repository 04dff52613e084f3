"""Where the head is in a cartoon square, so that its painted background stays out of the photo."""

from typing import Any

import numpy as np

NOISE = 12.0  # colours so far from the background's, in 0..255, may still be its own
SHARP = 6.0  # squared distances, in the background's variance, at which a colour is taken for the head's
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


def head_matte(cartoon: np.ndarray) -> np.ndarray:
    """How much of each pixel is head, and not background, in an aligned square.

    The upper corners and the sides beside the forehead show the background; what differs from their colours,
    spread over the square, is head, and so are the middle of the face and what is below the chin. A colour
    that head and background share goes to the background, that is, the photo keeps its own there.
    Args:
        cartoon: [n, n, 3] floats in 0..255, aligned as faces.align does.
    Returns: [n, n] in 0..1, of the same dtype.
    """
    n, dtype = len(cartoon), cartoon.dtype.type
    x = (np.arange(n, dtype=dtype) + dtype(0.5)) / dtype(n / 2) - 1  # -1 to 1, and y downwards
    y = x[:, None]
    sides = (np.abs(x) > 0.86) & (y < -0.1)
    corners = (np.abs(x) > 0.62) & (y < -0.9)
    seen = (sides | corners).astype(dtype)
    mean = spread(cartoon, seen, REACH * n)
    variance = spread(np.square(cartoon - mean), seen, REACH * n).sum(2)
    away = np.square(cartoon - mean).sum(2) / (variance + NOISE**2)
    head = 1 - np.exp(-away / SHARP)
    face = np.sqrt(np.square(x / 0.62) + np.square((y - 0.05) / 0.8))
    head = np.maximum(head, np.maximum(smooth((1.05 - face) / 0.35), smooth((y - 0.55) / 0.3)))
    blur = blur_matrix(n, 0.012 * n, dtype)
    blur /= blur.sum(1, keepdims=True)
    return smooth((blur @ head @ blur.T - 0.35) / 0.5).astype(dtype)
