"""The page, the table and the docs section of a comparison, made of its result (compare.json) alone."""

import base64
import csv
import io
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stylegan_toon.decoding import read_image
from stylegan_toon.files import write_aside
from stylegan_toon.images import save_png
from stylegan_toon.pipelines.compare.plot import plot
from stylegan_toon.pipelines.compare.result import CONTROLS, Row, interval, number, rows
from stylegan_toon.pipelines.report import STYLE

MARK = "<!-- comparison: written by `stylegan-toon compare page --docs` -->"
# Figure -> its name, whether more is better (None: neither), digits.
FIGURES: Mapping[str, tuple[str, bool | None, int]] = {
    "way": ("way to the cartoons", True, 2),
    "kid/mobileface": ("KID, mobileface", False, 3),
    "kid/emotion": ("KID, emotion", False, 3),
    "kid/untrained": ("KID, untrained", False, 3),
    "fid/inception": ("FID, inception", False, 1),
    "fid/mobileface": ("FID, mobileface", False, 1),
    "fid/emotion": ("FID, emotion", False, 2),
    "fid/untrained": ("FID, untrained", False, 1),
    "edge_ssim": ("edge SSIM", True, 3),
    "layout": ("layout", True, 3),
    "identity": ("identity", True, 3),
    "lpips": ("LPIPS", False, 3),
    "psnr": ("PSNR, dB", True, 2),
    "ssim": ("SSIM", True, 3),
    "mse": ("MSE, 0-255", False, 0),
    "gradient": ("average gradient", None, 2),
}
KEY = ("way", "kid/untrained", "kid/mobileface", "edge_ssim", "identity")  # what the docs show
MORE = """
body{max-width:1280px}.wide{overflow-x:auto}th{font-weight:600;text-align:right;vertical-align:bottom;
padding:5px 0 5px 14px;font-size:13px}th:first-child,td:first-child{text-align:left;padding-left:0;
white-space:nowrap}td{text-align:right;padding:5px 0 5px 14px;white-space:nowrap}td small{display:block;
color:var(--dim);font-size:11px}tr.control td{color:var(--dim);font-style:italic}
table.faces{width:auto}.faces td{padding:2px}
.faces img{width:112px;border-radius:4px;image-rendering:auto}.faces td:first-child{padding-right:12px}
svg.plot{max-width:760px}svg .dot{font-size:10px;fill:#fff}
"""


def write_page(
    result: Mapping[str, Any], folder: Path, votes: Sequence[Mapping[str, Any]] = ()
) -> list[Path]:
    """Write compare.html and compare.csv into folder; votes: as Votes.table. Raises: DiskError."""
    page, table = folder / "compare.html", folder / "compare.csv"
    write_aside(page, [_page(result, votes).encode()])
    write_aside(table, [_csv(result).encode()])
    return [page, table]


def write_docs(result: Mapping[str, Any], out: str | Path) -> list[Path]:
    """Write the key table, the plot and the grid below MARK in the Markdown file out, pictures beside it."""
    out = Path(out)
    drawing, faces = (out.parent / "images" / f"{out.stem}.{suffix}" for suffix in ("svg", "png"))
    drawing.parent.mkdir(parents=True, exist_ok=True)
    write_aside(drawing, [plot(result, alone=True).encode()])
    names = _sheet(result, faces)
    keys = [*KEY, *(key for key in ("fid/inception", "lpips") if _has(result, key))]
    head = ["method, budget", *(FIGURES[key][0] for key in keys), "parameters", "seconds a picture"]
    body = [[name, *(_plain(cells, key) for key in keys), *size] for name, cells, size in _all_rows(result)]
    lines = [
        *_about(result), "", *(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *body)), "",
        f"![The way to the cartoons against edge SSIM](images/{drawing.name})", "",
        f"![Held-out photos, method by method](images/{faces.name})", "",
        f"Columns: photo, {', '.join(f'`{name}`' for name in names)}.",
    ]  # fmt: skip
    before = out.read_text(encoding="utf-8").split(MARK)[0] if out.is_file() else "# Comparison\n\n"
    write_aside(out, [f"{before}{MARK}\n\n{chr(10).join(lines)}\n".encode()])
    return [out, drawing, faces]


def _all_rows(result: Mapping[str, Any]) -> list[tuple[str, list[dict[str, Any]], list[str]]]:
    """(name, cells, parameters and seconds) of the controls, as cells of their own, and of every row."""
    controls: list[tuple[str, list[dict[str, Any]], list[str]]] = [
        (f"*{name}*", [{"figures": result["controls"][key]}], ["", ""]) for key, name in CONTROLS.items()
    ]
    if result["cells"]:
        controls.append(("*outputs, shuffled*", [_shuffled(result)], ["", ""]))
    return controls + [
        (
            row.name,
            row.cells,
            [f"{row.cells[0]['parameters']:,}", f"{_middle(row, 'seconds'):.3f}"],
        )
        for row in rows(result)
    ]


