"""Where the files are that ship with the project, and those that were added beside them."""

import os
import sys
from pathlib import Path

HOME = "STYLEGAN_TOON_HOME"  # the environment variable: a folder of the user's own, with models/ in it
MODELS = "STYLEGAN_TOON_MODELS"  # another one: the folder that fetched models go to


def _shipped() -> list[Path]:
    package = Path(__file__).resolve().parent
    checkout = package.parent / "pretrained"
    # Beside an installed package stands site-packages, where a folder pretrained/ would be somebody else's.
    ours = (package.parent / "pyproject.toml").is_file()
    return [folder for folder in ([checkout] if ours else []) + [package / "pretrained"] if folder.is_dir()]


def pretrained_dir() -> Path | None:
    """The folder of the models that ship: pretrained/ of a checkout, else that of the installed package."""
    return next(iter(_shipped()), None)


def models_dir() -> Path:
    """Where fetched models go; it need not exist.

    $STYLEGAN_TOON_MODELS, else $STYLEGAN_TOON_HOME/models, else stylegan-toon/models in the user's cache
    folder: $XDG_CACHE_HOME or ~/.cache, ~/Library/Caches on macOS, %LOCALAPPDATA% on Windows.
    """
    if folder := os.environ.get(MODELS):
        return Path(folder).expanduser()
    if home := os.environ.get(HOME):
        return Path(home) / "models"
    usual = {"darwin": "Library/Caches", "win32": "AppData/Local"}.get(sys.platform, ".cache")
    named = os.environ.get({"darwin": "", "win32": "LOCALAPPDATA"}.get(sys.platform, "XDG_CACHE_HOME"))
    return Path(named or Path.home() / usual) / "stylegan-toon" / "models"


def pretrained_dirs() -> list[Path]:
    """Where models are looked for: $STYLEGAN_TOON_HOME/models, then models_dir(), then those that ship."""
    own = [Path(home) / "models"] if (home := os.environ.get(HOME)) else []
    return [folder for folder in dict.fromkeys([*own, models_dir()]) if folder.is_dir()] + _shipped()


def pretrained_file(name: str) -> Path | None:
    """The first file called name in pretrained_dirs(), or None; name is a plain file name, not a path."""
    if Path(name).name != name:
        return None
    return next((path for folder in pretrained_dirs() if (path := folder / name).is_file()), None)


def sample_file(name: str) -> Path:
    """The pictures called name that ship with the package, as a ZIP."""
    return Path(__file__).resolve().parent / "samples" / f"{name}.zip"
