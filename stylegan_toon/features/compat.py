"""The one place that copes with broken installs of others.

`import clip` fails where setuptools has no pkg_resources (82 and later), without torchvision, and where
torchvision was built for another torch. What is wanted of clip-anytorch stands in files that need neither,
so these are imported one by one, beside the package.
"""

import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from stylegan_toon.errors import MissingPartError

INSTALL = "pip install --no-deps clip-anytorch && pip install ftfy regex"


def clip_module(name: str) -> ModuleType:
    """clip/NAME.py of clip-anytorch, without what clip/__init__.py imports.

    Raises: MissingPartError (exit 5) where it, or what it needs itself, is not installed.
    """
    full = f"_clip_anytorch_{name}"  # not clip.NAME, whose parent was not imported
    if full in sys.modules:
        return sys.modules[full]
    package = importlib.machinery.PathFinder.find_spec("clip")
    places = list(package.submodule_search_locations or ()) if package else []
    file = next((file for place in places if (file := Path(place) / f"{name}.py").is_file()), None)
    spec = importlib.util.spec_from_file_location(full, file) if file else None
    if spec is None or spec.loader is None:
        raise MissingPartError(f"texts for this CLIP need clip-anytorch, which is not here; {INSTALL}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[full] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[full]
        why = f"{type(error).__name__}: {error}"[:60]
        raise MissingPartError(f"clip-anytorch is here but does not load ({why}); {INSTALL}") from None
    return module
