"""YuNet: find the faces of a photo, with five points each. NumPy and onnxruntime, or float64; no OpenCV.

Source: Wu, Peng, Yu 2023, "YuNet: A Tiny Millisecond-level Face Detector"; model and licence in pretrained/.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image

from stylegan_toon.errors import ModelError, shown
from stylegan_toon.faces.align import move, rgb, roll, side, warp
from stylegan_toon.faces.yunet import load_yunet
from stylegan_toon.paths import pretrained_file

MODEL = "yunet_n_dynamic.onnx"
MIN_SCORE = 0.6
# The training crops were made at 320: where that shows a face well, its points are taken.
SIDES = (320, 640, 1280)
WELL = 48, 0.8  # a face is shown well from this side in network pixels and this score up
SMALL = 48  # faces below this side, in network pixels, make a larger picture worth a look
STRIDES = (8, 16, 32)
GRID = 64  # parts of a pixel that boxes and points are rounded to: what differs between machines falls away

Net = Callable[[np.ndarray], dict[str, np.ndarray]]  # a picture [1, 3, H, W] to YuNet's outputs by name


@dataclass(frozen=True, eq=False)
class Face:
    """One face, in photo coordinates.

    box: [4], x0, y0, x1, y1; it may reach outside the photo.
    score: 0 to 1.
    points: [5, 2], eyes, nose, mouth corners, the viewer's left first when the face is upright.
    """

    box: np.ndarray
    score: float
    points: np.ndarray


@dataclass(frozen=True, eq=False)
class _Found(Face):
    seen: float  # side of the box in network pixels
    at: int  # longer side of the network's picture


def find_faces(
    photo: Image.Image, model: Path | None = None, min_score: float = MIN_SCORE, exact: bool = False
) -> list[Face]:
    """Every face of a photo, largest first, each once.

    Looks at the photo at SIDES as needed, at its three other quarter turns when it finds nothing, and then at
    each face alone, turned upright: YuNet finds tilted faces but misplaces their points.
    Args:
        photo: RGB.
        model: YuNet as ONNX; None takes the one that ships.
        min_score: 0 to 1; lower finds more, and more that is none.
        exact: compute in float64, so that the numbers are the same on every machine; 8 times slower.
    Returns: an empty list where there is no face.
    Raises: ModelError when the model is missing or is not YuNet.
    """
    net, photo = _network(_model_path(model), exact), rgb(photo)
    found = _search(net, photo, min_score)
    faces = [face for one in found if (face := _second_look(net, photo, one, min_score))]
    keep = nms(np.array([f.box for f in faces]).reshape(-1, 4), [f.score for f in faces])
    return sorted((faces[i] for i in keep), key=lambda face: -side(face.points))


def select_faces(faces: Sequence[Face], which: str | int = "all") -> list[Face]:
    """all faces, the largest one, or the N largest; faces in the order of find_faces.

    Raises: ValueError for anything else.
    """
    if which == "all":
        return list(faces)
    count = 1 if which == "largest" else which
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"faces must be 'all', 'largest' or a number from 1 up, not {which!r}")
    return sorted(faces, key=lambda face: -side(face.points))[:count]


def nms(boxes: np.ndarray, scores: Sequence[float], overlap: float = 0.3, inside: float = 0.7) -> list[int]:
    """Non-maximum suppression: indices of the boxes to keep, best score first.

    Args:
        boxes: [N, 4], x0, y0, x1, y1.
        overlap: a box goes when it shares more than this part of the union with a better one,
        inside: or more than this part of the smaller of the two.
    """
    areas = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)
    keep: list[int] = []
    for i in np.argsort(-np.asarray(scores, np.float64), kind="stable"):
        if keep:
            low = np.maximum(boxes[i, :2], boxes[keep, :2])
            high = np.minimum(boxes[i, 2:], boxes[keep, 2:])
            shared = np.prod(np.maximum(high - low, 0), axis=1)
            union = areas[i] + areas[keep] - shared
            smaller = np.minimum(areas[i], areas[keep])
            if (shared > overlap * union).any() or (shared > inside * smaller).any():
                continue
        keep.append(int(i))
    return keep


def _model_path(model: Path | None) -> Path:
    path = pretrained_file(MODEL) if model is None else Path(model)
    if path is None:
        raise ModelError(f"the face detector {MODEL} is missing; put it into pretrained/ or install again")
    if not path.is_file():
        raise ModelError(f"the face detector {shown(path)} does not exist; leave it out to use {MODEL}")
    return path


@lru_cache(maxsize=2)
def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # 3 ms at 320 px; threads gain nothing
    options.log_severity_level = 3
    try:
        net = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no public base class
        raise ModelError(
            f"{shown(path)} is not an ONNX model ({type(error).__name__}); get it again"
        ) from None
    wanted = {f"{name}_{stride}" for name in ("cls", "obj", "bbox", "kps") for stride in STRIDES}
    if len(net.get_inputs()) != 1 or {output.name for output in net.get_outputs()} != wanted:
        raise ModelError(f"{shown(path)} is an ONNX model but not YuNet; use {MODEL}")
    return net


def _network(path: Path, exact: bool) -> Net:
    session = _session(path)  # also refuses what is not YuNet
    if exact:
        return load_yunet(path)
    names = [output.name for output in session.get_outputs()]
    first = session.get_inputs()[0].name
    return lambda picture: dict(zip(names, session.run(names, {first: picture}), strict=True))


def _search(net: Net, photo: Image.Image, min_score: float) -> list[_Found]:
    """Faces of the upright photo, or else of its quarter turns, without duplicates."""
    pixels = np.asarray(photo)
    seen: list[tuple[int, np.ndarray]] = []
    found: list[_Found] = []
    for at in _sides(photo.size):
        small = shrink(pixels, at)
        seen.append((at, small))
        now = _detect(net, small, photo.size, at, min_score)
        found += now
        if at >= SIDES[1] and now and min(one.seen for one in now) >= SMALL:
            break
    if not found:
        for at, small in seen[:2]:
            for turns in (1, 3, 2):
                found += _detect(net, small, photo.size, at, min_score, turns)
    return _merge(found)


def _sides(extent: tuple[int, int]) -> Iterator[int]:
    yield SIDES[0]
    for smaller, at in pairwise(SIDES):
        if max(extent) > smaller:
            yield at


def _merge(found: list[_Found]) -> list[_Found]:
    """One result a face: of the smallest picture that shows it well, else the one with the best score."""

    def rank(one: _Found) -> float:
        well = one.seen >= WELL[0] and one.score >= WELL[1]
        return one.score + (10.0 - SIDES.index(one.at) if well else 0.0)

    return [found[i] for i in nms(np.array([f.box for f in found]).reshape(-1, 4), [*map(rank, found)])]


def _second_look(net: Net, photo: Image.Image, first: _Found, min_score: float) -> Face | None:
    """Look at one face alone, turned by its own roll until it is upright; None if it is no face after all.

    Keeps the points of the first look unless the face turns out to be tilted more than those say.
    """
    looks: list[tuple[float, Face]] = []
    start = roll(first.points)
    for turn in (0.0, 90.0, 180.0, 270.0):
        angle = start + turn
        left = 90.0
        for _ in range(4):
            look = _look(net, photo, first.box, angle, min_score)
            if look is None:
                break
            left = _degrees(roll(look.points) - angle)
            looks.append((look.score - abs(left) / 200.0, look))
            if abs(left) < 5.0:
                break
            angle += left
        if abs(left) < 5.0 and looks[-1][1].score > 0.91:
            break
    if not looks:
        return first if first.score >= 0.8 else None
    best = max(looks, key=lambda look: look[0])[1]
    if first.score >= 0.9 and abs(_degrees(roll(best.points) - start)) <= 8.0:
        return Face(first.box, max(first.score, best.score), first.points)
    return best


def _degrees(angle: float) -> float:
    return (angle + 180.0) % 360.0 - 180.0


def _look(net: Net, photo: Image.Image, box: np.ndarray, angle: float, min_score: float) -> Face | None:
    """The face in the middle of a square patch of 3.2 box sides, turned back by angle degrees."""
    size = SIDES[0]
    centre, scale = (box[:2] + box[2:]) / 2.0, 3.2 * float((box[2:] - box[:2]).max()) / size
    turn = math.radians(angle)
    linear = scale * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    matrix = np.column_stack([linear, centre - linear @ np.full(2, size / 2)])
    turned = np.asarray(warp(photo, matrix, size, Image.Resampling.BILINEAR, mirror=False))
    patch = np.ascontiguousarray(turned.transpose(2, 0, 1), np.float32)
    found = _detect(net, patch, (size, size), size, min_score)
    near = [one for one in found if np.abs((one.box[:2] + one.box[2:]) / 2 - size / 2).max() < size / 6]
    if not near:
        return None
    best = max(near, key=lambda one: one.score)
    x0, y0, x1, y1 = best.box
    corners = move(matrix, np.array([[x0, y0], [x1, y0], [x0, y1], [x1, y1]]))
    box = np.concatenate([corners.min(0), corners.max(0)])
    return Face(_snap(box), best.score, _snap(move(matrix, best.points)))


def _detect(
    net: Net,
    small: np.ndarray,
    extent: tuple[int, int],
    at: int,
    min_score: float,
    turns: int = 0,
) -> list[_Found]:
    """One run of the network on a shrunk photo, turned left by so many quarters; in photo coordinates.

    Args:
        small: float32 RGB [3, h, w], 0..255.
        extent: width and height of the photo it stands for.
    """
    _, height, width = small.shape
    scale = np.array([extent[0] / width, extent[1] / height])
    turned = np.rot90(small, turns, axes=(1, 2))
    pad = [(0, 0), (0, -turned.shape[1] % 32), (0, -turned.shape[2] % 32)]
    picture = np.ascontiguousarray(np.pad(turned, pad)[None, ::-1])  # RGB to BGR
    out = net(picture)
    found = []
    for stride in STRIDES:
        columns = picture.shape[3] // stride
        cls, obj = (out[f"{name}_{stride}"].reshape(-1).clip(0, 1) for name in ("cls", "obj"))
        scores = np.sqrt(cls * obj)
        hits = np.nonzero(scores > min_score)[0]
        cells = np.stack([hits % columns, hits // columns], axis=1).astype(np.float32)
        boxes = out[f"bbox_{stride}"].reshape(-1, 4)[hits]
        points = (cells[:, None] + out[f"kps_{stride}"].reshape(-1, 5, 2)[hits]) * stride
        middles, sizes = (cells + boxes[:, :2]) * stride, np.exp(boxes[:, 2:]) * stride
        for middle, size, five, score in zip(middles, sizes, points, scores[hits], strict=True):
            ends = _turn_back(np.stack([middle - size / 2, middle + size / 2]), turns, width, height) * scale
            box = np.concatenate([ends.min(0), ends.max(0)])
            five = _turn_back(five.astype(np.float64), turns, width, height) * scale
            box, five = _snap(box), _snap(five)
            if np.isfinite(five).all() and np.ptp(five, axis=0).max() > 0:
                found.append(_Found(box, float(score), five, float(size.max()), at))
    keep = nms(np.array([f.box for f in found]).reshape(-1, 4), [f.score for f in found])
    return [found[i] for i in keep]


def _snap(coordinates: np.ndarray) -> np.ndarray:
    return np.rint(np.asarray(coordinates, np.float64) * GRID) / GRID


def _turn_back(points: np.ndarray, turns: int, width: int, height: int) -> np.ndarray:
    """Points of a picture that was turned left by so many quarters, in the picture of width x height."""
    x, y = points[:, 0], points[:, 1]
    turned = ((x, y), (width - y, x), (width - x, height - y), (y, height - x))[turns]
    return np.stack(turned, axis=1)


def shrink(pixels: np.ndarray, longer: int) -> np.ndarray:
    """uint8 [H, W, 3] as float32 [3, h, w], whole numbers 0..255, the longer side brought to so many pixels.

    Smaller by exact area averages (a pixel cut by an edge counts by its parts), larger bilinearly. The points
    that YuNet gives move by several pixels with the way of resizing; the training crops were made with this.
    """
    old_height, old_width, _ = pixels.shape
    scale = longer / max(old_height, old_width)
    height, width = max(1, round(old_height * scale)), max(1, round(old_width * scale))
    if scale >= 1:
        resized = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
        return np.ascontiguousarray(np.asarray(resized).transpose(2, 0, 1), np.float32)
    # Weights are whole numbers, so every sum is exact, whatever its order and the machine.
    first = np.float32 if 255 * old_height < 2**24 else np.float64
    rows = _sums(pixels.reshape(old_height, -1), height, first).reshape(height, old_width, 3)
    columns = _sums(rows.transpose(1, 2, 0).reshape(old_width, -1), width, np.float64)
    small = np.rint(columns / (old_height * old_width)).astype(np.float32)
    return np.ascontiguousarray(small.reshape(width, 3, height).transpose(1, 2, 0))


def _sums(rows: np.ndarray, count: int, dtype: Any) -> np.ndarray:
    """Rows [N, M] added up to [count, M], count <= N, by area times N: a few at a time as matrix products."""
    n, block = len(rows), 16
    out = np.empty((count, rows.shape[1]), dtype)
    for first in range(0, count, block):
        cell = np.arange(first, min(count, first + block))[:, None]
        low, high = first * n // count, -(-(int(cell[-1, 0]) + 1) * n // count)
        pixel = np.arange(low, high)
        share = np.minimum((pixel + 1) * count, (cell + 1) * n) - np.maximum(pixel * count, cell * n)
        np.matmul(share.clip(0).astype(dtype), rows[low:high].astype(dtype), out=out[first : first + block])
    return out
