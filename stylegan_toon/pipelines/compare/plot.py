"""The way to the cartoons against what is kept of the photo: a plot, and who is beaten by none on both."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from stylegan_toon.pipelines.compare.result import CONTROLS, interval, rows
from stylegan_toon.pipelines.report import ticks

WIDTH, HEIGHT = 640, 420  # of the plot; its left, right, top and bottom margins:
LEFT, RIGHT, TOP, BOTTOM = 56, 20, 16, 48
COLOURS = ("#2f5fd0", "#c2571a", "#12805c", "#8a3fb3", "#b3261e", "#667085", "#0b7f99", "#9a7b00")


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Which points (more is better on both axes) no other beats, from left to right."""
    best, out = -math.inf, []
    for i in sorted(range(len(points)), key=lambda i: (-points[i][0], -points[i][1])):
        if points[i][1] > best:
            best = points[i][1]
            out.append(i)
    return out[::-1]


def plot(result: Mapping[str, Any], alone: bool = False) -> str:
    """An SVG: the way to the cartoons across, edge SSIM up, a dot a row. alone: a file of its own."""
    groups = [(row.name, row.cells) for row in rows(result)]
    groups += [(name, [{"figures": result["controls"][key]}]) for key, name in CONTROLS.items()]
    places = [(name, interval(cells, "way"), interval(cells, "edge_ssim")) for name, cells in groups]
    dots = [(name, way[0], kept[0]) for name, way, kept in places if way and kept]
    height = max(HEIGHT, TOP + 18 * len(dots) + BOTTOM)
    across = ticks(min(x for _, x, _ in dots), max(x for _, x, _ in dots), 5)
    up = ticks(min(y for *_, y in dots), max(y for *_, y in dots), 5)
    bottom, right = height - BOTTOM, WIDTH - RIGHT

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + (x - across[0]) / (across[-1] - across[0]) * (right - LEFT),
            bottom - (y - up[0]) / (up[-1] - up[0]) * (bottom - TOP),
        )

    line = "#d0d5dd" if alone else "var(--line)"
    drawn = []
    for y in up:
        at = place(across[0], y)[1]
        drawn.append(f'<path d="M{LEFT} {at:.1f}H{right}" stroke="{line}"/>')
        drawn.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{y:.2g}</text>')
    for x in across:
        at = place(x, up[0])[0]
        drawn.append(f'<text x="{at:.1f}" y="{bottom + 16}" text-anchor="middle">{x:.2g}</text>')
    drawn.append(f'<text x="{(LEFT + right) / 2}" y="{height - 12}" text-anchor="middle">way to the '
                 "cartoons: 0 a photo, 1 a cartoon</text>")  # fmt: skip
    drawn.append(f'<text transform="translate(14 {(TOP + bottom) / 2}) rotate(-90)" text-anchor="middle">'
                 "edge SSIM with the photo</text>")  # fmt: skip
    best = front([(x, y) for _, x, y in dots[: -len(CONTROLS)]])
    path = "L".join("{:.1f} {:.1f}".format(*place(*dots[i][1:])) for i in best)
    drawn.append(
        f'<path d="M{path}" fill="none" stroke="#12805c" stroke-width="1.5" stroke-dasharray="4 3"/>'
    )
    for i, (name, x, y) in enumerate(dots):
        at, to = place(x, y)
        control = i >= len(dots) - len(CONTROLS)
        colour = "#98a2b3" if control else COLOURS[i % len(COLOURS)]
        text = escape(name)
        drawn.append(
            f'<circle cx="{at:.1f}" cy="{to:.1f}" r="9" fill="{colour}"><title>{text}</title></circle>'
        )
        white = ' style="fill:#fff;font-size:10px"'
        drawn.append(f'<text{white} x="{at:.1f}" y="{to + 3.5:.1f}" text-anchor="middle">{i + 1}</text>')
        y_key = TOP + 8 + 18 * i
        drawn.append(f'<circle cx="{WIDTH + 10}" cy="{y_key}" r="8" fill="{colour}"/>')
        drawn.append(f'<text{white} x="{WIDTH + 10}" y="{y_key + 3.5}" text-anchor="middle">{i + 1}</text>')
        drawn.append(f'<text x="{WIDTH + 26}" y="{y_key + 4}">{text}</text>')
    size = f'viewBox="0 0 {WIDTH + 210} {height}"'
    if alone:
        style = "<style>text{font:12px system-ui,sans-serif;fill:#344054}</style>"
        ground = f'<rect width="{WIDTH + 210}" height="{height}" fill="#fff"/>'
        return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{style}{ground}{"".join(drawn)}</svg>\n'
    label = "The way to the cartoons against edge SSIM, a dot a method"
    return f'<svg class="plot" {size} role="img" aria-label="{label}">{"".join(drawn)}</svg>'
