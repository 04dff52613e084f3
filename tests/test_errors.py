"""The table of exit codes is whole, and the documents repeat it exactly."""

import re
from pathlib import Path

import pytest

from stylegan_toon import errors

ROOT = Path(__file__).parents[1]


def kinds() -> list[type[errors.ToonError]]:
    return errors.ToonError.__subclasses__()


def test_every_error_has_a_code_of_its_own_in_the_table() -> None:
    codes = [kind.exit_code for kind in kinds()]
    assert sorted([0, 1, *codes]) == sorted(errors.EXIT_CODES)


def test_every_error_says_what_it_is() -> None:
    assert all(kind.__doc__ for kind in kinds())


def test_the_readme_repeats_the_table() -> None:
    rows = re.findall(r"^\| (\d+) \| (.+?) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert {int(code): text for code, text in rows} == errors.EXIT_CODES


@pytest.mark.parametrize("code", errors.EXIT_CODES)
def test_the_document_explains_every_code(code: int) -> None:
    assert f"\n| {code} | " in (ROOT / "docs/exit-codes.md").read_text()
