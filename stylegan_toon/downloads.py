"""One file over HTTPS, whole or not at all: length and SHA-256 checked, cut connections taken up again.

NAME is first .NAME.part with .NAME.json beside it (whence it comes); .NAME.lock keeps a second process out.
"""

import errno
import hashlib
import http.client
import json
import os
import re
import shutil
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from stylegan_toon import __version__
from stylegan_toon.errors import DiskError, DownloadError, UsageError, shown

MAX_BYTES = 8 << 30  # of a file whose length is not known
TIMEOUT = 30.0  # s without a byte
TRIES = 3  # connections in a row that bring nothing
PAUSE = 1.0  # s before the second of them, twice as many before the third
BLOCK = 1 << 20
SHA256 = re.compile(r"[0-9a-f]{64}")
STRONG = re.compile(r'"[!-~]*"')  # of an ETag: same mark, same bytes
WEB_PAGE = (b"<!doctype", b"<html", b"<head", b"<?xml")
_REMEDY = "get the file another way and give it by --from-file"
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR,
        errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP)  # fmt: skip


class _Again(Exception):
    """The connection failed; another one may go on from what is there."""


def fetch(
    url: str,
    path: Path,
    sha256: str,
    size: int | None = None,
    timeout: float = TIMEOUT,
    report: Callable[[str], None] = lambda text: None,
) -> Path:
    """Download url to path, unless the right file is there already; returns path.

    Args:
        url: https; so must be all that it redirects to.
        sha256: 64 hexadecimal digits that the whole file must have, however many connections it came over.
        size: its length in bytes, where known; else up to MAX_BYTES.
        timeout: seconds to wait for the next bytes.
    Only a file with the right digest ever gets the name path. A symbolic link there is replaced, its target
    left alone.
    Raises: UsageError (no https, no digest), DownloadError (exit 10), DiskError (exit 9).
    """
    if not _is_https(url):
        raise UsageError(f"{shown(url)} is no https address; give one, or a file by --from-file")
    if not SHA256.fullmatch(sha256):
        raise UsageError(
            f"{shown(sha256, 40)!r} is no SHA-256; give its 64 hexadecimal digits, in lower case"
        )
    if _is(path, sha256):
        return path  # also from a folder that cannot be written
    with _disk(path), _locked(path, report):
        if _is(path, sha256):
            return path
        part, note = _aside(path, "part"), _aside(path, "json")
        for name in (part, note):
            if name.is_symlink():
                name.unlink()
        while True:
            old = part.exists()
            try:
                _fill(url, part, note, sha256, size, timeout, report)
                _check(_short(url), part, sha256, size)
                break
            except OSError:
                _remove(part, note)
                raise
            except _Broken as error:
                _remove(part, note)
                if not old:
                    raise error.reason from None
                report(f"{error}; starting over")
        _publish(part, path)
        _remove(note)
    return path


def take(
    file: Path,
    path: Path,
    sha256: str | None = None,
    size: int | None = None,
    report: Callable[[str], None] = lambda text: None,
) -> Path:
    """Copy a file that is at hand to path, under the same rules as fetch; returns path.

    Args:
        sha256, size: None where they are not known; then only web pages and empty files are refused.
    Raises: UsageError (no such file), DownloadError, DiskError.
    """
    try:
        source = file.open("rb")
    except OSError as error:
        raise UsageError(f"{shown(file)} cannot be read ({error.strerror}); name the file you have") from None
    with source, _disk(path), _locked(path, report):
        part = _aside(path, "part")
        _remove(part)
        try:
            _room(part, file.stat().st_size)
            with part.open("xb") as target:
                shutil.copyfileobj(source, target, BLOCK)
            _check(shown(file, 70), part, sha256 or digest(part), size)
        except _Broken as error:
            _remove(part)
            raise error.reason from None
        except OSError:
            _remove(part)
            raise
        _publish(part, path)
    return path


def _is(path: Path, sha256: str) -> bool:
    try:
        return path.is_file() and digest(path) == sha256
    except OSError:
        return False


def digest(path: Path) -> str:
    """The SHA-256 of a file, as 64 hexadecimal digits in lower case."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove(path: Path) -> bool:
    """Delete a fetched file and what an unfinished download left.

    Returns: whether there was any. Raises: DiskError.
    """
    names = [path, _aside(path, "part"), _aside(path, "json")]
    with _disk(path), _locked(path, lambda text: None):
        there = any(name.is_symlink() or name.exists() for name in names)
        _remove(*names)
    _remove(_aside(path, "lock"))
    return there


class _Broken(Exception):
    """What came is not what was wanted, and is of no use for going on."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = DownloadError(reason)


