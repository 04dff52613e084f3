"""A configuration survives JSON, and a wrong one is refused by the name of its key."""

import json
from dataclasses import dataclass

import pytest

from stylegan_toon.config import from_json, to_json
from stylegan_toon.errors import ModelError


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
