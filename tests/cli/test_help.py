"""Help is quick, whole and free of torch; every command has the five common options."""

import os
import statistics
import subprocess
import sys
from pathlib import Path

import click
import pytest

from stylegan_toon import __version__, device
from stylegan_toon.cli import COMMANDS, common, load
from stylegan_toon.methods.invert import STEPS

ROOT = Path(__file__).parents[2]
FIVE = {"--device", "--seed", "--json", "--quiet", "--debug"}


def test_help_answers_in_under_four_tenths_of_a_second(toon) -> None:
    """Of processor time: waiting for a busy machine is not the program's."""
    times = []
    for _ in range(3):
        start = os.times()
        assert toon("--help").returncode == 0
        end = os.times()
        times.append(sum(end[2:4]) - sum(start[2:4]))  # of child processes, user and system
    assert statistics.median(times) < 0.4


@pytest.mark.parametrize("args", [["--help"], *([name, "--help"] for name in COMMANDS)], ids=" ".join)
def test_help_imports_no_torch(args: list[str]) -> None:
    code = (
        "import sys\nfrom stylegan_toon.cli import main\n"
        f"sys.argv = ['stylegan-toon', *{args!r}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    code = end.code\n"
        "heavy = {'torch', 'numpy', 'PIL', 'onnxruntime'} & set(sys.modules)\n"
        "sys.exit(code or (f'imported {heavy}' if heavy else 0))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr


def test_help_lists_every_command_with_its_line(toon) -> None:
    shown = toon("--help").stdout
    for name, (_, line) in COMMANDS.items():
        assert f"  {name} " in shown
        assert line in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_the_five_common_options(name: str) -> None:
    command = load(name)
    for one in command.commands.values() if isinstance(command, click.Group) else [command]:
        flags = {flag for param in one.params if isinstance(param, click.Option) for flag in param.opts}
        assert flags >= FIVE


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_every_command_ends_with_examples(name: str, toon) -> None:
    foot = toon(name, "--help").stdout.split("Examples:\n")[1]
    assert f"stylegan-toon {name}" in foot


def test_the_help_of_toonify_names_the_steps_of_refine(toon) -> None:
    shown = " ".join(toon("toonify", "--help").stdout.split())
    _, one, two, three = STEPS
    assert f"0 is the encoder alone, 1 adds {one} steps of optimisation, 2 {two}, 3 {three}." in shown


def test_the_devices_are_those_that_are_known_below() -> None:
    assert common.DEVICES == device.CHOICES


def test_version(toon) -> None:
    assert __version__ in toon("--version").stdout


def test_the_readme_names_every_command() -> None:
    readme = (ROOT / "README.md").read_text()
    assert all(f"| `{name}` |" in readme for name in COMMANDS)


SCRIPTS = sorted(path.name for path in (ROOT / "tools").glob("*.py") if "main(command=" in path.read_text())


def test_the_scripts_are_there() -> None:
    assert {"toonify.py", "finetune.py"} <= set(SCRIPTS)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_in_tools_is_its_command(script: str, toon) -> None:
    done = toon("--help", script=script)
    assert done.returncode == 0, done.stderr
    usage, body = done.stdout.split("\n", 1)
    assert usage.startswith(f"Usage: {ROOT / 'tools' / script} [OPTIONS]")
    assert body == toon(script.removesuffix(".py"), "--help").stdout.split("\n", 1)[1]


def test_a_script_in_tools_reports_errors_like_its_command(toon) -> None:
    done = toon("--blend", "x", script="toonify.py")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: Invalid value for '--blend'")
    assert done.stderr.count("\n") == 1
