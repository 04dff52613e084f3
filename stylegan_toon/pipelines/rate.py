"""A page on which people rate what methods made, 1 to 5, without knowing whose it is; and the table of it.

As in the scGAN paper (arXiv 1904.12615, table 2): shuffled, names hidden. Every vote is on the disk before
its answer is sent, so a server that is killed loses none. The standard library's server, for 127.0.0.1 alone.
"""

import base64
import contextlib
import hashlib
import http.cookies
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from stylegan_toon.errors import DiskError, InputError, UsageError, shown
from stylegan_toon.pipelines.compare.result import rows

HOST = "127.0.0.1"
SCORES = (1, 2, 3, 4, 5)
MOST = 1000  # bytes of a form
COOKIE = "rater"
SCHEMA = """
CREATE TABLE IF NOT EXISTS items (id TEXT PRIMARY KEY, method TEXT NOT NULL, photo INTEGER NOT NULL,
    UNIQUE (method, photo));
CREATE TABLE IF NOT EXISTS votes (number INTEGER PRIMARY KEY, at REAL NOT NULL, rater TEXT NOT NULL,
    item TEXT NOT NULL REFERENCES items (id), score INTEGER NOT NULL CHECK (score BETWEEN 1 AND 5));
CREATE TABLE IF NOT EXISTS result (digest TEXT NOT NULL);
"""
STYLE = """
:root{--ink:#1d2430;--dim:#667085;--paper:#fff;--card:#f2f4f7;--a:#2f5fd0}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ef;--dim:#98a2b3;--paper:#12161d;--card:#1a202a;--a:#7aa2ff}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:760px;padding:24px;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;text-align:center}
h1{font-size:20px;margin:0 0 16px}.pair{display:flex;gap:12px;justify-content:center}figure{margin:0;flex:1;
max-width:340px}img{width:100%;border-radius:10px;display:block}figcaption,.dim{color:var(--dim);font-size:14px}
form{display:flex;gap:10px;justify-content:center;margin:20px 0 8px}button{font:600 20px system-ui;width:64px;
height:56px;border:0;border-radius:10px;background:var(--card);color:var(--ink);cursor:pointer}
button:hover,button:focus-visible{background:var(--a);color:#fff}progress{width:100%;accent-color:var(--a)}
"""
KEYS = (
    "addEventListener('keydown',e=>{if(!e.repeat&&!e.ctrlKey&&!e.metaKey&&!e.altKey&&'12345'.includes(e.key))"
    "document.querySelector('button[value=\"'+e.key+'\"]')?.click()})"
)


