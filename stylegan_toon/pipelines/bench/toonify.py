"""How long a photo takes to become a cartoon, stage by stage, and how that grows with their number."""

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from stylegan_toon.device import choose_device, memory_used
from stylegan_toon.errors import InputError, UsageError
from stylegan_toon.exact import normal
from stylegan_toon.faces.align import side
from stylegan_toon.faces.detect import Face
from stylegan_toon.images import save_png
from stylegan_toon.pipelines.bench.generator import slopes_as_text
from stylegan_toon.pipelines.bench.timing import (
    Times,
    conditions,
    growth,
    heading,
    line,
    rounded,
    table,
    take_turns,
    wait,
)
from stylegan_toon.pipelines.export import in_onnxruntime
from stylegan_toon.pipelines.toonifier import AROUND, STROKES, Toonifier, picture
from stylegan_toon.stylegan2.latents import truncate
from stylegan_toon.stylegan2.onnx_graph import to_onnx

RESOLUTION = 1024
COUNTS = (1, 2, 4, 8)  # photos, for the slope
CROWD = (4, 8, 16)  # faces in a photo
ONNX = "draw, by onnxruntime"


def bench(
    resolution: int | None = None,
    batch: int | None = None,
    device: str = "auto",
    peers: Sequence[str] = (),
    rounds: int = 5,
    seed: int = 0,
    slopes: bool = False,
) -> dict[str, Any]:
    """Time toonify with its defaults on photos of one face, which the photo generator draws.

    Args:
        resolution: edge of the photos; the face takes half of it.
        batch: photos that go through the networks together.
        seed: which face.
        slopes: also photos of the same size with 4, 8 and 16 small faces.
    Returns: JSON values: the conditions, "cold_ms" (loading the models and the first photo), "stages_ms" of a
        warm photo, what onnxruntime takes to draw it on a CPU, "photos" (milliseconds and memory after so
        many), the line fitted to those times, and with slopes "slopes" by the number of faces found.
    Raises: UsageError (a peer; a face that is not found again), MissingPartError (device), ModelError.
    """
    if peers:
        raise UsageError(
            "bench toonify runs no peer; leave --peer out, or use it with generator, train or ops"
        )
    where, resolution, batch = choose_device(device), resolution or RESOLUTION, batch or 1
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder, "photo.png"), Path(folder, "out.png")
        drawn_photo(resolution, seed, device).save(file)
        began = time.perf_counter()
        toonifier = Toonifier(device=device, upscale="auto", strokes=STROKES, around=AROUND)
        stages = stages_of(toonifier, [file], out)
        try:
            _all(stages)
        except InputError:
            remedy = "give another --seed or a larger --resolution"
            raise UsageError(f"no face found where seed {seed} drew one, {resolution} px; {remedy}") from None
        wait(where)
        cold = time.perf_counter() - began
        stages = stages_of(toonifier, [file] * batch, out)

        def photos(count: int) -> None:
            for _ in range(0, count, batch):
                _all(stages)

        times = take_turns(stages | onnx_stage(toonifier, batch), rounds, where)
        in_onnx = times.pop(ONNX, None)
        counted, memory = {}, {}
        for count in (batch * count for count in COUNTS):
            counted[count] = take_turns({"": partial(photos, count)}, rounds, where)[""]
            memory[count] = memory_used()
        crowds = {}
        for count in CROWD if slopes else ():
            several = Path(folder, f"{count}.png")
            drawn_photo(resolution, seed, device, count).save(several)
            crowd, found = stages_of(toonifier, [several], out), len(toonifier.faces_of(several, "all")[1])
            crowds[found] = take_turns({"": partial(_all, crowd)}, rounds, where)[""]
    asked = {"bench": "toonify", "resolution": resolution, "batch": batch, "rounds": rounds, "seed": seed}
    slope, fixed = line({count: one.median for count, one in counted.items()})
    return asked | conditions(where) | {
        "cold_ms": rounded(cold * 1e3),
        "stages_ms": {name: rounded(one.median / batch * 1e3) for name, one in times.items()},
        "draw_by_onnxruntime_ms": rounded(in_onnx.median / batch * 1e3) if in_onnx else None,
        "photos": [_row(count, one, memory[count]) for count, one in counted.items()],
        "ms_per_photo": rounded(slope * 1e3),
        "ms_fixed": rounded(fixed * 1e3),
        **({"slopes": {"faces": growth(crowds)}} if slopes else {}),
    }  # fmt: skip


