"""Where eyes, nose and mouth are in photos of faces: boxes round YuNet's five points."""

import numpy as np
from PIL import Image

from stylegan_toon.faces.detect import find_faces

# How far each box reaches beyond its points, left and right, up, and down, in distances between the eyes. By
# eye on portraits: brows, nostrils and lips are inside, and no box reaches into another by much.
REGIONS = {
    "eyes": ((0, 1), 0.45, 0.45, 0.25),
    "nose": ((2,), 0.35, 0.45, 0.15),
    "mouth": ((3, 4), 0.25, 0.25, 0.35),
}


def face_boxes(points: np.ndarray) -> list[tuple[float, float, float, float]]:
    """x0, y0, x1, y1 of eyes, nose and mouth.

    points: [5, 2], eyes, nose, mouth corners, as Face has them; a tilted face gives larger upright boxes.
    """
    unit = float(np.linalg.norm(points[1] - points[0]))
    boxes = []
    for places, beside, up, down in REGIONS.values():
        low, high = points[list(places)].min(0), points[list(places)].max(0)
        boxes.append(
            (low[0] - beside * unit, low[1] - up * unit, high[0] + beside * unit, high[1] + down * unit)
        )
    return [(float(a), float(b), float(c), float(d)) for a, b, c, d in boxes]


def region_masks(photo: Image.Image) -> np.ndarray:
    """[3, H, W] uint8: 255 in the eyes', nose's and mouth's box of the largest face; without one, 0."""
    out = np.zeros((3, photo.height, photo.width), np.uint8)
    if faces := find_faces(photo):
        for mask, (x0, y0, x1, y1) in zip(out, face_boxes(faces[0].points), strict=True):
            rows, columns = (slice(max(0, round(a)), max(0, round(b))) for a, b in ((y0, y1), (x0, x1)))
            mask[rows, columns] = 255
    return out
