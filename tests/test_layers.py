"""Imports point upwards only, as in docs/layout.md; this also keeps cycles between rooms out."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROWS = (
    ("cuda_ops",),
    (
        "errors",
        "config",
        "device",
        "files",
        "exact",
        "decoding",
        "images",
        "archives",
        "metadata",
        "onnx_file",
        "paths",
        "downloads",
    ),
    ("checkpoint", "data", "faces", "nn", "losses"),
    ("stylegan2", "features"),
    ("metrics", "training"),
    ("methods",),
    ("pipelines",),
    ("cli", "studio"),
    ("tools",),
)
ROW = {room: number for number, rooms in enumerate(ROWS) for room in rooms}
BASE = ROWS[1]  # single files that may use each other
EVERYWHERE = {"torch", "numpy", "PIL", "tqdm"}
ONLY_IN = {
    "safetensors": {"checkpoint"},
    "pillow_heif": {"decoding"},
    "onnxruntime": {"faces", "pipelines"},
    **{key: {"features"} for key in ("clip", "lpips", "torchvision")},
    "insightface": {"faces"},
    **{key: {"pipelines"} for key in ("av", "ray")},
    "onnx": {"pipelines", "tools"},  # tools: scripts that made a file of pretrained/
    "click": {"cli"},
    "gradio": {"studio"},
}
FILES = sorted(
    path for folder in ("cuda_ops", "stylegan_toon", "tools") for path in (ROOT / folder).rglob("*.py")
)
SCRIPTS = {path.stem for path in FILES if path.parent.name == "tools"}


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[1] if parts[0] == "stylegan_toon" else parts[0]


def imported(tree: ast.AST) -> Iterator[str]:
    """The full dotted names of all that is imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def problem(room: str, name: str) -> str | None:
    """Why a module of room must not import name, or None."""
    first, *rest = name.split(".")
    if room == "tools" and first in SCRIPTS:
        return None
    if first == "stylegan_toon" and (not rest or rest[0] not in ROW):
        return None  # __version__, load_generator: the package itself
    target = rest[0] if first == "stylegan_toon" else first
    if target in ROW:
        own = target == room or (target in BASE and room in BASE)
        return None if own or ROW[target] < ROW[room] else f"{room} is not below {target}"
    if target in sys.stdlib_module_names or (room == "cuda_ops" and target == "torch"):
        return None
    if target in EVERYWHERE and room != "cuda_ops":
        return None
    return None if room in ONLY_IN.get(target, ()) else f"{target} does not belong into {room}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_upwards(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":  # stylegan_toon/__init__.py may point down to any row
        return
    assert room in ROW, f"{path} is in no row of docs/layout.md"
    found = [why for name in imported(ast.parse(path.read_text())) if (why := problem(room, name))]
    assert not found, found


COMMANDS = sorted((ROOT / "stylegan_toon/cli").glob("*.py"))


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.name)
def test_a_command_imports_nothing_heavy_before_it_is_called(path: Path) -> None:
    tree = ast.parse(path.read_text())
    head = ast.Module([node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], [])
    for name in imported(head):
        first, *rest = name.split(".")
        light = first in sys.stdlib_module_names or first == "click"
        assert light or rest[0] in ("cli", "errors", "__version__"), name


def test_the_checker_finds_arrows_that_point_down_and_strangers() -> None:
    assert problem("nn", "stylegan_toon.stylegan2.generator.Generator")
    assert problem("losses", "stylegan_toon.nn.equalized.EqualLinear")
    assert problem("cuda_ops", "stylegan_toon.errors.ToonError")
    assert problem("pipelines", "click")
    assert problem("training", "tensorboard")
    assert problem("stylegan2", "stylegan_toon.nn.equalized.EqualLinear") is None
    assert problem("device", "stylegan_toon.errors.ToonError") is None


def test_no_script_shadows_a_package() -> None:
    assert not SCRIPTS & (set(ONLY_IN) | EVERYWHERE | sys.stdlib_module_names)
