"""Compile the kernels on first use, once per process and once per machine; load() is the door.

The result lies in the user's cache under a key of sources, flags, torch, CUDA and GPU, so that no stale build
is ever loaded. The compiler runs in a child process with a time limit, in a folder of its own, and ends when
we do; only the finished library is moved to its place. The one lock is an flock, which the system frees
however its holder dies.
"""

import contextlib
import hashlib
import importlib.machinery
import importlib.util
import os
import platform
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import torch

from cuda_ops._dispatch import KernelUnavailableError

CSRC = Path(__file__).parent / "csrc"
NAME = "toon_kernels"
CUDA_FLAGS = ("-O3",)
CXX_FLAGS = ("-O2",)
TIME_LIMIT = 600.0  # seconds, for waiting for another process's build and again for our own
COMPILE = (sys.executable, "-c", "import sys; from cuda_ops import _build; _build._compile(sys.argv[1])")

_loaded: ModuleType | KernelUnavailableError | None = None


def load() -> ModuleType:
    """The extension, compiled if it is not in the cache; later calls repeat the first answer.

    Raises: KernelUnavailableError whose message is one line: what failed and the compiler's first error.
    """
    global _loaded
    if _loaded is None:
        try:
            _loaded = _load()
        except KernelUnavailableError as error:
            _loaded = error
        except (OSError, ImportError) as error:
            _loaded = KernelUnavailableError(one_line(f"the CUDA kernels did not load: {error}"))
    if isinstance(_loaded, KernelUnavailableError):
        raise KernelUnavailableError(str(_loaded))
    return _loaded


