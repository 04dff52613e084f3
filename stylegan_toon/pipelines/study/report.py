"""The report of a study: tables, plots and plain verdicts, from its JSON files alone."""

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylegan_toon.errors import InputError, shown
from stylegan_toon.files import write_aside
from stylegan_toon.images import load_image, save_png, to_tensor
from stylegan_toon.metrics.pareto import Curve, paired_interval, pareto_area, structure_at

SPACES = ("mobileface", "emotion", "untrained")
FIGURES = {"edge_ssim": "edge SSIM", "layout": "layout correlation"}
MORE = {"identity": "identity cosine", "landmarks": "landmark distance"}
OURS = "freezesg-structure"
MARGIN = 1.1  # structure is compared at so many times the worse of the two best KIDs
NEAR = 0.6  # of the source's KID: where no look is below, ways cannot be compared at a KID they reach
SCALE = 3  # of samples in the sheet
COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5", "#9c6b4e",
           "#9498a0", "#d62728")  # fmt: skip
WIDTH, HEIGHT, LEFT, BOTTOM = 640, 380, 56, 44

Results = dict[tuple[str, int], dict[str, dict[int, dict[str, Any]]]]  # (target, count), arm, seed


def load_study(folder: str | Path) -> tuple[Results, dict[str, dict[str, Any]]]:
    """The cells and the controls of a study folder. Raises: InputError if there are none."""
    folder = Path(folder)
    results: Results = {}
    for path in sorted((folder / "cells").glob("*.json")):
        one = json.loads(path.read_text(encoding="utf-8"))
        results.setdefault((one["target"], one["count"]), {}).setdefault(one["arm"], {})[one["seed"]] = one
    controls = {path.stem: json.loads(path.read_text()) for path in (folder / "controls").glob("*.json")}
    if not results:
        raise InputError(f"{shown(folder)} holds no results; run `stylegan-toon study {shown(folder)}` first")
    return results, controls


def curve(run: dict[str, Any], control: dict[str, Any], space: str, figure: str) -> Curve:
    """(KID, structure) of a run from its source, which is step 0 of every way, to its end."""
    start = control["source"]
    return [
        (start["kid"][space]["value"], start[figure]),
        *((point["kid"][space], point[figure]) for point in run["curve"]),
    ]


def matched(
    ours: dict[str, Any], other: dict[str, Any], control: dict[str, Any], space: str, figure: str
) -> float:
    """How much more structure ours keeps than other, at a KID that both reach."""
    one, two = (curve(run, control, space, figure) for run in (ours, other))
    level = max(min(kid for kid, _ in one), min(kid for kid, _ in two))
    level += (MARGIN - 1) * abs(level)
    return structure_at(one, level) - structure_at(two, level)


def areas(
    arms: dict[str, dict[int, dict[str, Any]]], control: dict[str, Any], space: str, figure: str
) -> dict[str, list[float]]:
    """The Pareto area of every run, by arm, between the lowest KID of all runs and the source's."""
    curves = {
        arm: [curve(run, control, space, figure) for run in runs.values()] for arm, runs in arms.items()
    }
    points = [kid for many in curves.values() for one in many for kid, _ in one]
    high = control["source"]["kid"][space]["value"]
    low, worst = min(points), control["shuffled"][figure]
    if not low < high:
        return {arm: [math.nan] * len(many) for arm, many in curves.items()}
    return {arm: [pareto_area(one, low, high, worst) for one in many] for arm, many in curves.items()}


def _mean(values: Iterable[float]) -> str:
    values = [v for v in values if math.isfinite(v)]
    if not values:
        return "-"
    mean, low, _ = paired_interval(values)
    return f"{mean:.3f}" + (f" ± {mean - low:.3f}" if len(values) > 1 else "")


def _difference(values: Sequence[float]) -> str:
    mean, low, high = paired_interval(values)
    if len(values) < 2:
        return f"{mean:+.3f}"
    return f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def verdict(values: Sequence[float]) -> str:
    """more, less or undecided, by the interval of paired differences."""
    _, low, high = paired_interval(values)
    return "more" if low > 0 else "less" if high < 0 else "undecided"


