"""Packages and data files; everything else stands in pyproject.toml.

pretrained/ is installed inside the package, so that a wheel finds the models as a checkout does.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["stylegan_toon*", "cuda_ops*"]), "stylegan_toon.pretrained"],
    package_dir={"stylegan_toon.pretrained": "pretrained"},
    package_data={
        "cuda_ops": ["csrc/*"],
        "stylegan_toon": ["samples/*.zip", "samples/README.md"],
        "stylegan_toon.pretrained": [
            "*.safetensors",
            "edits/*.safetensors",
            "*.onnx",
            "*.md",
            "*.txt",
            "LICENSE*",
            "*.png",
        ],
    },
)