def _load() -> ModuleType:
    if torch.version.cuda is None:
        raise KernelUnavailableError(f"PyTorch {torch.__version__} is built without CUDA")
    if not torch.cuda.is_available():
        raise KernelUnavailableError("PyTorch finds no CUDA device")
    capabilities = sorted({torch.cuda.get_device_capability(i) for i in range(torch.cuda.device_count())})
    arch = os.environ.get("TORCH_CUDA_ARCH_LIST") or arch_list(capabilities, known_archs(find_nvcc()))
    library = built(cache_folder() / key(arch), arch)
    loader = importlib.machinery.ExtensionFileLoader(NAME, str(library))
    spec = importlib.util.spec_from_file_location(NAME, library, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def built(folder: Path, arch: str, limit: float = TIME_LIMIT, command: Sequence[str] = COMPILE) -> Path:
    """The library in folder, compiled if it is not there; of several processes one compiles, the others wait.

    Args:
        limit: seconds to wait for another process, and again to compile.
        command: leaves a library in the folder that is its last argument.
    Raises: KernelUnavailableError, as locked and build do.
    """
    library = folder / f"{NAME}.so"
    if not library.exists():
        with locked(folder.with_suffix(".lock"), limit):
            if not library.exists():
                for left in folder.parent.glob(f"{folder.name}-*"):  # of a process that died compiling
                    shutil.rmtree(left, ignore_errors=True)
                build(folder, arch, limit, command)
    return library


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/stylegan-toon/kernels, ours alone.

    Raises: KernelUnavailableError if someone else can write there, as code is loaded from it.
    """
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "stylegan-toon" / "kernels"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for place in (folder, folder.parent) if hasattr(os, "getuid") else ():
        status = place.stat()
        if status.st_uid != os.getuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise KernelUnavailableError(
                f"others can write to {place}; make it yours (chmod 700) or set XDG_CACHE_HOME"
            )
    return folder


def key(arch: str) -> str:
    """A name that changes with everything the library depends on."""
    host = [sys.version, platform.machine()]
    parts = [torch.__version__, str(torch.version.cuda), *host, arch, *CUDA_FLAGS, *CXX_FLAGS]
    for path in sorted(CSRC.iterdir()):
        parts += [path.name, path.read_text(encoding="utf-8")]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def find_nvcc() -> str:
    """nvcc from CUDA_HOME (or CUDA_PATH) if that is set, else from PATH or /usr/local/cuda, as torch does.

    Raises: KernelUnavailableError if there is none.
    """
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    if home:
        found = shutil.which("nvcc", path=str(Path(home) / "bin"))
    else:
        found = shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")
    if not found:
        where = f"in CUDA_HOME={home}" if home else "on PATH or in /usr/local/cuda"
        raise KernelUnavailableError(f"there is no CUDA compiler (nvcc) {where}")
    return found


def known_archs(nvcc: str) -> list[tuple[int, int]]:
    """The capabilities this nvcc can compile for, oldest first.

    Raises: KernelUnavailableError if it does not answer.
    """
    try:
        done = subprocess.run([nvcc, "--list-gpu-code"], capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        raise KernelUnavailableError(f"{nvcc} did not answer within 60 s") from None
    return sorted({(int(a), int(b)) for a, b in re.findall(r"^sm_(\d+)(\d)$", done.stdout, re.MULTILINE)})


def arch_list(capabilities: Sequence[tuple[int, int]], known: Sequence[tuple[int, int]]) -> str:
    """A TORCH_CUDA_ARCH_LIST for these GPUs; one that is newer than the compiler gets its newest PTX.

    Raises: KernelUnavailableError for a GPU that is older than all the compiler knows.
    """
    wanted = []
    for capability in capabilities:
        best = max((k for k in known if k <= capability), default=None)
        if best is None:
            raise KernelUnavailableError(f"nvcc no longer compiles for compute capability {capability}")
        wanted.append(f"{best[0]}.{best[1]}" + ("" if best == capability else "+PTX"))
    return ";".join(dict.fromkeys(wanted))


@contextlib.contextmanager
def locked(path: Path, limit: float) -> Iterator[None]:
    """Hold an flock on path; where the system has none (Windows), every process builds for itself.

    Raises: KernelUnavailableError after limit seconds of waiting.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        end = time.monotonic() + limit
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    message = f"another process has been compiling for {limit:.0f} s; its lock is {path}"
                    raise KernelUnavailableError(message) from None
                time.sleep(0.2)
        yield
    finally:
        os.close(descriptor)


def build(folder: Path, arch: str, limit: float, command: Sequence[str] = COMPILE) -> None:
    """Run command in a folder of its own and move the library into folder; folder.log keeps what was said.

    Raises: KernelUnavailableError that quotes the first error and names the log, if it fails or takes long.
    """
    work = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
    log = folder.with_suffix(".log")
    env = {**os.environ, "TORCH_CUDA_ARCH_LIST": arch}
    env.setdefault("MAX_JOBS", "3")
    with contextlib.suppress(KernelUnavailableError):  # without nvcc, the compiler's own message is quoted
        home = Path(find_nvcc()).resolve().parent.parent
        if (home / "include" / "cuda_runtime.h").exists():
            env.setdefault("CUDA_HOME", str(home))
    env["PYTHONPATH"] = os.pathsep.join([str(CSRC.parent.parent), *filter(None, [env.get("PYTHONPATH")])])
    try:
        with log.open("wb") as out:
            child = subprocess.Popen(
                [*command, str(work)],
                stdin=subprocess.PIPE,  # it ends when we do, see end_with_parent
                stdout=out,
                stderr=out,
                env=env,
                start_new_session=True,
            )
            try:
                status = child.wait(limit)
            except BaseException as error:  # Ctrl-C too: the compilers must not outlive us
                _kill(child)
                if isinstance(error, subprocess.TimeoutExpired):
                    message = f"compiling the CUDA kernels took more than {limit:.0f} s (log: {log})"
                    raise KernelUnavailableError(message) from None
                raise
        library = next(iter([*work.glob(f"{NAME}*.so"), *work.glob(f"{NAME}*.pyd")]), None)
        if status != 0 or library is None:
            said = first_error(log.read_text(encoding="utf-8", errors="replace"))
            raise KernelUnavailableError(f"the CUDA kernels did not compile: {said} (log: {log})")
        folder.mkdir(mode=0o700, exist_ok=True)
        with library.open("rb+") as whole:
            os.fsync(whole.fileno())
        library.replace(folder / f"{NAME}.so")
    finally:
        shutil.rmtree(work, ignore_errors=True)


def end_with_parent() -> None:
    """In the child: kill this process and its compilers when the parent's end of stdin closes."""

    def wait() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 1):
                pass
        os.killpg(0, signal.SIGKILL)

    if hasattr(os, "killpg"):
        threading.Thread(target=wait, daemon=True).start()


def _compile(work: str) -> None:
    """In the child: ninja, through torch's own flags and search paths."""
    from torch.utils.cpp_extension import load

    end_with_parent()
    load(
        NAME,
        [str(CSRC / name) for name in ("bindings.cpp", "epilogue.cu", "fused_bias_act.cu", "upfirdn2d.cu")],
        extra_cflags=list(CXX_FLAGS),
        extra_cuda_cflags=list(CUDA_FLAGS),
        build_directory=work,
        with_cuda=True,
        verbose=True,
    )


def _kill(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(child.pid, signal.SIGKILL)
        else:
            child.kill()
    child.wait()


def first_error(text: str) -> str:
    """The first line that names an error, or else the last line; at most 120 characters."""
    lines = [line for line in text.splitlines() if line.strip()]
    error = re.compile(r"\berror\b|No such file|not found|not set", re.IGNORECASE)
    named = [line for line in lines if error.search(line) and not line[0].isspace()]
    return one_line((named or lines[-1:] or ["no output"])[0])[:120]


def one_line(text: str) -> str:
    """Without line breaks and control characters."""
    return " ".join(re.sub(r"[\x00-\x1f\x7f]+", " ", text).split())
