"""What is in use here, and what is not and why: device, kernels, models, optional parts, versions.

Nothing that is absent is an error; the report says so in words.
"""

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import PIL
import torch

import cuda_ops
import stylegan_toon
from stylegan_toon.checkpoint.format import load
from stylegan_toon.device import choose_device, training_dtype
from stylegan_toon.errors import ToonError
from stylegan_toon.faces import insightface
from stylegan_toon.paths import pretrained_dirs
from stylegan_toon.pipelines.models import UPSCALER, pretrained

TORCH_FLOOR = (2, 10)
CPU_WHEELS = "--index-url https://download.pytorch.org/whl/cpu"

# part -> (distribution, the extra that installs it, what it is for)
PARTS = {
    "clip": ("clip-anytorch", "clip", "editing by text"),
    "insightface": ("insightface", "face", "a second face detector and identity scores"),
    "lpips": ("lpips", "metrics", "perceptual distance"),
    "torchvision": ("torchvision", "clip", "needed by clip and lpips"),
    "av": ("av", "video", "walks as MP4"),
}


def examine(device: str = "auto") -> dict[str, Any]:
    """Everything the doctor knows, as JSON values.

    Raises: MissingPartError (exit 5) when a device is asked for by name and is not there.
    """
    chosen = choose_device(device)
    return {
        "versions": _versions(),
        "device": {
            "chosen": str(chosen),
            "name": torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else platform.machine(),
            "training_dtype": str(training_dtype(chosen)).removeprefix("torch."),
            "threads": torch.get_num_threads(),
            "processors": os.cpu_count(),
        },
        "kernels": _kernels(chosen),
        "models": [_model(path) for folder in pretrained_dirs() for path in _model_files(folder)],
        "upscaler": _text(pretrained("upscaler").get(UPSCALER)),
        "insightface_models": {
            "detection": _text(insightface.model_file("detection")),
            "recognition": _text(insightface.model_file("recognition")),
            "provider": insightface.providers(chosen.type)[0],
            "looked_in": [str(root) for root in insightface.roots()],
        },
        "parts": {name: _part(*about) for name, about in PARTS.items()},
    }


def as_text(report: dict[str, Any]) -> list[str]:
    """The report as aligned lines."""
    versions, device = report["versions"], report["device"]
    lines = [f"{name:<14}{version}" for name, version in versions.items() if name != "torch_too_old"]
    if versions["torch_too_old"]:
        floor = ".".join(map(str, TORCH_FLOOR))
        lines.append(f"{'':<14}torch {versions['torch']} is too old; pip install 'torch>={floor}'")
    lines.append(f"{'device':<14}{device['chosen']} ({device['name']}), trains in {device['training_dtype']}")
    lines.append(f"{'threads':<14}{device['threads']} of {device['processors']} processors")
    lines.append(f"{'kernels':<14}{_kernel_line(report['kernels'])}")
    lines += [f"{'model':<14}{_model_line(model)}" for model in report["models"]]
    if not report["models"]:
        lines.append(f"{'model':<14}none found; pretrained/ is empty or was not installed")
    plain = f"{UPSCALER} is not here: faces larger than the model are enlarged plainly"
    lines.append(f"{'upscaler':<14}{report['upscaler'] or plain}")
    lines += [f"{name:<14}{_part_line(part)}" for name, part in report["parts"].items()]
    found = report["insightface_models"]
    for task in ("detection", "recognition"):
        where = f"{found[task]} on {found['provider']}" if found[task] else "not here; see `models list`"
        lines.append(f"{'insightface':<14}{task} model: {where}")
    return lines


def _versions() -> dict[str, Any]:
    numbers = torch.__version__.split("+")[0].split(".")[:2]
    return {
        "stylegan-toon": stylegan_toon.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "pillow": PIL.__version__,
        "torch_too_old": tuple(int(number) for number in numbers) < TORCH_FLOOR,
    }


def _kernels(device: torch.device) -> dict[str, Any]:
    """Which implementation of cuda_ops runs on device; where it is kernels, this builds them."""
    ninja = shutil.which("ninja") or _version("ninja")
    facts = {"TOON_OPS": os.environ.get("TOON_OPS", "auto"), "torch_cuda": torch.version.cuda}
    facts |= {"nvcc": shutil.which("nvcc"), "ninja": ninja}
    why = cuda_ops.unavailable_reason(device.type)
    return {"in_use": "reference" if why else device.type, "why": why, **facts}


def _kernel_line(kernels: dict[str, Any]) -> str:
    parts = {"CUDA of torch": kernels["torch_cuda"], "nvcc": kernels["nvcc"], "ninja": kernels["ninja"]}
    found = ", ".join(f"{name}: {value or 'no'}" for name, value in parts.items())
    name = {"cuda": "CUDA", "cpu": "C++"}.get(kernels["in_use"])
    line = f"{name} kernels, built" if name else f"plain PyTorch; {kernels['why']}"
    return f"{line} ({found}, TOON_OPS={kernels['TOON_OPS']})"


def _model_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in (".safetensors", ".onnx"))


def _model(path: Path) -> dict[str, Any]:
    size = path.stat().st_size
    about: dict[str, Any] = {"name": path.stem, "file": str(path), "bytes": size, "kind": "onnx"}
    if path.suffix == ".onnx":
        return about | {"ok": size > 0, "why": None if size else "the file is empty"}
    try:
        return about | {"kind": load(path).kind, "ok": True, "why": None}
    except ToonError as error:
        return about | {"kind": None, "ok": False, "why": str(error)}


def _model_line(model: dict[str, Any]) -> str:
    size = f"{model['bytes'] / 2**20:.1f} MiB"
    if not model["ok"]:
        return f"{model['name']}, {size}, broken: {model['why']}"
    return f"{model['name']}, {model['kind']}, {size}" + ("" if model["kind"] == "onnx" else ", digest ok")


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _part(distribution: str, extra: str, use: str) -> dict[str, Any]:
    """Whether an optional part is there and works; else why not, with the line that installs it.

    The line names the torch that is installed, as pip would otherwise replace it.
    """
    version, torch_version = _version(distribution), torch.__version__.split("+")[0]
    install = f"pip install 'stylegan-toon[{extra}]' torch=={torch_version}"
    part = {"version": version, "usable": version is not None, "why": None, "install": install, "use": use}
    if version is None:
        return part | {"why": f"not installed; {install}"}
    if distribution == "torchvision" and (why := _torchvision_problem()):
        return part | {"usable": False, "why": why}
    return part


def _part_line(part: dict[str, Any]) -> str:
    state = ", not usable: ".join(text for text in (part["version"], part["why"]) if text)
    return f"{state} ({part['use']})"


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _torchvision_problem() -> str | None:
    """Import torchvision in a process of its own, as a failed import leaves torch half-patched."""
    command = [sys.executable, "-c", "import torchvision"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"its import could not be tried ({type(error).__name__})"
    if done.returncode == 0:
        return None
    last = done.stderr.strip().rsplit("\n", 1)[-1]
    if "torchvision::nms" in last:
        pair = f"pip install --force-reinstall --no-deps torchvision {CPU_WHEELS}"
        return f"built for another torch, as a CUDA build beside a CPU torch is; {pair}"
    return f"its import fails: {last[:120]}"
