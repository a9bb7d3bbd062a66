"""Files and a web server to test with."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees or fills the cache of whoever runs it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("SNN4_DATA", raising=False)


REAL = os.environ.get("SNN4_DATA")


@pytest.fixture
def real_data() -> Path:
    """The folder with the real data sets."""
    if not REAL:
        pytest.skip("reads the real data sets: set SNN4_DATA to their folder")
    return Path(REAL)


def idx_bytes(array: np.ndarray) -> bytes:
    """An IDX file, written from the description of the format."""
    header = bytes([0, 0, 8, array.ndim]) + b"".join(length.to_bytes(4, "big") for length in array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def idx() -> Callable[[np.ndarray], bytes]:
    return idx_bytes


@pytest.fixture
def python_batch() -> Callable[..., bytes]:
    """A batch file of the python version of CIFAR-10, instruction by instruction as the published ones."""
    return python_batch_bytes


def python_batch_bytes(pixels: np.ndarray, labels: list[int], files: list[str], title: str) -> bytes:
    memo = 0

    def put() -> bytes:
        nonlocal memo
        memo += 1
        return b"q" + bytes([memo]) if memo < 256 else b"r" + struct.pack("<I", memo)

    def text(value: str) -> bytes:
        return b"U" + bytes([len(value)]) + value.encode()

    def items(values: list[bytes]) -> bytes:
        return b"".join(b"(" + b"".join(values[i : i + 1000]) + b"e" for i in range(0, len(values), 1000))

    def number(value: int) -> bytes:
        return b"K" + bytes([value]) if value < 256 else b"M" + struct.pack("<H", value)

    content = pixels.tobytes()
    parts = [
        b"\x80\x02}" + put() + b"(",
        text("batch_label") + put() + text(title) + put(),
        text("labels") + put() + b"]" + put() + items([number(label) for label in labels]),
        text("data") + put(),
        b"cnumpy.core.multiarray\n_reconstruct\n" + put() + b"cnumpy\nndarray\n" + put(),
        b"K\x00\x85U\x01b\x87R" + put(),
        b"(K\x01" + number(len(pixels)) + b"M" + struct.pack("<H", 3072) + b"\x86",
        b"cnumpy\ndtype\n" + put() + b"U\x02u1K\x00K\x01\x87R" + put(),
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89",
        b"T" + struct.pack("<i", len(content)) + content + b"tb",
        text("filenames") + put() + b"]" + put(),
        items([text(name) + put() for name in files]),
        b"u.",
    ]
    return b"".join(parts)


@dataclass
class Behaviour:
    """What the server does, and what it was asked for.

    cut: after how many bytes the connections of the next requests end.
    status: what the next requests are answered with, instead of the content.
    """

    content: bytes = b""
    ranges: bool = True
    cut: list[int] = field(default_factory=list)
    status: list[int] = field(default_factory=list)
    length: int | None = None
    wrong_range: bool = False
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Behaviour]:
    """A web server on this machine that fails in the ways it is told to."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    told = Behaviour()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            span = self.headers.get("Range")
            told.asked.append((self.path, span))
            content = told.files.get(self.path.removeprefix("/"), told.content)
            if told.status:
                self.send_error(told.status.pop(0))
                return
            start = int(span.removeprefix("bytes=").removesuffix("-")) if span and told.ranges else 0
            if start >= len(content) and start:
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            if start:
                first = start - 1 if told.wrong_range else start
                self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(told.length or len(content) - start))
            self.end_headers()
            rest = content[start:]
            self.wfile.write(rest[: told.cut.pop(0)] if told.cut else rest)
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        told.address = f"http://127.0.0.1:{running.server_port}/"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield told
        running.shutdown()
        thread.join()