def _aside(path: Path, suffix: str) -> Path:
    return path.with_name(f".{path.name}.{suffix}")


def _remove(*paths: Path) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _is_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
        plain = url.isascii() and url.isprintable() and " " not in url
        return plain and parts.scheme == "https" and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an IPv6 address cut short, a port that is no number
        return False


def _short(url: str, width: int = 70) -> str:
    """The address for one line: whole if short, else its server and the end of its path."""
    text = shown(url, 10_000)
    head = f"{urlsplit(text).scheme}://{urlsplit(text).netloc[:40]}/..."
    return text if len(text) <= width else head + text[len(head) - width :]


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    """Name the file where the disk is full or may not be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if error.errno not in DISK:
            raise
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        remedy = "free some space there" if full else "set STYLEGAN_TOON_MODELS to a folder you may write"
        raise DiskError(f"{shown(path)} could not be written ({error.strerror}); {remedy}") from None


@contextmanager
def _locked(path: Path, report: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of path; the system frees it when the process ends, however it ends."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    handle = os.open(_aside(path, "lock"), flags, 0o600)
    try:
        if not _lock(handle, wait=False):
            report(f"waiting for another process that fetches {path.name}")
            _lock(handle, wait=True)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, wait: bool) -> bool:
    if sys.platform == "win32":
        import msvcrt

        while True:
            try:
                msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
                return True
            except OSError:
                if not wait:
                    return False
                time.sleep(0.5)
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        return True
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        return True  # a file system without locks: the digest still guards what gets the name


def _fill(
    url: str,
    part: Path,
    note: Path,
    sha256: str,
    size: int | None,
    timeout: float,
    report: Callable[[str], None],
) -> None:
    """Bring part to its full length, over as many connections as make headway."""
    failed = furthest = 0
    while True:
        have = part.stat().st_size if part.exists() else 0
        if have and (have == size or digest(part) == sha256):
            return  # stopped between the last byte and the new name
        try:
            return _receive(url, part, note, size, timeout, report)
        except _Again as error:
            got = part.stat().st_size if part.exists() else 0
            failed, furthest = (0 if got > furthest else failed + 1), max(got, furthest)
            if failed >= TRIES:
                raise DownloadError(f"{_short(url)}: {error}; run the command again to go on") from None
            report(f"{error}; trying again")
            time.sleep(PAUSE * failed)


def _receive(
    url: str, part: Path, note: Path, size: int | None, timeout: float, report: Callable[[str], None]
) -> None:
    """One connection. Raises: _Again if another may help, _Broken or DownloadError if none will."""
    offset, headers = _go_on(url, part, note)
    with _open(url, headers, timeout) as answer:
        mark = answer.headers.get("ETag")
        start, total = _extent(answer)
        if "html" in answer.headers.get("Content-Type", ""):
            raise DownloadError(f"{_short(url)} is a web page, not a model; {_REMEDY}")
        limit = MAX_BYTES if total is None else total
        if size is not None and total not in (None, size):
            raise DownloadError(f"{_short(url)} has {total} bytes, not {size}; {_REMEDY}")
        if limit > MAX_BYTES:
            raise DownloadError(f"{_short(url)} has {limit} bytes, over the limit of {MAX_BYTES}; {_REMEDY}")
        if start != offset or (offset and headers.get("If-Range") != mark):
            _remove(part)
            if start:
                raise _Again("the file has changed on the server")
            offset = 0
        _room(part, (size or total or 0) - offset)
        note.write_text(json.dumps({"url": url, "mark": mark}))
        with part.open("ab") as file:
            _copy(answer, file, offset, size or limit, url, report)
        got = part.stat().st_size
    if total is not None and got < total:
        raise _Again(f"the connection was cut after {got} of {total} bytes")


def _go_on(url: str, part: Path, note: Path) -> tuple[int, dict[str, str]]:
    """From which byte to ask, and the headers that do: from the first one if the address is another."""
    try:
        about = json.loads(note.read_text())
        mark = about["mark"] if about["url"] == url else None
    except (OSError, ValueError, KeyError, TypeError):
        mark = None
    have = part.stat().st_size if part.exists() else 0
    # Without a strong mark nothing says that what is here and what is there are of one file.
    if not have or not isinstance(mark, str) or not STRONG.fullmatch(mark):
        _remove(part)
        return 0, {}
    return have, {"Range": f"bytes={have}-", "If-Range": mark}


class _Secure(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not _is_https(newurl):
            there = f"{_short(req.full_url, 60)} leads to {_short(newurl, 60)}"
            raise DownloadError(f"{there}, which is not https; {_REMEDY}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(url: str, headers: dict[str, str], timeout: float) -> http.client.HTTPResponse:
    about = {"User-Agent": f"stylegan-toon/{__version__}", "Accept-Encoding": "identity"}
    opener = urllib.request.build_opener(_Secure)
    try:
        answer = opener.open(urllib.request.Request(url, headers=about | headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:
            raise _Broken("what was here does not fit") from None
        if error.code in (408, 429) or error.code >= 500:
            raise _Again(f"the server answered {error.code} {error.reason}") from None
        raise DownloadError(f"{_short(url)}: {error.code} {error.reason}; {_REMEDY}") from None
    except urllib.error.URLError as error:
        raise DownloadError(f"{_short(url)}: {_why(error.reason)}; {_REMEDY}") from None
    except (OSError, http.client.HTTPException) as error:
        raise DownloadError(f"{_short(url)}: {_why(error)}; {_REMEDY}") from None
    if answer.status not in (200, 206):
        answer.close()
        raise DownloadError(f"{_short(url)}: the server answered {answer.status}; {_REMEDY}")
    return answer


def _why(error: object) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid ({error.verify_message[:30]})"
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"no connection ({words[:40]})"


def _extent(answer: http.client.HTTPResponse) -> tuple[int, int | None]:
    """The first byte that comes, and how many the whole file has, None if the server does not say."""
    if answer.status == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
        if found is None:
            raise _Broken("the server sends a part without saying which")
        return int(found[1]), int(found[2])
    length = answer.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def _copy(
    answer: http.client.HTTPResponse,
    file: IO[bytes],
    have: int,
    limit: int,
    url: str,
    report: Callable[[str], None],
) -> None:
    """Everything that comes, to the end of file. Raises: _Broken beyond limit or for a web page, _Again."""
    said = time.monotonic()
    while True:
        try:
            block = answer.read1(BLOCK)
        except (OSError, http.client.HTTPException) as error:
            raise _Again(f"the connection broke after {have} bytes ({type(error).__name__})") from None
        if not block:
            return
        if have == 0 and is_web_page(block):
            raise _Broken(f"{_short(url)} is a web page, not a model; {_REMEDY}")
        have += len(block)
        if have > limit:
            raise _Broken(f"{_short(url)} is longer than the {limit} bytes it should have; {_REMEDY}")
        file.write(block)
        if time.monotonic() - said > 5:
            said = time.monotonic()
            report(f"{have / 2**20:.0f} MiB" + (f" of {limit / 2**20:.0f}" if limit < MAX_BYTES else ""))


def is_web_page(start: bytes) -> bool:
    """Whether a file begins as HTML or XML does, as of a page that says why there is no file."""
    return start[:256].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(WEB_PAGE)


def _room(part: Path, more: int) -> None:
    if more > (free := shutil.disk_usage(part.parent).free):
        place = shown(part.parent)
        raise DiskError(f"{place} has {free} bytes free, the file needs {more}; free some space there")


def _check(name: str, part: Path, sha256: str, size: int | None) -> None:
    """Raises: _Broken if the whole file is not the one that was wanted."""
    have = part.stat().st_size
    with part.open("rb") as file:
        if is_web_page(file.read(256)):
            raise _Broken(f"{name} is a web page, not a model; {_REMEDY}")
    if have == 0:
        raise _Broken(f"{name} is empty; {_REMEDY}")
    if size is not None and have != size:
        raise _Broken(f"{name} has {have} bytes, not {size}, and was not kept; {_REMEDY}")
    if (found := digest(part)) != sha256:
        digests = f"SHA-256 {found[:12]}..., not {sha256[:12]}..."
        raise _Broken(f"{name} has {digests}, and was not kept; {_REMEDY}")


def _publish(part: Path, path: Path) -> None:
    """Give the whole file its name, so that it is there after a power cut too."""
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    part.replace(path)
    if sys.platform != "win32":  # a folder cannot be opened there
        folder = os.open(path.parent, os.O_RDONLY)
        with suppress(OSError):  # some file systems know no fsync of a folder
            os.fsync(folder)
        os.close(folder)
