"""What every command shares: five options, the two output streams, and the one place where errors end.

Results go to stdout, everything else to stderr. With --json stdout holds exactly one JSON document.
"""

import errno
import functools
import json
import os
import signal
import sys
import threading
import traceback
import unicodedata
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import click

from stylegan_toon.errors import (
    DiskError,
    Interrupted,
    MemoryFullError,
    MissingPartError,
    Terminated,
    ToonError,
    UsageError,
)

ENVIRONMENT = "STYLEGAN_TOON"  # STYLEGAN_TOON_DEVICE for every command, STYLEGAN_TOON_TOONIFY_STYLE for one
DEVICES = ("auto", "cpu", "cuda", "mps")  # as stylegan_toon.device.CHOICES, which cannot be had without torch
OPS = ("auto", "reference", "native", "cuda")  # as cuda_ops knows
MAX_LINE = 200
WRITING = {
    getattr(errno, name)
    for name in ("ENOSPC", "EACCES", "EROFS", "EPERM", "EDQUOT", "EFBIG", "EEXIST", "ENOTDIR")
    if hasattr(errno, name)
}
_PRINTED = f"{ENVIRONMENT}.printed"


@dataclass(frozen=True)
class Common:
    """The five options every command has, and how a command speaks."""

    device: str
    seed: int
    as_json: bool
    quiet: bool
    debug: bool

    def report(self, text: str) -> None:
        """Say on stderr what is going on; --quiet drops it."""
        if not self.quiet:
            click.echo(printable(text), err=True)

    def problem(self, text: str) -> None:
        """Say on stderr that one of several inputs failed, as an error line; --quiet keeps it."""
        click.echo(error_line(text), err=True)

    def result(self, line: object) -> None:
        """Print one result (a path, a line of text) on stdout; with --json the document holds it instead."""
        if not self.as_json:
            click.echo(printable(str(line)))

    def document(self, document: object) -> None:
        """Print the JSON document if --json was given; called once, at the end."""
        if self.as_json:
            click.get_current_context().meta[_PRINTED] = True
            click.echo(json.dumps(document, default=str, allow_nan=False))


def _note(ctx: click.Context, param: click.Parameter, value: bool) -> bool:
    ctx.meta[f"{ENVIRONMENT}.{param.name}"] = value  # for _fail, which may come before the command has run
    return value


def _noted(name: str, args: Sequence[str], meta: dict[str, Any]) -> bool:
    return bool(meta.get(f"{ENVIRONMENT}.{name}")) or f"--{name.removeprefix('as_')}" in args


def _options() -> list[click.Parameter]:
    def option(flag: str, *names: str, **settings: Any) -> click.Option:
        variable = f"{ENVIRONMENT}_{flag[2:].upper()}"
        return click.Option([flag, *names], envvar=variable, **settings)

    def flag(name: str, *names: str, help: str) -> click.Option:
        return option(name, *names, is_flag=True, is_eager=True, callback=_note, help=help)

    seeds, device = click.IntRange(0, 2**32 - 1), click.Choice(DEVICES)
    where = "Where to compute; auto takes a GPU if there is one."
    return [
        option("--device", type=device, default="auto", show_default=True, help=where),
        option("--seed", type=seeds, default=0, show_default=True, help="Of everything that is random."),
        flag("--json", "as_json", help="Print one JSON document on stdout."),
        flag("--quiet", help="No log and no progress bars; errors stay."),
        flag("--debug", help="Show the traceback if the program has a bug."),
    ]


def toon_command(*examples: str) -> Callable[[Callable[..., None]], click.Command]:
    """Make a function a command: its first argument is Common, the others its own options.

    The examples stand at the foot of --help.
    """

    def decorate(function: Callable[..., None]) -> click.Command:
        @functools.wraps(function)
        def body(device: str, seed: int, as_json: bool, quiet: bool, debug: bool, **options: Any) -> None:
            if (ops := os.environ.get("TOON_OPS", "auto")) not in OPS:
                raise UsageError(f"TOON_OPS={ops!r} is none of {', '.join(OPS)}")
            if quiet:
                os.environ.setdefault("TQDM_DISABLE", "1")
                warnings.simplefilter("ignore")
            function(Common(device, seed, as_json, quiet, debug), **options)

        own = list(getattr(function, "__click_params__", []))
        body.__click_params__ = [*reversed(_options()), *own]  # type: ignore[attr-defined]
        epilog = "\b\nExamples:\n" + "\n".join(f"  {line}" for line in examples)
        settings = {"help_option_names": ["-h", "--help"]}
        return click.command(epilog=epilog, context_settings=settings)(body)

    return decorate


