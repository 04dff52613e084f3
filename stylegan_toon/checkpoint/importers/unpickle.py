"""A pickle machine that runs nothing: it makes plain values, and knows names only from a table.

Python's unpickler calls whatever a file names; and any unpickler that builds what it is told to, torch's
weights_only one included, can be made to hash nested keys until the C stack ends. Here keys are texts and
numbers, what a table holds is all that is called, bytes stay where they are in the file, and every file has
a budget. The state that BUILD would set on an object is dropped, but for TorchScript's modules, which stand
for dictionaries: no other class of the table has use for it.
Source of the opcodes: the documentation in Python's pickletools.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stylegan_toon.errors import ModelError

STEPS = 1_000_000  # opcodes; a file with three networks and their modules has about 100,000
TEXT = 64 << 20  # bytes of text; a file of NVIDIA's has some MB of source text
NAME = 256  # the longest name of a global

PROGRAM = "__torch__."  # how TorchScript's classes begin; every module has one of its own

SCALARS = {ord("N"): None, 0x88: True, 0x89: False}
NUMBERS = {ord("K"): "<B", ord("M"): "<H", ord("J"): "<i", ord("G"): ">d"}
TEXTS = {0x8C: "<B", ord("X"): "<I", 0x8D: "<Q"}
BYTES = {ord("C"): "<B", ord("B"): "<I", 0x8E: "<Q"}
EMPTY = {ord("]"): list, ord("}"): dict, ord(")"): tuple, 0x8F: set}
TUPLES = {0x85: 1, 0x86: 2, 0x87: 3}
PUTS, GETS = {ord("q"): "<B", ord("r"): "<I"}, {ord("h"): "<B", ord("j"): "<I"}


@dataclass
class Budget:
    """What is left to one file; the pickles in its records share it."""

    steps: int = STEPS
    text: int = TEXT


class Module(dict[str, Any]):
    """The parts of a TorchScript module under their names."""


@dataclass(frozen=True)
class _Name:
    """A global of the table, on the stack."""

    call: Callable[..., Any]


def unpickle(
    data: memoryview,
    start: int,
    table: Mapping[str, Any],
    persistent: Callable[[Any], Any] | None = None,
    budget: Budget | None = None,
) -> tuple[Any, int]:
    """The value of the pickle that begins at start, and where it ends.

    Args:
        data: byte strings of the pickle become slices of it.
        table: "module.name" to a function that is called with what the file says, or to a plain value;
            "__torch__.*" stands for every class of a TorchScript program.
        persistent: gives the object for a persistent id; None refuses them.
    Raises: ModelError, its message without the file's name.
    """
    try:
        return _run(data, start, table, persistent, budget or Budget())
    except (ModelError, MemoryError):
        raise
    except Exception as error:  # a broken pickle breaks whatever comes next: nothing else can be said of it
        raise ModelError(f"is damaged, or no plain pickle ({type(error).__name__}); get it again") from None


def _run(
    data: memoryview,
    at: int,
    table: Mapping[str, Any],
    persistent: Callable[[Any], Any] | None,
    budget: Budget,
) -> tuple[Any, int]:
    stack: list[Any] = []
    below: list[list[Any]] = []  # the stacks under each mark
    memo: dict[int, Any] = {}

    def number(code: str) -> Any:
        nonlocal at
        (value,) = struct.unpack_from(code, data, at)
        at += struct.calcsize(code)
        return value

    def take(size: int) -> memoryview:
        nonlocal at
        if size > len(data) - at:
            raise EOFError
        at += size
        return data[at - size : at]

    def text(size: int) -> str:
        budget.text -= size
        if budget.text < 0:
            raise ModelError(f"holds more than {TEXT} bytes of text; do not trust this file")
        return str(take(size), "utf-8")

    def line() -> str:
        nonlocal at
        raw = bytes(data[at : at + NAME])
        raw = raw[: raw.index(b"\n")]
        at += len(raw) + 1
        return raw.decode()

    def above_mark() -> list[Any]:
        nonlocal stack
        items, stack = stack, below.pop()
        return items

    while True:
        budget.steps -= 1
        if budget.steps < 0:
            raise ModelError(f"has a pickle of more than {STEPS} steps; do not trust this file")
        op = data[at]
        at += 1
        if op in GETS:
            stack.append(memo[number(GETS[op])])
        elif op in PUTS:
            memo[number(PUTS[op])] = stack[-1]
        elif op == 0x94:  # MEMOIZE
            memo[len(memo)] = stack[-1]
        elif op in TEXTS:
            stack.append(text(number(TEXTS[op])))
        elif op in NUMBERS:
            stack.append(number(NUMBERS[op]))
        elif op in EMPTY:
            stack.append(EMPTY[op]())
        elif op in SCALARS:
            stack.append(SCALARS[op])
        elif op in BYTES:
            stack.append(take(number(BYTES[op])))
        elif op in TUPLES:
            cut = len(stack) - TUPLES[op]
            if cut < 0:
                raise IndexError
            stack[cut:] = [tuple(stack[cut:])]
        elif op == ord("("):  # MARK
            below.append(stack)
            stack = []
        elif op == ord("t"):
            items = above_mark()
            stack.append(tuple(items))
        elif op in b"us":  # SETITEMS, SETITEM
            items = above_mark() if op == ord("u") else [stack.pop(-2), stack.pop()]
            _check(stack[-1], dict)
            for key, value in zip(items[::2], items[1::2], strict=True):
                stack[-1][_plain(key)] = value
        elif op in b"ea":  # APPENDS, APPEND
            items = above_mark() if op == ord("e") else [stack.pop()]
            _check(stack[-1], list)
            stack[-1].extend(items)
        elif op == 0x90:  # ADDITEMS
            items = above_mark()
            _check(stack[-1], set)
            stack[-1].update(_plain(item) for item in items)
        elif op in (ord("c"), 0x93):  # GLOBAL, STACK_GLOBAL
            module, name = (line(), line()) if op == ord("c") else (stack.pop(-2), stack.pop())
            full = f"{module}.{name}"
            known = f"{PROGRAM}*" if full.startswith(PROGRAM) else full
            if known not in table:
                raise ModelError(_refusal(full))
            value = table[known]
            stack.append(_Name(value) if callable(value) else value)
        elif op in (ord("R"), 0x81):  # REDUCE, NEWOBJ
            arguments, function = stack.pop(), stack.pop()
            _check(function, _Name)
            _check(arguments, tuple)
            stack.append(function.call(*arguments))
        elif op == ord("b"):  # BUILD
            parts = stack.pop()
            if type(stack[-1]) is Module:
                _check(parts, dict)
                stack[-1].update(parts)
        elif op == ord("Q"):  # BINPERSID
            if persistent is None:
                raise ModelError("refers to records that it does not hold; get it again")
            stack.append(persistent(stack.pop()))
        elif op == 0x8A:  # LONG1
            stack.append(int.from_bytes(take(number("<B")), "little", signed=True))
        elif op == 0x80:  # PROTO
            if number("<B") > 5:
                raise ValueError
        elif op == 0x95:  # FRAME
            number("<Q")
        elif op == ord("."):
            return stack.pop(), at
        else:
            raise ValueError


def _check(value: Any, wanted: type) -> None:
    if type(value) is not wanted:
        raise TypeError


def _plain(key: Any) -> Any:
    """A key that can be hashed without walking into anything."""
    if key is not None and type(key) not in (str, int, float, bool):
        raise TypeError
    return key


def _refusal(name: str) -> str:
    if name.startswith(("dnnlib.tflib.", "tfutil.")):
        return "is a TensorFlow pickle of NVIDIA; run legacy.py of stylegan2-ada-pytorch on it first"
    if name.startswith(PROGRAM):
        return "is a TorchScript program; save its state dict instead"
    if name.startswith("torch._utils._rebuild_"):
        return f"holds a tensor that is not dense on the CPU ({name[13:60]}); save a plain state dict"
    return f"asks to load {name[:60]}, which is never done; do not trust it, or save only tensors"
