"""insightface's models from a folder that is here already: found by path, loaded, and its detector.

insightface takes a folder that does not exist for the name of a pack and fetches that. So the path is looked
at before insightface is imported, and only ever the path of a file is handed to it.
"""

import importlib.util
import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime
from PIL import Image

from stylegan_toon.errors import MissingPartError, ModelError, shown
from stylegan_toon.faces.align import rgb, side
from stylegan_toon.faces.detect import Face, nms
from stylegan_toon.paths import models_dir

ROOT = "STYLEGAN_TOON_INSIGHTFACE"  # the environment variable: a folder of models
INSTALL = "pip install 'stylegan-toon[face]'"
Task = Literal["detection", "recognition"]
# How the packs' own files begin; the other networks of a pack (landmarks, age) are not wanted here.
FILES: dict[Task, re.Pattern[str]] = {
    "detection": re.compile(r"(det|scrfd)_.*\.onnx"),
    "recognition": re.compile(r"(w600k|glintr|glint360k|ms1mv|arcface).*\.onnx"),
}
WANTED = {"detection": "det_10g.onnx", "recognition": "w600k_r50.onnx"}
NAMES = {"detection": "insightface-detector", "recognition": "insightface-arcface"}  # of `models get`
PACKS = ("buffalo_l", "antelopev2", "buffalo_m", "buffalo_s")  # the better first
# A pack's own folder, the same unpacked one level too deep, a folder of packs, insightface's own root.
PLACES = ("", "*", "*/*", "models/*", "models/*/*")
MIN_SCORE = 0.5  # insightface's own
SIZES = (640, 1280, 320)  # of the network's picture: as its makers use it, small faces, a face that fills it


def roots(root: str | Path | None = None) -> list[Path]:
    """Where models are looked for: root, else $STYLEGAN_TOON_INSIGHTFACE, else the usual two places."""
    if chosen := root or os.environ.get(ROOT):
        return [Path(chosen).expanduser()]
    return [models_dir(), Path("~/.insightface").expanduser()]


def model_file(task: Task, root: str | Path | None = None) -> Path | None:
    """The file of a task in one of PLACES below roots(root); None if there is none."""
    for place in roots(root):
        for pattern in PLACES:
            for folder in sorted(_folders(place, pattern), key=_rank):
                for file in sorted(folder.glob("*.onnx")):
                    if FILES[task].fullmatch(file.name) and file.is_file():
                        return file
    return None


def load(
    task: Task,
    root: str | Path | None = None,
    device: str = "cpu",
    report: Callable[[str], None] = lambda text: None,
) -> Any:
    """insightface's own object for the file of a task: SCRFD or ArcFaceONNX.

    Args:
        device: "cuda" uses the GPU if onnxruntime can; anything else the CPU.
        report: told which file runs on which provider.
    Raises: MissingPartError (exit 5) without the file or without insightface, ModelError (exit 4) for another
        kind of file. Nothing is downloaded.
    """
    file = model_file(task, root)
    if file is None:
        asked = root or os.environ.get(ROOT)
        place = shown(asked, 50) if asked else "the models folder and ~/.insightface"
        remedy = f"stylegan-toon models get {NAMES[task]}, or --insightface-root FOLDER"
        raise MissingPartError(f"no insightface {task} model ({WANTED[task]}) in {place}; {remedy}")
    if importlib.util.find_spec("insightface") is None:
        raise MissingPartError(f"{shown(file)} is here, but the package insightface is not; {INSTALL}")
    try:
        from insightface.model_zoo import get_model
    except Exception as error:  # whatever its own imports raise: OpenCV without libGL, a broken onnx
        raise MissingPartError(f"insightface cannot be imported ({str(error)[:60]}); {INSTALL}") from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # its warnings are about how the file was made
    try:
        net = get_model(str(file.absolute()), providers=providers(device), sess_options=options)
    except Exception as error:  # onnxruntime's and onnx's own exceptions share no public base class
        raise ModelError(f"{shown(file)} cannot be loaded ({type(error).__name__}); get it again") from None
    if getattr(net, "taskname", None) != task or not getattr(net, "use_kps", True):
        raise ModelError(f"{shown(file)} is no {task} model as insightface's {WANTED[task]} is; get that")
    used = net.session.get_providers()[0]
    slow = device == "cuda" and used == "CPUExecutionProvider"
    remedy = "; for the GPU install onnxruntime-gpu in place of onnxruntime" if slow else ""
    report(f"insightface {task}: {shown(file)} on {used}{remedy}")
    return net


