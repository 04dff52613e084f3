"""Which detector finds the faces: the one that ships, or insightface's."""

from collections.abc import Callable
from pathlib import Path

from stylegan_toon.errors import UsageError
from stylegan_toon.faces import detect, insightface
from stylegan_toon.faces.detect import Face

DETECTORS = ("yunet", "insightface")


def choose_detector(
    name: str = "yunet",
    root: str | Path | None = None,
    device: str = "cpu",
    report: Callable[[str], None] = lambda text: None,
) -> Callable[..., list[Face]]:
    """A function that finds faces: (photo, min_score=its own) -> list[Face], largest first.

    Args:
        name: one of DETECTORS.
        root: the folder of insightface's models, as in faces.insightface.roots.
    Raises: UsageError for another name, MissingPartError (exit 5) when insightface or its models are missing.
    """
    if name not in DETECTORS:
        raise UsageError(f"detector {name!r} is not known; use one of {', '.join(DETECTORS)}")
    return detect.find_faces if name == "yunet" else insightface.detector(root, device, report)