class Votes:
    """The SQLite file of a rating: what is shown, under names that say nothing, and every vote as it came."""

    def __init__(self, path: str | Path, result: Mapping[str, Any]):
        """Raises: UsageError where the file belongs to another result, DiskError where it is no database."""
        self.path = Path(path)
        first = {
            row.label: row for row in reversed(rows(result))
        }  # of several budgets the first in the table
        self.pictures = {label: row.cells[0]["pictures"] for label, row in first.items()}
        self.photos = result["photos"]
        if not self.pictures:
            raise InputError("this comparison has no pictures yet; let one run end first")
        digest = hashlib.sha256(repr((self.photos, sorted(self.pictures.items()))).encode()).hexdigest()
        with self._open() as base:
            base.executescript(SCHEMA)
            known = base.execute("SELECT digest FROM result").fetchall()
            if known and known != [(digest,)]:
                raise UsageError(
                    f"{shown(path, 60)} holds votes on other pictures; name another --votes, or move it away"
                )
            if not known:
                items = [
                    (secrets.token_urlsafe(12), method, photo)
                    for method in sorted(self.pictures)
                    for photo in range(len(self.photos))
                ]
                secrets.SystemRandom().shuffle(items)  # the order in the file says nothing either
                base.executemany("INSERT INTO items VALUES (?, ?, ?)", items)
                base.execute("INSERT INTO result VALUES (?)", (digest,))

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection whose changes are on the disk when the block ends, or undone."""
        base = None
        try:
            base = sqlite3.connect(self.path, timeout=10)
            base.execute("PRAGMA synchronous = FULL")
            with base:
                yield base
        except sqlite3.Error as error:
            raise DiskError(f"{shown(self.path, 60)}: {error}; name another --votes") from None
        finally:
            if base:
                base.close()

    def item(self, name: str) -> tuple[str, int] | None:
        """Method and number of the photo of an item, or None."""
        with self._open() as base:
            found = base.execute("SELECT method, photo FROM items WHERE id = ?", (name,)).fetchone()
        return None if found is None else (str(found[0]), int(found[1]))

    def next(self, rater: str) -> tuple[str | None, int, int]:
        """An item that rater has not judged, in an order of their own, and how many of how many they have."""
        with self._open() as base:
            every = {one for (one,) in base.execute("SELECT id FROM items")}
            seen = {one for (one,) in base.execute("SELECT item FROM votes WHERE rater = ?", (rater,))}
        left = sorted(every - seen, key=lambda one: hashlib.sha256(f"{rater} {one}".encode()).digest())
        return (left[0] if left else None), len(seen), len(every)

    def vote(self, rater: str, item: str, score: int) -> None:
        """Keep a vote: when this returns, it is on the disk. Raises: ValueError for no item or score."""
        if score not in SCORES or self.item(item) is None:
            raise ValueError("no such picture or score")
        with self._open() as base:
            values = (time.time(), rater, item, score)
            base.execute("INSERT INTO votes (at, rater, item, score) VALUES (?, ?, ?, ?)", values)

    def table(self) -> list[dict[str, Any]]:
        """Of each method with votes how many each score got, and their average, the best first.

        Of several votes of one person on one picture the last one counts.
        """
        with self._open() as base:
            found = base.execute(
                "SELECT items.method, votes.score, COUNT(*) FROM votes JOIN items ON items.id = votes.item "
                "WHERE votes.number IN (SELECT MAX(number) FROM votes GROUP BY rater, item) "
                "GROUP BY method, score"
            ).fetchall()
        counts: dict[str, list[int]] = {}
        for method, score, count in found:
            counts.setdefault(method, [0] * len(SCORES))[score - 1] = count
        table = [
            {
                "method": method,
                "counts": of,
                "average": sum(s * c for s, c in zip(SCORES, of, strict=True)) / sum(of),
            }
            for method, of in counts.items()
        ]
        return sorted(table, key=lambda one: (-one["average"], one["method"]))

    def jpeg(self, item: str, side: str) -> bytes | None:
        """The photo of an item, or what was made of it."""
        if (found := self.item(item)) is None:
            return None
        method, photo = found
        return base64.b64decode(self.photos[photo] if side == "photo" else self.pictures[method][photo])


def as_text(table: list[dict[str, Any]]) -> list[str]:
    """The table, a line a method: the share of each score, and the average."""
    lines = []
    for one in table:
        n = sum(one["counts"])
        shares = " ".join(
            f"{score}: {c} ({c / n:.0%})" for score, c in zip(SCORES, one["counts"], strict=True)
        )
        lines.append(f"{one['method']}: {shares}, average {one['average']:.2f} of {n}")
    return lines


def serve(votes: Votes, port: int = 0, ready: Callable[[str], None] = lambda url: None) -> None:
    """Serve the page until Ctrl-C; ready is told the address. Raises: UsageError for a port that is taken."""
    try:
        server = ThreadingHTTPServer((HOST, port), _handler(votes))
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(
            f"port {port} cannot be used ({why}); name another --port, or 0 for a free one"
        ) from None
    with server, contextlib.suppress(KeyboardInterrupt):
        ready(f"http://{HOST}:{server.server_port}/")
        server.serve_forever()


def _handler(votes: Votes) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """GET / is the next pair, /photo/ID and /made/ID its pictures; POST /vote keeps a score."""

        timeout = 30
        server_version = "rating"
        sys_version = ""

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            kind, _, item = self.path.strip("/").partition("/")
            if not self._ours():
                self._say(403, "open the address that was printed")
            elif self.path == "/":
                rater, new = self._rater()
                self._send(
                    200, "text/html; charset=utf-8", _page(votes, rater).encode(), rater if new else ""
                )
            elif kind in ("photo", "made") and (data := votes.jpeg(item, kind)):
                self._send(200, "image/jpeg", data)
            else:
                self._say(404, "no such page")

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            # isdecimal and not int(): "+5" and "1_0" are no lengths
            if not length.isascii() or not length.isdecimal() or int(length[:9]) > MOST:
                self.close_connection = True
                self._say(400, "no vote: the form's length is missing or too large")
                return
            body = self.rfile.read(int(length))
            rater, new = self._rater()
            origin = self.headers.get("Origin")
            if not self._ours() or (origin and origin != f"http://{self.headers['Host']}"):
                self._say(403, "votes come from this page alone")
            elif self.path != "/vote":
                self._say(404, "no such page")
            elif new:
                self._say(400, "no vote: the page was opened without cookies; allow them and open / again")
            else:
                self._vote(rater, body)

        def _vote(self, rater: str, body: bytes) -> None:
            try:
                form = parse_qs(body.decode("ascii"), strict_parsing=True, max_num_fields=2)
                (item,), (score,) = form["item"], form["score"]
                if score not in map(str, SCORES):
                    raise ValueError
                votes.vote(rater, item, int(score))
            except (ValueError, KeyError):
                self._say(400, "no vote: wanted item and a score from 1 to 5; open / again")
            except DiskError as error:
                self._say(500, f"the vote was not kept: {error}")
            else:
                self.send_response(303)
                self.send_header("Location", "/")
                self.send_header("Content-Length", "0")
                self.end_headers()

        def _ours(self) -> bool:
            """Whether the request names this server, and not a stranger's name that leads here."""
            assert isinstance(self.server, ThreadingHTTPServer)
            port = self.server.server_port
            return self.headers.get("Host") in (f"{HOST}:{port}", f"localhost:{port}")

        def _rater(self) -> tuple[str, bool]:
            """Who rates, by cookie, and whether they are new."""
            with contextlib.suppress(http.cookies.CookieError):
                found = http.cookies.SimpleCookie(self.headers.get("Cookie", "")).get(COOKIE)
                if found and len(found.value) == 32 and set(found.value) <= set("0123456789abcdef"):
                    return found.value, False
            return secrets.token_hex(16), True

        def _say(self, code: int, text: str) -> None:
            self._send(code, "text/plain; charset=utf-8", text.encode())

        def _send(self, code: int, kind: str, data: bytes, cookie: str = "") -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header(
                "Content-Security-Policy",
                "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
                "form-action 'self'",
            )
            if cookie:
                rest = "Path=/; HttpOnly; SameSite=Strict; Max-Age=31536000"
                self.send_header("Set-Cookie", f"{COOKIE}={cookie}; {rest}")
            self.end_headers()
            self.wfile.write(data)

    return Handler


def _page(votes: Votes, rater: str) -> str:
    """The next pair with five buttons, or thanks."""
    item, done, whole = votes.next(rater)
    if item is None:
        body = f"<h1>Thank you</h1><p>You have rated all {whole} pictures.</p>"
    else:
        buttons = "".join(
            f'<button name="score" value="{s}" aria-label="{s} of 5">{s}</button>' for s in SCORES
        )
        body = (
            "<h1>How good a cartoon of this photo is it?</h1>"
            f'<div class="pair"><figure><img src="/photo/{item}" alt="photo"><figcaption>photo</figcaption>'
            f'</figure><figure><img src="/made/{item}" alt="cartoon"><figcaption>cartoon</figcaption>'
            '</figure></div><form method="post" action="/vote">'
            f'<input type="hidden" name="item" value="{escape(item)}">{buttons}</form>'
            '<p class="dim">1 bad, 5 very good: style, quality and details together. Keys 1 to 5 work, too.'
            f'</p><progress max="{whole}" value="{done}"></progress>'
            f'<p class="dim">{done} of {whole}</p><script>{KEYS}</script>'
        )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width,initial-scale=1"><title>Rate cartoons</title><style>{STYLE}</style>'
        f"</head><body>{body}</body></html>"
    )
