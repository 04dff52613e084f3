"""The Quick start of the README is two lines, and .ci/run runs the second."""

import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def quick_start() -> list[str]:
    """The lines of the first code block of the section."""
    section = re.split(r"^## ", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    body = next(part for part in section if part.startswith("Quick start\n"))
    return body.split("```")[1].split("\n", 1)[1].splitlines()


def test_the_quick_start_is_two_shell_commands() -> None:
    lines = quick_start()
    assert len(lines) == 2
    for line in lines:
        assert line.strip() == line != ""
        assert not line.endswith("\\")
        assert subprocess.run(["bash", "-n", "-c", line]).returncode == 0
    assert "toonify samples/nasa_astronaut.png" in lines[0]
    assert lines[1].endswith("-m pytest -n auto --dist worksteal")


def test_ci_runs_the_second_line() -> None:
    script = (ROOT / ".ci/run").read_text()
    extract = next(line for line in script.splitlines() if line.startswith("command="))
    show = ["bash", "-c", f'{extract}; printf %s "$command"']
    done = subprocess.run(show, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == quick_start()[1]
    assert 'bash -euo pipefail -c "$command"' in script


def test_the_tested_versions_cover_every_requirement() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        wanted += extra
    pins = re.findall(r"^([\w.-]+)==([\w.]+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    names = {name.lower() for name, _ in pins}
    assert {re.split(r"[<>=!~\[; ]", line)[0].lower() for line in wanted} <= names