def _shuffled(result: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of content where every output stands beside another photo: the mean of all cells."""
    keys = result["cells"][0]["shuffled"]
    values = {key: [number(cell["shuffled"][key]["value"]) for cell in result["cells"]] for key in keys}
    return {
        "figures": {
            key: {"value": sum(of) / len(of), "low": math.nan, "high": math.nan} for key, of in values.items()
        }
    }


def _page(result: Mapping[str, Any], votes: Sequence[Mapping[str, Any]]) -> str:
    suite = result["suite"]
    keys = [key for key in FIGURES if _has(result, key)]
    marks = {True: " ↑", False: " ↓", None: ""}
    head = "".join(f"<th>{escape(FIGURES[key][0])}{marks[FIGURES[key][1]]}</th>" for key in keys)
    body = []
    for name, cells, _ in _all_rows(result):
        control = ' class="control"' if name.startswith("*") else ""
        body.append(
            f"<tr{control}><td>{escape(name.strip('*'))}</td>{''.join(_cell(cells, k) for k in keys)}</tr>"
        )
    sections = [
        f"<h1>{escape(str(suite['name']))}: roads from photo to cartoon</h1>",
        *(f"<p>{escape(line)}</p>" for line in _about(result)),
        "<h2>Figures</h2>",
        f'<div class="wide"><table><tr><th>method, budget</th>{head}</tr>{"".join(body)}</table></div>',
        f'<p class="dim">{escape(_key(result))}</p>',
        "<h2>Near to the cartoons, true to the photo</h2>",
        plot(result),
        '<p class="dim">Up and right is better; the line joins the methods that none beats on both.</p>',
        "<h2>Held-out photos, method by method</h2>",
        _faces(result),
        "<h2>Size, speed and budget</h2>",
        _sizes(result),
    ]
    if votes:
        sections += ["<h2>What people said</h2>", _votes(votes)]
    about = result["about"]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(str(suite['name']))} · stylegan-toon compare</title>"
        f"<style>{STYLE}{MORE}</style></head><body>\n" + "\n".join(sections) + f'\n<p class="dim foot">'
        f"stylegan-toon {escape(str(about['program']))}, torch {escape(str(about['torch']))}</p>"
        "</body></html>\n"
    )


def _about(result: Mapping[str, Any]) -> list[str]:
    """What was compared, and how little it may tell: sentences."""
    suite, about, count = result["suite"], result["about"], result["about"]["pictures"]
    kind = "photos" if result["photos_from"] else "drawn faces (of the generator that ships, no real photos)"
    own = suite["cartoons"] if result["cartoons_from"] is None else result["cartoons_from"]
    budgets = []
    if suite["pictures"]:
        budgets.append(f"{suite['pictures']:,} photos shown in training (pictures)")
    if suite["seconds"]:
        budgets.append(f"{suite['seconds']:g} seconds of training (seconds)")
    lines = [
        f"{suite['size']} px; {count['photos']:,} {kind} and {count['cartoons']:,} cartoons ({own}) to train "
        f"on; measured on {count['photos-held-out']} held-out pictures against {count['cartoons-held-out']} "
        f"held-out cartoons. Seeds: {suite['seeds']}. Device: {about['device']}, {about['threads']} threads.",
        f"Budgets of what is trained here: {'; '.join(budgets) or 'none'}. toonify, nst and binarize are "
        f"taken as they are: toonify's networks ({result['style']}) were trained before, and longer.",
    ]
    trained = [cell for cell in result["cells"] if "steps" in cell]
    if trained:
        minutes = sum(cell["seconds"] for cell in trained) / 60
        lines.append(f"{len(trained)} networks were trained for this, in {minutes:,.1f} minutes in all.")
    steps = [cell["steps"] for cell in trained]
    if steps and min(steps) < 5000:
        lines.append(
            f"The shortest run had {min(steps):,} steps, the longest {max(steps):,}; papers train for "
            "100,000 and more. So this tells that all run and are measured alike, not which is best."
        )
    if any(cell.get("paired") for cell in result["cells"]):
        lines.append(f"Methods that learn from pairs were given pairs drawn by toonify ({result['style']}).")
    if result["missing"]:
        lines.append(f"{result['missing']} runs have no result yet.")
    return lines


def _key(result: Mapping[str, Any]) -> str:
    several = result["suite"]["seeds"] > 1
    over = "over the seeds (Student's t); of what has no seed " if several else ""
    return (
        f"Small print: the 95 % interval, {over}over the photos (bootstrap). Way to the cartoons: 1 minus "
        "KID over the photos' own KID, at least -1, the mean of three feature spaces: 0 is a photo, 1 a "
        "cartoon of that set. Edge SSIM, layout, identity, LPIPS, PSNR, SSIM and MSE compare with the photo; "
        "a copy has them all, so read them with the way. FID is biased with few pictures. A face is found in "
        f"{result['about']['faces_found']:.0%} of the held-out cartoons; identity says little if few."
    )


def _cell(cells: Sequence[Mapping[str, Any]], key: str) -> str:
    found = interval(cells, key)
    if found is None:
        return "<td></td>"
    value, low, high = found
    digits = FIGURES[key][2]
    small = f"<small>{low:.{digits}f} to {high:.{digits}f}</small>" if math.isfinite(low + high) else ""
    return f"<td>{_digits(value, digits)}{small}</td>"


def _plain(cells: Sequence[Mapping[str, Any]], key: str) -> str:
    found = interval(cells, key)
    if found is None:
        return ""
    value, low, high = found
    digits = FIGURES[key][2]
    more = f" ({low:.{digits}f} to {high:.{digits}f})" if math.isfinite(low + high) else ""
    return f"{_digits(value, digits)}{more}"


def _digits(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "∞"


def _sizes(result: Mapping[str, Any]) -> str:
    head = ("method, budget", "parameters", "GFLOP a picture", "ms a picture", "peak MB", "steps",
            "photos seen", "training, s")  # fmt: skip
    body = []
    for row in rows(result):
        trained = "steps" in row.cells[0]
        body.append(
            (row.name, f"{row.cells[0]['parameters']:,}", f"{_middle(row, 'flops') / 1e9:.2f}",
             f"{_middle(row, 'seconds') * 1000:,.1f}", f"{_middle(row, 'memory_mb'):,.0f}",
             *((f"{_average(row, 'steps'):,.0f}", f"{_average(row, 'seen'):,.0f}",
                f"{_average(row, 'seconds'):,.1f}") if trained else ("", "taken", "")))
        )  # fmt: skip
    lines = "".join(f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in line)}</tr>" for line in body)
    names = "".join(f"<th>{escape(text)}</th>" for text in head)
    said = (
        "Parameters of the networks that turn a photo into a cartoon. A multiplication and an addition are "
        f"two FLOPs. Time (median of three) and memory: one picture of {result['suite']['size']} px."
    )
    return f'<div class="wide"><table><tr>{names}</tr>{lines}</table></div><p class="dim">{escape(said)}</p>'


def _middle(row: Row, key: str) -> float:
    return float(np.median([cell["cost"][key] for cell in row.cells]))


def _average(row: Row, key: str) -> float:
    return float(np.mean([cell[key] for cell in row.cells]))


def _faces(result: Mapping[str, Any]) -> str:
    lines = [("photo", result["photos"]), *((row.name, row.cells[0]["pictures"]) for row in rows(result))]

    def picture(name: str, data: str) -> str:
        return (
            f'<td><img alt="{escape(name)}" loading="lazy" src="data:image/jpeg;base64,{escape(data)}"></td>'
        )

    drawn = (
        f"<tr><td>{escape(name)}</td>{''.join(picture(name, one) for one in found)}</tr>"
        for name, found in lines
    )
    return f'<div class="wide"><table class="faces">{"".join(drawn)}</table></div>'


def _votes(votes: Sequence[Mapping[str, Any]]) -> str:
    head = "".join(f"<th>{text}</th>" for text in ("method", "1", "2", "3", "4", "5", "votes", "average"))
    body = "".join(
        f"<tr><td>{escape(one['method'])}</td>{''.join(f'<td>{count}</td>' for count in one['counts'])}"
        f"<td>{sum(one['counts'])}</td><td>{one['average']:.2f}</td></tr>"
        for one in votes
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _sheet(result: Mapping[str, Any], path: Path) -> list[str]:
    """Write the grid, a row a photo and a column a method (its first budget); returns the methods."""
    columns = [("photo", result["photos"])]
    for row in rows(result):
        if row.label not in [name for name, _ in columns]:
            columns.append((row.label, row.cells[0]["pictures"]))
    sides = [
        np.concatenate([np.asarray(read_image(base64.b64decode(one), "picture")) for one in found])
        for _, found in columns
    ]
    save_png(path, Image.fromarray(np.concatenate(sides, 1)))
    return [name for name, _ in columns[1:]]


def _csv(result: Mapping[str, Any]) -> str:
    """A line for every cell and control, and a column for every figure and its interval."""
    keys = [key for key in FIGURES if _has(result, key)]
    plain = ("label", "method", "preset", "budget", "seed", "steps", "batch", "seen", "seconds", "parameters")
    costs = ("flops", "seconds", "memory_mb")
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    sides = [f"{key}{end}" for key in keys for end in ("", " low", " high")]
    table.writerow([*plain, *(f"{key} a picture" for key in costs), *sides])
    controls = [{"label": name, "figures": of} for name, of in result["controls"].items()]
    for cell in [*controls, *result["cells"]]:
        line = [cell.get(key, "") for key in plain] + [cell.get("cost", {}).get(key, "") for key in costs]
        for key in keys:
            one = cell["figures"].get(key, {})
            line += [one.get(end) for end in ("value", "low", "high")]
        table.writerow(line)
    return file.getvalue()


def _has(result: Mapping[str, Any], key: str) -> bool:
    return key in result["controls"]["copy"]
