"""Runs the command line in an empty folder: as a process, or in this one where torch is needed."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stylegan_toon.cli import cli
from stylegan_toon.cli.common import ENVIRONMENT
from stylegan_toon.cli.common import run as run_here

ROOT = Path(__file__).parents[2]
Toon = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def toon(tmp_path: Path) -> Toon:
    """toon("doctor", "--json") runs the command; script= runs a file of tools/ instead."""

    def run(*args: str, script: str | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        ours = ("STYLEGAN_TOON", "TOON_")
        clean = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
        env = clean | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "100"}
        env |= {"STYLEGAN_TOON_MODELS": str(tmp_path / "models")} | variables
        start = [str(ROOT / "tools" / script)] if script else ["-m", "stylegan_toon.cli"]
        command = [sys.executable, *start, *args]
        return subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path, timeout=120)

    return run


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Toon:
    """As toon, without the seconds that a new process takes to import torch."""

    def run(*args: str, **variables: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.chdir(tmp_path)
        for key, value in variables.items():
            monkeypatch.setenv(key, value)
        capsys.readouterr()
        code = run_here(cli, args, "stylegan-toon", ENVIRONMENT)
        return subprocess.CompletedProcess(args, code, *capsys.readouterr())

    return run