def write_report(folder: str | Path, out: str | Path) -> list[Path]:
    """Write OUT (Markdown) and its plots beside it, of what is in the study folder; returns all of them."""
    results, controls = load_study(folder)
    folder, out = Path(folder), Path(out)
    written: list[Path] = []
    lines: list[str] = []
    for (target, count), arms in sorted(results.items()):
        control = controls[target]
        seeds = sorted({seed for runs in arms.values() for seed in runs})
        one = next(iter(next(iter(arms.values())).values()))
        lines += [
            f"## `{target}`, {count} pictures",
            "",
            f"{one['resolution']} px, {len(arms)} ways, seeds {', '.join(map(str, seeds))}, "
            f"{one['curve'][-1]['pictures']:,} pictures shown in each run ({one['steps']} steps of "
            f"{one['batch']}, stylegan-toon {one['program']}, torch {one['torch']}); a face is found in "
            f"{control['faces_found']:.0%} of the target's pictures"
            + ("." if control["faces_found"] >= 0.8 else ", too few for identity and landmarks."),
            "",
        ]
        plot = out.parent / "images" / f"{out.stem}-{target}-{count}.svg"
        plot.parent.mkdir(parents=True, exist_ok=True)
        write_aside(plot, [_plot(arms, control).encode()])
        written.append(plot)
        lines += [f"![KID against edge SSIM, a line a way](images/{plot.name})", ""]
        if shown_arms := [
            arm for arm in arms if (folder / "grids" / f"{target}-{count}-{arm}-0.png").is_file()
        ]:
            sheet = plot.with_suffix(".png")
            save_png(
                sheet, _sheet([folder / "grids" / f"{target}-{count}-{arm}-0.png" for arm in shown_arms])
            )
            written.append(sheet)
            rows = ", ".join(f"`{arm}`" for arm in shown_arms)
            lines += [f"![Samples of the source and of every way](images/{sheet.name})", "",
                      f"Eight codes, psi 1, seed 0. From the top: the source, {rows}.", ""]  # fmt: skip
        lines += [
            *_ends(arms, control),
            "",
            *_untold(spaces := told_by(arms, control)),
        ]
        if spaces:
            lines += [*_areas(arms, control, spaces), "", *_pairs(arms, control, spaces), ""]
    text = "\n".join(lines)
    write_aside(out, [_with_results(out, text).encode()])
    return [out, *written]


MARK = "<!-- results: written by `stylegan-toon study --report` -->"


def _with_results(out: Path, text: str) -> str:
    """What stands in out above MARK, and then the results."""
    before = out.read_text(encoding="utf-8").split(MARK)[0] if out.is_file() else "# Study\n\n"
    return f"{before}{MARK}\n\n{text.rstrip()}\n"


def _ends(arms: dict[str, dict[int, dict[str, Any]]], control: dict[str, Any]) -> list[str]:
    """A row a way: where its runs ended."""
    more = [
        key for key in MORE if all(key in run["curve"][-1] for runs in arms.values() for run in runs.values())
    ]
    head = ["way, at its last step", "trained", *(f"KID, {space}" for space in SPACES), *FIGURES.values(),
            *(MORE[key] for key in more), "w drift"]  # fmt: skip

    def row(name: str, trained: str, points: Sequence[dict[str, Any]]) -> list[str]:
        kids = [_mean(p["kid"][space] for p in points) for space in SPACES]
        rest = [_mean(p.get(key, math.nan) for p in points) for key in (*FIGURES, *more, "w_drift")]
        return [name, trained, *kids, *rest]

    def plain(part: dict[str, Any]) -> dict[str, Any]:
        return part | {"kid": {space: one["value"] for space, one in part.get("kid", {}).items()}}

    none = {"kid": dict.fromkeys(SPACES, math.nan)}
    rows = [
        row("*the source itself*", "0", [plain(control["source"])]),
        row("*source, shuffled pairs*", "", [none | control["shuffled"]]),
        row("*the target's other half*", "", [plain(control["floor"])]),
    ]
    for arm, runs in arms.items():
        some = next(iter(runs.values()))
        rows.append(
            row(arm, f"{some['trained_parameters_g']:,}", [run["curve"][-1] for run in runs.values()])
        )
    return _table(head, rows)


def told_by(arms: dict[str, dict[int, dict[str, Any]]], control: dict[str, Any]) -> list[str]:
    """The spaces in which some look of a run came near, so that ways can be compared at a KID they reach."""
    lowest = {
        space: min(p["kid"][space] for runs in arms.values() for run in runs.values() for p in run["curve"])
        for space in SPACES
    }
    return [space for space in SPACES if lowest[space] <= NEAR * control["source"]["kid"][space]["value"]]


def _untold(spaces: Sequence[str]) -> list[str]:
    """A line on the other spaces."""
    others = " and ".join(f"`{space}`" for space in SPACES if space not in spaces)
    said = f"In the features {others} no look of any way came below {NEAR:g} times the source's KID, so they"
    return [f"{said} are left out of what follows.", ""] if others else []


def _sheet(grids: Sequence[Path]) -> Tensor:
    """[3, H, W] in [-1, 1]: the first row of the first grid, the source's, and the second row of each."""
    loaded = [to_tensor(load_image(path))[0] for path in grids]
    side = loaded[0].shape[1] // 3
    rows = [loaded[0][:, :side], *(one[:, side : 2 * side] for one in loaded)]
    return torch.cat(rows, 1).repeat_interleave(SCALE, 1).repeat_interleave(SCALE, 2)