def printable(text: str) -> str:
    """text with control, format and surrogate characters, and line separators, written as escapes."""
    hidden = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return "".join(
        char if unicodedata.category(char) not in hidden else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def error_line(text: str) -> str:
    """One line of at most 200 characters; a longer text loses its middle, as the remedy stands at its end."""
    line = printable(f"Error: {text.strip()}")
    if len(line) <= MAX_LINE:
        return line
    head = MAX_LINE // 2
    return f"{line[:head]} ... {line[head + 5 - MAX_LINE :]}"


def classify(error: BaseException) -> tuple[int, str]:
    """The exit code and the line for an error; code 1 means a bug."""
    if isinstance(error, ToonError):
        return error.exit_code, str(error) or type(error).__name__
    if isinstance(error, click.UsageError):
        where = f"; see {error.ctx.command_path} --help" if error.ctx else ""
        return UsageError.exit_code, error.format_message().rstrip(".?") + where
    if isinstance(error, click.ClickException):
        return DiskError.exit_code, error.format_message()
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return Interrupted.exit_code, "interrupted"
    if isinstance(error, _Stopped):
        return Terminated.exit_code, "stopped by SIGTERM"
    ops = sys.modules.get("cuda_ops")
    if isinstance(error, getattr(ops, "KernelUnavailableError", ())):
        return MissingPartError.exit_code, f"{error}; set TOON_OPS=auto, or see stylegan-toon doctor"
    if _is_memory(error):
        remedy = "use a smaller --batch or --size, or close other programs"
        return MemoryFullError.exit_code, f"out of memory; {remedy}"
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return UsageError.exit_code, f"the name {error.filename} is too long; give a shorter one"
    if isinstance(error, OSError) and error.errno in WRITING:
        place = error.filename2 or error.filename or "the output"
        remedy = "free space or name another place"
        return DiskError.exit_code, f"cannot write {place}: {error.strerror}; {remedy}"
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return 1, f"{what[:120]} (this is a bug, run again with --debug)"


def _is_memory(error: BaseException) -> bool:
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (torch and isinstance(error, torch.OutOfMemoryError)):
        return True
    marks = ("you tried to allocate", "out of memory", "Failed to allocate memory")
    return isinstance(error, RuntimeError) and any(mark in str(error) for mark in marks)


class _Stopped(BaseException):
    """SIGTERM came. Not an Exception, so that nothing that collects errors swallows it."""


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    raise _Stopped


def run(
    command: click.Command | Callable[[], click.Command], args: Sequence[str], name: str, prefix: str
) -> int:
    """Run a click command, or the one that a function imports, and return the exit code.

    An error ends here, as one line on stderr. name stands in the usage line; prefix begins the names of the
    environment variables for the command's own options.
    """
    main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _on_sigterm) if main_thread else None
    meta: dict[str, Any] = {}
    try:
        try:
            command = command if isinstance(command, click.Command) else command()
            if any(key.startswith("_") and key.endswith("_COMPLETE") for key in os.environ):
                command.main(list(args), prog_name=name)  # answers the shell and exits
            context = command.make_context(name, list(args), auto_envvar_prefix=prefix)
            meta = context.meta
            with context:
                command.invoke(context)
            return 0
        except click.exceptions.Exit as stop:
            return stop.exit_code
        finally:
            sys.stdout.flush()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BrokenPipeError:
        _forget_stdout()
        return DiskError.exit_code
    except BaseException as error:
        return _fail(error, args, meta)
    finally:
        if main_thread and signal.getsignal(signal.SIGTERM) is _on_sigterm:  # training may ignore it by now
            signal.signal(signal.SIGTERM, before)


def _fail(error: BaseException, args: Sequence[str], meta: dict[str, Any]) -> int:
    context = getattr(error, "ctx", None)
    meta = meta or (context.meta if context else {})
    code, text = classify(error)
    if code == 1 and _noted("debug", args, meta):
        traceback.print_exception(error)
    line = error_line(text)
    try:
        click.echo(line, err=True)
        if _noted("as_json", args, meta) and not meta.get(_PRINTED):
            click.echo(json.dumps({"error": line.removeprefix("Error: "), "exit_code": code}))
        sys.stdout.flush()
    except OSError:
        _forget_stdout()  # it is what is full
    return code


def _forget_stdout() -> None:
    """Send what is left in the buffer of stdout nowhere, so that Python's own flush at exit is quiet."""
    with suppress(OSError, ValueError), Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
