"""Runs the command line as a person does: a process of its own, in an empty folder."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
Toon = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def toon(tmp_path: Path) -> Toon:
    """toon("doctor", "--json") runs the command; script= runs a file of tools/ instead."""

    def run(*args: str, script: str | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("STYLEGAN_TOON", "TOON_"))}
        env = clean | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "100"} | variables
        start = [str(ROOT / "tools" / script)] if script else ["-m", "stylegan_toon.cli"]
        command = [sys.executable, *start, *args]
        return subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path, timeout=120)

    return run