def _areas(
    arms: dict[str, dict[int, dict[str, Any]]], control: dict[str, Any], spaces: Sequence[str]
) -> list[str]:
    """A row a way: mean structure over all KIDs between the source's and the lowest of any run."""
    pairs = [(space, figure) for figure in FIGURES for space in spaces]
    found = {pair: areas(arms, control, *pair) for pair in pairs}
    head = ["way, Pareto area", *(f"{FIGURES[figure]}, {space}" for space, figure in pairs)]
    return _table(head, ([arm, *(_mean(found[pair][arm]) for pair in pairs)] for arm in arms))


def _pairs(
    arms: dict[str, dict[int, dict[str, Any]]], control: dict[str, Any], spaces: Sequence[str]
) -> list[str]:
    """FreezeSG + structure against every other way at matched KID, and what that says."""
    if OURS not in arms:
        return []
    rows, said = [], []
    for arm, runs in arms.items():
        seeds = sorted(arms[OURS].keys() & runs.keys())
        if arm == OURS or not seeds:
            continue
        cells, verdicts = [], []
        for figure in FIGURES:
            for space in spaces:
                values = [matched(arms[OURS][s], runs[s], control, space, figure) for s in seeds]
                cells.append(_difference(values))
                verdicts.append(verdict(values) if len(values) > 1 else "undecided")
        rows.append([arm, *cells])
        wins, losses = verdicts.count("more"), verdicts.count("less")
        if wins == len(verdicts):
            said.append(f"- against `{arm}` it keeps more structure by every figure.")
        elif wins:
            said.append(
                f"- against `{arm}` it keeps more by {wins} of {len(verdicts)} figures, less by {losses}."
            )
        else:
            said.append(
                f"- against `{arm}` it **does not win**: of {len(verdicts)} figures {losses} say less, "
                f"{len(verdicts) - losses} are undecided."
            )
    head = [f"{OURS} minus", *(f"{label}, {space}" for label in FIGURES.values() for space in spaces)]
    return [
        f"At matched KID ({MARGIN} times the worse of the two best), paired by seed, 95 % by Student's t:",
        "",
        *_table(head, rows),
        "",
        f"`{OURS}`, at matched KID:",
        "",
        *said,
    ]


def _plot(arms: dict[str, dict[int, dict[str, Any]]], control: dict[str, Any]) -> str:
    """KID (untrained network) against edge SSIM: the mean of the seeds at every look, a line a way."""
    space, figure = "untrained", "edge_ssim"
    lines = {}
    for arm, runs in arms.items():
        curves = [curve(run, control, space, figure) for run in runs.values()]
        lines[arm] = [
            (sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points))
            for points in zip(*curves, strict=True)
        ]
    xs, ys = ([point[i] for line in lines.values() for point in line] for i in (0, 1))
    (x0, x1), (y0, y1) = (
        (min(v) - 0.04 * (max(v) - min(v)), max(v) + 0.04 * (max(v) - min(v))) for v in (xs, ys)
    )
    right, top = WIDTH - 170, 16

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + (x - x0) / (x1 - x0 or 1) * (right - LEFT),
            HEIGHT - BOTTOM - (y - y0) / (y1 - y0 or 1) * (HEIGHT - BOTTOM - top),
        )

    drawn = [
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<path d="M{LEFT} {top}V{HEIGHT - BOTTOM}H{right}" fill="none" stroke="#98a2b3"/>',
        f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 8}" text-anchor="middle">KID to the target, '
        "untrained network (less is nearer)</text>",
        f'<text transform="translate(14 {HEIGHT / 2}) rotate(-90)" text-anchor="middle">edge SSIM to the '
        "source</text>",
    ]
    for k in range(5):
        x, y = x0 + (x1 - x0) * k / 4, y0 + (y1 - y0) * k / 4
        drawn.append(f'<text x="{place(x, y0)[0]:.1f}" y="{HEIGHT - 26}" text-anchor="middle">{x:.2f}</text>')
        drawn.append(f'<text x="{LEFT - 6}" y="{place(x0, y)[1] + 4:.1f}" text-anchor="end">{y:.2f}</text>')
    for i, (arm, line) in enumerate(lines.items()):
        colour = COLOURS[i % len(COLOURS)]
        path = "L".join("{:.1f} {:.1f}".format(*place(*point)) for point in line)
        drawn.append(
            f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-linejoin="round"/>'
        )
        for x, y in (place(*point) for point in line):
            drawn.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>')
        y = top + 14 + 18 * i
        drawn.append(f'<path d="M{right + 14} {y - 4}h16" stroke="{colour}" stroke-width="3"/>')
        drawn.append(f'<text x="{right + 36}" y="{y}">{arm}</text>')
    style = "<style>text{font:12px system-ui,sans-serif;fill:#344054}</style>"
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{style}{"".join(drawn)}</svg>\n'
