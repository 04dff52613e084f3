"""A configuration survives JSON, and a wrong one is refused by the name of its key."""

import json
from dataclasses import dataclass

import pytest

from stylegan_toon.config import changed, from_json, to_json
from stylegan_toon.errors import ModelError, UsageError


@dataclass(frozen=True)
class Config:
    size: int
    channels: tuple[int, ...]
    rate: float = 0.5
    name: str = "plain"
    mirror: bool = True


FULL = Config(8, (4, 2), 0.25, "other", False)


def test_a_configuration_survives_json() -> None:
    assert from_json(Config, json.loads(json.dumps(to_json(FULL)))) == FULL


def test_tuples_are_lists_in_json() -> None:
    assert to_json(FULL)["channels"] == [4, 2]


def test_fields_with_a_default_may_be_left_out() -> None:
    assert from_json(Config, {"size": 8, "channels": [4, 2]}) == Config(8, (4, 2))


def test_a_whole_number_is_a_float() -> None:
    assert from_json(Config, {"size": 8, "channels": [], "rate": 1}).rate == 1


@pytest.mark.parametrize(
    "change, words",
    [
        ({"colour": 1}, "unknown key 'colour'"),
        ({"size": "8"}, "'size' must be int"),
        ({"size": True}, "'size' must be int"),
        ({"size": 8.5}, "'size' must be int"),
        ({"mirror": 1}, "'mirror' must be bool"),
        ({"channels": 4}, "'channels' must be a list"),
        ({"rate": "fast"}, "'rate' must be float"),
        ({"name": None}, "'name' must be str"),
    ],
)
def test_a_wrong_key_is_named(change: dict[str, object], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        from_json(Config, to_json(FULL) | change)


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ModelError, match="'channels' is missing"):
        from_json(Config, {"size": 8})


def test_settings_are_changed_by_what_is_written() -> None:
    texts = {"size": "16", "channels": "1,2,3", "rate": "2e-4", "name": "x=y", "mirror": "true"}
    assert changed(FULL, texts) == Config(16, (1, 2, 3), 2e-4, "x=y", True)
    assert changed(FULL, {}) == FULL


@pytest.mark.parametrize(
    "texts, says",
    [
        ({"colour": "1"}, "no setting 'colour'; known: size channels rate name mirror"),
        ({"size": "1.5"}, "--set size=1.5 is not of type int; the value is now 8"),
        ({"rate": "nan"}, "--set rate=nan is not of type float"),
        ({"channels": "1,x"}, "--set channels=1,x is not of type tuple"),
        ({"mirror": "1"}, "--set mirror=1 is not of type bool"),
    ],
)
def test_what_cannot_be_set_is_named(texts: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError) as error:
        changed(FULL, texts)
    assert says in str(error.value)
