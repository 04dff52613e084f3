"""A fine-tuning run as one HTML page, RUN/report.html, made of the run's own files.

The page needs no other file and no network: curves are inline SVG, pictures are in it; the grids of the other
looks are linked relatively.
"""

import base64
import io
import json
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

from stylegan_toon.checkpoint.format import load
from stylegan_toon.files import write_aside
from stylegan_toon.images import load_image
from stylegan_toon.pipelines.copies import STRIP
from stylegan_toon.training.log import entries

WIDTH, HEIGHT = 420, 190  # of a curve; its left, right, top and bottom margins:
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 24
SPACES = ("mobileface", "emotion", "untrained")
Line = tuple[str, list[tuple[float, float]]]
CURVES = (  # title, what it means, the log's names
    (
        "KID",
        "distance to the training pictures, geometric mean over three feature spaces; lower is better",
        {"kid": "KID"},
    ),
    (
        "Structure",
        "distance to the source's layout, same codes; 0 is the source's",
        {"structure": "structure"},
    ),
    ("Losses", "generator and discriminator", {"g": "generator", "d": "discriminator"}),
    (
        "ADA",
        "how often pictures are varied (p), and the sign D gives real ones",
        {"ada/p": "p", "d/sign": "sign"},
    ),
)
STYLE = """
:root{--ink:#1d2430;--dim:#667085;--line:#e4e7ec;--paper:#fff;--card:#f7f8fa;--a:#2f5fd0;--b:#c2571a;--good:#12805c}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ef;--dim:#98a2b3;--line:#2c3442;--paper:#12161d;--card:#1a202a;
--a:#7aa2ff;--b:#f0935a;--good:#4cc79a}}
*{box-sizing:border-box}body{margin:0 auto;max-width:1000px;padding:40px 24px 64px;background:var(--paper);
color:var(--ink);font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
h1{font-size:30px;line-height:1.2;margin:0 0 4px;letter-spacing:-.01em}h2{font-size:18px;margin:44px 0 12px}
p{margin:0 0 12px;max-width:70ch}.dim{color:var(--dim)}
code,pre,td.v{font:13px/1.5 ui-monospace,Menlo,Consolas,monospace}
pre{background:var(--card);padding:12px 14px;border-radius:8px;overflow-x:auto;margin:12px 0}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(200px,1fr));gap:12px;margin:28px 0}
.tile{background:var(--card);border-radius:10px;padding:14px 16px}.tile b{display:block;font-size:26px;
font-weight:600;line-height:1.25;letter-spacing:-.01em}.tile span{color:var(--dim);font-size:13px}
figure{margin:0}img{display:block;width:100%;height:auto;border-radius:8px}
figcaption{color:var(--dim);font-size:13px;margin-top:8px}
.curves{display:grid;grid-template-columns:repeat(auto-fit,minmax(360px,1fr));gap:28px 24px}
svg{display:block;width:100%;height:auto}svg text{font:11px system-ui,sans-serif;fill:var(--dim)}
.curves h3{font-size:14px;margin:0}.curves p{font-size:13px;margin:0 0 6px;color:var(--dim)}
table{border-collapse:collapse;width:100%;font-size:14px}
td{padding:5px 12px 5px 0;border-top:1px solid var(--line);
vertical-align:top}td.v{overflow-wrap:anywhere}summary{cursor:pointer;font-weight:600}
.looks a{color:var(--a);margin-right:12px;white-space:nowrap}
.key{font-size:12px;margin-left:10px;font-weight:400}.foot{margin-top:40px}
"""


def write_report(out: Path) -> Path:
    """Write RUN/report.html of what the run folder out holds, and return where it is. Raises: DiskError."""
    page = out / "report.html"
    write_aside(page, [_page(out).encode()])
    return page


def best_look(out: Path) -> dict[str, Any]:
    """The look whose models are RUN/best*: that of the lowest KID, else the last; empty where none was."""
    looks = [entry for entry in entries(out) if "pictures" in entry]
    if (file := out / "best.safetensors").is_file():
        meta = load(file).meta  # a run that was made longer no longer logs the look at its former end
        known: dict[str, Any] = {"step": meta["step"]}
        known |= {"kid": meta["judged"]} if "judged" in meta else {}
        return next((look for look in looks if look["step"] == known["step"]), known)
    judged = [entry for entry in looks if "kid" in entry]
    return min(judged, key=lambda entry: entry["kid"]) if judged else (looks or [{}])[-1]


