"""An HTTPS server on localhost that behaves as badly as it is told to."""

import http.server
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest


class Server(http.server.ThreadingHTTPServer):
    """Serves content at any path.

    faults: what goes wrong with the first, second ... request; after the last one all is well.
    asked: the headers of every request so far.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("localhost", 0), Handler)
        self.content = b""
        self.etag: str | None = '"one"'
        self.faults: list[str] = []
        self.asked: list[dict[str, str]] = []
        self.go_on = threading.Event()  # what "wait" waits for

    def url(self, path: str = "model.bin") -> str:
        return f"https://localhost:{self.server_address[1]}/{path}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that hangs up is part of the test


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        server, body = self.server, self.server.content
        server.asked.append(dict(self.headers))
        fault = server.faults.pop(0) if server.faults else ""
        if fault.isdigit():
            self.send_error(int(fault))
            return
        if fault.startswith("to "):
            self.send_response(302)
            self.send_header("Location", fault[3:])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if fault == "silent":
            time.sleep(0.6)
            self.close_connection = True
            return
        start = 0
        asks = self.headers.get("Range", "")
        same = self.headers.get("If-Range") == server.etag or fault == "no If-Range"
        if fault == "html":
            body = b"\n<!DOCTYPE html><html>Quota exceeded</html>"
        elif asks and same and fault != "no range":
            start = int(asks.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        if start:
            first = start + 1 if fault == "wrong part" else start
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        if server.etag:
            self.send_header("ETag", server.etag)
        self.send_header("Content-Type", "text/html" if fault == "typed html" else "application/octet-stream")
        body = body[start:]
        if fault == "endless":
            self.send_header("Connection", "close")
            self.close_connection = True
            body += b"more"
        elif fault == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
            body = (
                b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:9], body[9:])) + b"0\r\n\r\n"
            )
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if fault in ("cut", "wait", "slow"):
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            if fault == "wait":
                server.go_on.wait(20)
            elif fault == "slow":
                time.sleep(0.6)
            self.close_connection = True
            return
        self.wfile.write(body)


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """A running server, its certificate at folder/cert.pem."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("the openssl command makes the test's certificate")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server = Server()
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.go_on.set()
        server.shutdown()
        with suppress(OSError):
            server.server_close()