def _all(stages: dict[str, Callable[[], object]]) -> None:
    for stage in stages.values():
        stage()


def onnx_stage(toonifier: Toonifier, count: int) -> dict[str, Callable[[], object]]:
    """On a CPU, drawing count faces by the exported generator instead."""
    if toonifier.device.type != "cpu":
        return {}
    session = in_onnxruntime(to_onnx(toonifier.cartoon, "synthesis", "none", {}))
    codes = toonifier.source.centre().expand(count, toonifier.source.config.n_layers, -1).numpy()
    return {ONNX: lambda: session.run(None, {"w_plus": codes})}


def _row(count: int, times: Times, memory: int) -> dict[str, Any]:
    taken = times.median * 1e3
    return {
        "photos": count,
        "ms": rounded(taken),
        "ms_a_photo": rounded(taken / count),
        "mib": rounded(memory / 2**20),
    }


def as_text(report: dict[str, Any]) -> list[str]:
    """The report as a heading and two tables."""
    size = f"toonify, photos of {report['resolution']} px with one face, batch {report['batch']}"
    stages = [*report["stages_ms"].items(), ("a warm photo", rounded(sum(report["stages_ms"].values())))]
    if report["draw_by_onnxruntime_ms"]:
        stages.append((ONNX, report["draw_by_onnxruntime_ms"]))
    rows = [tuple(row.values()) for row in report["photos"]]
    return [
        heading(report),
        size,
        *table(("stage", "ms a photo"), [*stages, ("models and a first photo", report["cold_ms"])]),
        "",
        *table(("photos", "ms", "ms a photo", "MiB"), rows),
        f"fitted: {report['ms_fixed']} ms + {report['ms_per_photo']} ms a photo",
        *slopes_as_text(report.get("slopes", {})),
    ]


def drawn_photo(edge: int, seed: int, device: str, count: int = 1) -> Image.Image:
    """A face that the photo generator draws from a seed, on grey: one, half as large as the picture, or
    count of them, smaller, in rows."""
    toonifier = Toonifier(device=device)
    g = toonifier.source
    z = normal((1, g.config.z_dim), torch.Generator().manual_seed(seed), False)
    with torch.inference_mode():
        face = toonifier.draw(truncate(g.codes(z.to(toonifier.device)), g.centre(), 0.5), g)
    photo = Image.new("RGB", (edge, edge), (128, 128, 128))
    columns = math.ceil(math.sqrt(count))
    cell = edge // columns
    square = picture(face[0], edge // 2 if count == 1 else cell)
    for i in range(count):
        inset = (cell - square.width) // 2
        photo.paste(square, (i % columns * cell + inset, i // columns * cell + inset))
    return photo


def stages_of(toonifier: Toonifier, files: Sequence[Path], out: Path) -> dict[str, Callable[[], object]]:
    """What toonify does to some photos, in parts; each takes what the one before it left."""
    opened: list[tuple[Image.Image, list[Face]]] = []
    left: dict[str, Any] = {}

    def find() -> None:
        opened[:] = [toonifier.faces_of(file, "all") for file in files]

    def invert() -> None:
        left["crops"] = torch.cat([toonifier.crops(photo, faces) for photo, faces in opened])
        left["found"] = toonifier.fit(left["crops"], toonifier.steps(None))

    def draw() -> None:
        left["drawings"] = toonifier.drawings(opened, left["crops"], left["found"])

    def enlarge() -> None:
        left["squares"] = [
            toonifier.enlarged(one, [side(face.points) for face in one.faces]) for one in left["drawings"]
        ]

    def paste() -> None:
        parts = zip(opened, left["squares"], strict=True)
        left["pictures"] = [toonifier.whole(*photo, squares) for photo, squares in parts]

    def save() -> None:
        for one in left["pictures"]:
            save_png(out, one)

    return {"find": find, "invert": invert, "draw": draw, "enlarge": enlarge, "paste": paste, "save": save}
