"""Frozen dataclasses to plain JSON values and back; unknown and missing keys are errors that name the key."""

import dataclasses
import math
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from stylegan_toon.errors import ModelError, UsageError

T = TypeVar("T")


def to_json(config: Any) -> dict[str, Any]:
    """The fields of a dataclass as JSON values (tuples become lists)."""
    return {
        field.name: list(value) if isinstance(value := getattr(config, field.name), tuple) else value
        for field in dataclasses.fields(config)
    }


def from_json(cls: type[T], values: Mapping[str, Any]) -> T:
    """Build the dataclass cls from JSON values.

    Lists become tuples where the field is a tuple. Fields with a default may be left out.
    Raises: ModelError naming the first unknown, missing or ill-typed key.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(cls)
    for key in values:
        if key not in fields:
            raise ModelError(f"unknown key {key!r} in the configuration of {cls.__module__}")
    out: dict[str, Any] = {}
    for name, field in fields.items():
        if name not in values:
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                raise ModelError(f"key {name!r} is missing in the configuration of {cls.__module__}")
            continue
        value = values[name]
        if typing.get_origin(hints[name]) is tuple:
            if not isinstance(value, list | tuple):
                raise ModelError(f"key {name!r} must be a list, not {value!r}")
            value = tuple(value)
        elif hints[name] in (int, float, str, bool):
            wanted = (int, float) if hints[name] is float else hints[name]
            if not isinstance(value, wanted) or (isinstance(value, bool) and hints[name] is not bool):
                raise ModelError(f"key {name!r} must be {hints[name].__name__}, not {value!r}")
        out[name] = value
    return cls(**out)


def changed(config: T, texts: Mapping[str, str]) -> T:
    """config with some fields set to what is written in texts, as --set KEY=VALUE gives it.

    Tuples are written as 1,2,3; booleans as true or false.
    Raises: UsageError naming the known fields, or what a field wants; and what the dataclass itself refuses.
    """
    hints = typing.get_type_hints(type(config))
    known = {field.name: hints[field.name] for field in dataclasses.fields(config)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, text in texts.items():
        if key not in known:
            raise UsageError(f"no setting {key[:30]!r}; known: {' '.join(known)}")
        try:
            values[key] = _parsed(text, known[key])
        except ValueError:
            kind = getattr(known[key], "__name__", str(known[key]))
            raise UsageError(f"--set {key}={text[:40]} is not of type {kind}; the value is now "
                             f"{getattr(config, key)}") from None  # fmt: skip
    try:
        return dataclasses.replace(config, **values)  # type: ignore[type-var]
    except ValueError as error:
        raise UsageError(str(error)) from None


def _parsed(text: str, kind: Any) -> Any:
    if typing.get_origin(kind) is tuple:
        return tuple(_parsed(part, typing.get_args(kind)[0]) for part in text.split(",") if part)
    value = {"true": True, "false": False}.get(text.lower()) if kind is bool else kind(text)
    if value is None or (kind is float and not math.isfinite(value)):
        raise ValueError
    return value
