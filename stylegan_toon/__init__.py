"""stylegan-toon: face photos to cartoons with StyleGAN2. Importing this package imports no torch."""

from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "load_generator", "load_original"]


def __getattr__(name: str) -> Any:
    if name == "load_generator":
        from stylegan_toon.pipelines import models

        return getattr(models, name)
    if name == "load_original":
        from stylegan_toon.pipelines import translate

        return getattr(translate, name)
    raise AttributeError(f"module 'stylegan_toon' has no attribute {name!r}")
