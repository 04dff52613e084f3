"""Style mixing measured: whose landmarks and whose colours a mixed face has, as JSON.

    python benchmarks/mixing.py [--source faces] [--style storybook --style avatar] [--pairs 100]

Faces are drawn from seeds 0, 1, 2 ..., psi 0.7, in pairs (A, B); a mixed face takes --layers from A and the
rest from B, all drawn by one network. Pairs in which YuNet does not find A, B and the mixed face are left out
and counted. Each figure is where the mixed face stands between the two: the projection of (mixed - B) on
(A - B), 0 at B and 1 at A, over five landmarks (relative to the picture) or over the mean colour (Lab) of the
box round the landmarks; the share of pairs nearer to A; and 95 % bootstrap intervals over pairs.
"""

import argparse
import json
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image

from stylegan_toon.faces.detect import find_faces
from stylegan_toon.images import to_uint8
from stylegan_toon.pipelines.codes import Family
from stylegan_toon.stylegan2.latents import parse_layers, pick

LINEAR = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
                   [0.0193339, 0.1191920, 0.9503041]])  # fmt: skip  # sRGB to XYZ, D65 (IEC 61966-2-1)


def lab(pixels: np.ndarray) -> np.ndarray:
    """CIE Lab of sRGB uint8 [..., 3]."""
    v = pixels / 255
    linear = np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)
    xyz = linear @ LINEAR.T / LINEAR.sum(1)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)


def seen(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Landmarks [10] in parts of the picture, and mean Lab [3] of the box round them; None without a face."""
    faces = find_faces(Image.fromarray(picture))
    if not faces:
        return None
    points, size = faces[0].points, picture.shape[0]
    (x0, y0), (x1, y1) = (np.clip(edge, 0, size - 1).astype(int) for edge in (points.min(0), points.max(0)))
    return points.flatten() / size, lab(picture[y0 : y1 + 1, x0 : x1 + 1].reshape(-1, 3)).mean(0)


def interval(values: np.ndarray, of: Callable[[np.ndarray], float]) -> list[float]:
    """of(values), and its 95 % bootstrap interval."""
    draw = np.random.default_rng(0)
    again = [of(values[draw.integers(0, len(values), len(values))]) for _ in range(2000)]
    return [round(float(x), 3) for x in (of(values), *np.quantile(again, [0.025, 0.975]))]


def place(a: np.ndarray, b: np.ndarray, mixed: np.ndarray) -> dict[str, list[float]]:
    """Where mixed [N, F] stands between b and a: all pairs as one projection, and the share nearer to a."""
    way, moved = a - b, mixed - b
    pairs = np.stack([(moved * way).sum(1), (way * way).sum(1)], 1)
    nearer = (((mixed - a) ** 2).sum(1) < ((mixed - b) ** 2).sum(1)).astype(float)
    return {
        "from_b_to_a": interval(pairs, lambda p: p[:, 0].sum() / p[:, 1].sum()),
        "nearer_to_a": interval(nearer, np.mean),  # type: ignore[arg-type]
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", default="faces")
    parser.add_argument("--style", action="append", default=[])
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--layers", default="coarse")
    given = parser.parse_args()
    family = Family(given.source, given.style, device="cpu")
    layers = parse_layers(given.layers, family.source.config.n_layers)
    codes = family.gather([f"0-{2 * given.pairs - 1}"]).w_plus
    a, b = codes[::2], codes[1::2]
    report = {"torch": torch.__version__, "source": given.source, "pairs": given.pairs, "layers": layers}
    same = pick(a[:8], b[:8], range(codes.shape[1]))
    for name, g in {given.source: family.source, **family.styles}.items():
        rows = []
        for i in range(given.pairs):
            one = slice(i, i + 1)
            found = [
                seen(to_uint8(family.draw(w_plus, g))[0])
                for w_plus in (a[one], b[one], pick(a[one], b[one], layers))
            ]
            if all(found):
                rows.append(found)
        points, colours = (np.array([[f[k] for f in row] for row in rows]).swapaxes(0, 1) for k in (0, 1))
        report[name] = {
            "all_layers_of_a_is_a": bool(torch.equal(family.draw(same, g), family.draw(a[:8], g))),
            "measured": len(rows),
            "landmarks": place(*points),
            "colours": place(*colours),
        }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    with torch.no_grad():
        main()
