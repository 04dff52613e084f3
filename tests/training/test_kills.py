"""A slice of benchmarks/kills.py: runs that are killed end as one that was not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_runs_that_were_killed_inside_and_outside_a_save_end_with_the_same_digests():
    command = [sys.executable, str(ROOT / "benchmarks" / "kills.py"), "--kills", "2", "--inside", "1"]
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, "--steps", "3"], capture_output=True, text=True, env=env, timeout=600)
    assert done.returncode == 0, done.stderr + done.stdout
    report = json.loads(done.stdout)
    assert (report["kills"], report["inside_save"]) == (2, 1)
    assert report["equal"] == report["runs"] > 0