def providers(device: str) -> list[str]:
    """What onnxruntime is asked to use, first choice first: never its network or cloud providers."""
    on_gpu = device == "cuda" and "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    return [*(["CUDAExecutionProvider"] if on_gpu else []), "CPUExecutionProvider"]


def detector(
    root: str | Path | None = None, device: str = "cpu", report: Callable[[str], None] = lambda text: None
) -> Callable[..., list[Face]]:
    """find_faces with insightface's detector loaded. Raises: as load."""
    return partial(find_faces, load("detection", root, device, report))


def find_faces(net: Any, photo: Image.Image, min_score: float = MIN_SCORE) -> list[Face]:
    """Every face of a photo, largest first, each once, as faces.detect.find_faces gives them.

    Looks at the photo at SIZES as needed, and at its three other quarter turns when it finds nothing.
    Args:
        net: insightface's SCRFD.
        photo: RGB.
        min_score: 0 to 1.
    """
    pixels = np.asarray(rgb(photo))[..., ::-1]  # insightface takes BGR
    if min(photo.size) * min(SIZES) < max(photo.size):
        return []  # less than a pixel high for the network
    found = _detect(net, pixels, SIZES[0], min_score)
    if max(photo.size) > SIZES[0]:
        found += _detect(net, pixels, SIZES[1], min_score)
    found = found or _detect(net, pixels, SIZES[2], min_score)
    for turns in () if found else (1, 3, 2):
        found = found or _detect(net, pixels, SIZES[0], min_score, turns)
    keep = nms(np.array([f.box for f in found]).reshape(-1, 4), [f.score for f in found])
    return sorted((found[i] for i in keep), key=lambda face: -side(face.points))


def _detect(net: Any, pixels: np.ndarray, size: int, min_score: float, turns: int = 0) -> list[Face]:
    """One run of the network on a photo turned left by so many quarters; in coordinates of the photo."""
    height, width, _ = pixels.shape
    turned = np.ascontiguousarray(np.rot90(pixels, turns))
    boxes, points = net.detect(turned, input_size=(size, size), det_thresh=min_score)
    faces = []
    for box, five in zip(boxes.astype(np.float64), points.astype(np.float64), strict=True):
        ends, five = (_turn_back(xy, turns, width, height) for xy in (box[:4].reshape(2, 2), five))
        if np.isfinite(five).all() and np.ptp(five, axis=0).max() > 0:
            score = float(np.clip(box[4], 0, 1))
            faces.append(Face(np.concatenate([ends.min(0), ends.max(0)]), score, five))
    return faces


def _turn_back(xy: np.ndarray, turns: int, width: int, height: int) -> np.ndarray:
    """Points [N, 2] of a picture turned left by so many quarters, in the picture of width x height."""
    x, y = xy[:, 0], xy[:, 1]
    back = ((x, y), (width - 1 - y, x), (width - 1 - x, height - 1 - y), (y, height - 1 - x))[turns]
    return np.stack(back, axis=1)


def _folders(place: Path, pattern: str) -> Iterator[Path]:
    try:
        found = list(place.glob(pattern)) if pattern else [place]
    except OSError:
        return
    yield from (folder for folder in found if folder.is_dir())


def _rank(folder: Path) -> tuple[int, str]:
    name = next((part for part in reversed(folder.parts) if part in PACKS), "")
    return (PACKS.index(name) if name else len(PACKS)), str(folder)
