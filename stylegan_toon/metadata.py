"""What a PNG says about how it was made: one JSON in the text chunk KEY, described in docs/replay.md."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from stylegan_toon import __version__
from stylegan_toon.errors import InputError, shown

KEY = "stylegan-toon"


def chunks(about: Mapping[str, Any]) -> dict[str, str]:
    """The text chunks of a picture, for images.save_png: about with the program's version, and Software."""
    text = json.dumps({"version": __version__, **about}, sort_keys=True, allow_nan=False)
    return {"Software": f"stylegan-toon {__version__}", KEY: text}


def read(path: str | Path) -> dict[str, Any]:
    """What a PNG says about how it was made.

    Raises: InputError, one line, for what is no PNG, was made by another program or without metadata.
    """
    name = shown(path)
    try:
        with Image.open(path, formats=("PNG",)) as picture:
            text = picture.info.get(KEY)
    except FileNotFoundError:
        raise InputError(f"{name} does not exist; check the spelling") from None
    except IsADirectoryError:
        raise InputError(f"{name} is a folder; name one PNG in it") from None
    except Exception:  # Pillow meets hostile bytes with every kind of exception
        raise InputError(f"{name} is no PNG that can be read; name one that this program wrote") from None
    if not isinstance(text, str):
        raise InputError(f"{name} does not say how it was made; name a PNG that this program wrote") from None
    try:
        about = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        about = None
    if not isinstance(about, dict):
        raise InputError(f"{name}: its note on how it was made is damaged; take the original file")
    return about


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def told(path: str | Path) -> str:
    """A path as a picture may tell it: relative if it lies below the working folder, else its name alone."""
    path = Path(path)
    try:
        inside = path.absolute().relative_to(Path.cwd())
    except ValueError:
        return path.name
    return path.name if ".." in inside.parts else inside.as_posix()


def sha256(path: str | Path) -> str:
    """SHA-256 of a file, in hex. Raises: OSError."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_entry(path: str | Path, name: str | Path | None = None) -> dict[str, Any]:
    """A file as a picture tells of it: how it was asked for, what it is called, and its digest."""
    return {"name": told(name or path), "file": Path(path).name, "sha256": sha256(path)}


def model_entry(files: Sequence[Path], name: str | Path) -> dict[str, Any]:
    """file_entry of a model; a second file is its parent's and stands in it as "parent"."""
    entry = file_entry(files[0], name)
    return entry | {"parent": file_entry(files[1])} if files[1:] else entry