def in_words(out: Path) -> str:
    """What came out of a run, in one line."""
    best, about, last = best_look(out), _about(out), _last(out)
    said = f"best at step {best.get('step', 0)}"
    if "kid" in best:
        said += f", KID {_number(best['kid'])} (source {_number(about['before']['kid'])}"
        said += f"{_by_space(about['before'], best)})"
    if "nearest" in last:
        said += f", nearest training picture at {last['nearest']:.2f} of their own distance"
    return said


def _by_space(before: dict[str, Any], best: dict[str, Any]) -> str:
    """How KID changed in each space: "; mobileface -64 %, untrained -70 %"."""
    keys = {space: f"kid/{space}" for space in SPACES}
    changed = [
        f"{space} {best[key] / before[key] - 1:+.0%}"
        for space, key in keys.items()
        if key in best and before.get(key, 0) > 0
    ]
    return f"; {', '.join(changed)}" if changed else ""


def _about(out: Path) -> dict[str, Any]:
    about: dict[str, Any] = json.loads((out / "run.json").read_text(encoding="utf-8"))
    return about


def _last(out: Path) -> dict[str, Any]:
    """The newest of the log's entries with memorisation figures, or none."""
    return next((entry for entry in reversed(list(entries(out))) if "nearest" in entry), {})


def _page(out: Path) -> str:
    about, best, found = _about(out), best_look(out), _last(out)
    log = list(entries(out))
    looks = [entry for entry in log if "pictures" in entry]
    steps = [entry for entry in log if "rate" in entry]
    name, end = str(about.get("target", out.name)), max((entry["step"] for entry in log), default=0)
    style = out.name if out.parent.name == "runs" else str(out)
    before = about.get("before", {})
    memory = max((entry.get("memory_mb", 0) for entry in steps), default=0)
    facts = [
        f"from {about.get('source')}",
        f"{about.get('training_pictures', 0):,} pictures",
        f"{end:,} of {about.get('steps', end):,} steps",
        f"{(steps or [{}])[-1].get('rate', 0):.2f} steps a second",
        f"{memory / 1000:.1f} GB",
    ]
    tiles = [(f"step {best.get('step', 0):,}", "the best look, in best.safetensors")]
    if "kid" in best:
        start = before.get("kid")
        change = f", {best['kid'] / start - 1:+.0%} from" if start and start > 0 else "; it was"
        tiles.append((_number(best["kid"]), f"KID to the pictures{change} the source's {_number(start)}"))
    if "structure" in best:
        tiles.append((_number(best["structure"]), "structure score; 0 is the source's layout"))
    if found:
        tiles.append((f"{found['nearest']:.2f}", "distance to the nearest training picture; 0 is a copy"))
    marks = {"KID": (best.get("step", 0), best["kid"])} if "kid" in best else {}
    start_point = {**before, "structure": 0.0 if looks else None}
    curves = []
    for title, meaning, names in CURVES:
        lines: list[Line] = []
        for key, label in names.items():
            points = [(float(e["step"]), float(e[key])) for e in log if _finite(e.get(key))]
            if points and _finite(start_point.get(key)):
                points.insert(0, (0.0, float(start_point[key])))  # type: ignore[arg-type]
            if points:
                lines.append((label, points))
        if lines:
            curves.append(_curve(title, meaning, lines, marks.get(title)))
    grids = sorted((out / "samples").glob("*.png"))
    others = " ".join(
        f'<a href="samples/{escape(grid.name)}">{int(grid.stem):,}</a>'
        for grid in grids
        if grid.stem.isdigit()
    )
    sections = [
        f"<h1>{escape(name)}</h1>",
        f'<p class="dim">{escape(" · ".join(facts))}</p>',
        '<div class="tiles">',
        *(
            f'<div class="tile"><b>{escape(big)}</b><span>{escape(small)}</span></div>'
            for big, small in tiles
        ),
        "</div>",
        f"<p>{escape(_why(about, best, end))}</p>",
        f"<pre>stylegan-toon toonify me.jpg --style {escape(style)}</pre>",
        "<h2>Samples</h2>",
        _picture(
            out / "samples" / f"{best.get('step', 0):07d}.png",
            "Best look. First row: the source; below it, its codes and more, drawn by the style (psi 0.7).",
        ),
        f'<p class="looks dim">Every look: {others}</p>' if others else "",
        "<h2>Curves</h2>",
        f'<div class="curves">{"".join(curves)}</div>',
    ]
    if found:
        sections += [
            "<h2>Copies</h2>",
            f"<p>{escape(_copies(found))}</p>",
            _picture(
                out / STRIP, "First row: the samples nearest to a training picture. Second row: that picture."
            ),
        ]
    sections += ["<h2>Settings</h2>", _settings(about)]
    title = escape(f"{name} · stylegan-toon")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head><body>\n"
        + "\n".join(filter(None, sections))
        + f'\n<p class="dim foot">stylegan-toon {escape(str(about.get("program", "")))}</p>'
        "\n</body></html>\n"
    )


def _why(about: dict[str, Any], best: dict[str, Any], end: int) -> str:
    """Why the best is the best, and why the run ended."""
    if "kid" in best:
        why = "best.safetensors is the look with the lowest KID to the training pictures, "
        why += f"at step {best['step']:,}{_by_space(about.get('before', {}), best)}."
    else:
        why = "best.safetensors is the last look: there are too few or too small pictures to take KID."
    if end < about.get("steps", end):
        why += f" The run ended early, because KID had not fallen for {about.get('patience')} looks."
    elif best.get("step") == end:
        why += " That is the last one: more steps may do better."
    return why


def _copies(found: dict[str, Any]) -> str:
    said = (
        f"Samples are {found['nearest']:.2f} times as far from their nearest training picture as those are "
        f"from one another (median, MobileFace features); {found['closer']:.1%} are nearer than 99 % of "
        "them, where chance gives 1 %."
    )
    doubt = found["nearest"] < 0.5 or found["closer"] > 0.1
    return said + (" Some may be copies: look at the pairs." if doubt else "")


def _settings(about: dict[str, Any]) -> str:
    def rows(values: dict[str, Any]) -> str:
        shown = (
            (key, value if isinstance(value, str) else json.dumps(value)) for key, value in values.items()
        )
        return "".join(f'<tr><td>{escape(k)}</td><td class="v">{escape(v)}</td></tr>' for k, v in shown)

    nested = {key: value for key, value in about.items() if isinstance(value, dict) and key != "before"}
    plain = {key: value for key, value in about.items() if key not in nested}
    more = (
        f"<details><summary>{escape(key)}</summary><table>{rows(value)}</table></details>"
        for key, value in nested.items()
    )
    return f"<table>{rows(plain)}</table>" + "".join(more)


def _picture(path: Path, caption: str) -> str:
    """A figure with the picture in the page, as JPEG: a tenth of the PNG."""
    if not path.is_file():
        return ""
    file = io.BytesIO()
    picture: Image.Image = load_image(path)
    picture.save(file, "JPEG", quality=90, subsampling=0)
    data = base64.b64encode(file.getvalue()).decode()
    size = f'width="{picture.width}" height="{picture.height}"'
    text = escape(caption)
    return (
        f'<figure><img {size} alt="{text}" src="data:image/jpeg;base64,{data}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def _curve(title: str, meaning: str, lines: Sequence[Line], mark: tuple[float, float] | None) -> str:
    """A small chart: a heading and an SVG with an axis of round numbers each."""
    points = [point for _, line in lines for point in line]
    across = ticks(0, max(x for x, _ in points), 5)
    low, high = min(y for _, y in points), max(y for _, y in points)
    up = ticks(min(low, 0) if low < high / 2 else low, high, 4)
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + (x - across[0]) / (across[-1] - across[0]) * (right - LEFT),
            bottom - (y - up[0]) / (up[-1] - up[0]) * (bottom - TOP),
        )

    drawn = []
    for y in up:
        at = place(across[0], y)[1]
        drawn.append(f'<path d="M{LEFT} {at:.1f}H{right}" stroke="var(--line)"/>')
        drawn.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{_number(y)}</text>')
    for x in across:
        at = place(x, up[0])[0]
        drawn.append(f'<text x="{at:.1f}" y="{HEIGHT - 6}" text-anchor="middle">{x:,.0f}</text>')
    colours = ("var(--a)", "var(--b)")
    for (_, line), colour in zip(lines, colours, strict=False):
        path = "L".join("{:.1f} {:.1f}".format(*place(*point)) for point in line)
        drawn.append(
            f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.8" stroke-linejoin="round"/>'
        )
    if mark:
        x, y = place(*mark)
        drawn.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="var(--good)"/>')
    key = "".join(
        f'<span class="key" style="color:{colour}">{escape(label)}</span>'
        for (label, _), colour in zip(lines, colours, strict=False)
    )
    heading = f"<h3>{escape(title)}{key if len(lines) > 1 else ''}</h3><p>{escape(meaning)}</p>"
    label = escape(f"{title} by step")
    drawing = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(drawn)}</svg>'
    return f"<section>{heading}{drawing}</section>"


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers, a step of 1, 2 or 5 times a power of ten apart, that hold low and high between them."""
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / about))
    step = next(size * power for size in (1, 2, 5, 10) if size * power * about >= span)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, max(last, first + 1) + 1)]


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _number(value: Any) -> str:
    return f"{value:.3g}" if _finite(value) else "?"
