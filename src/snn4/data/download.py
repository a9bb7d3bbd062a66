"""Files from the network: resumed where they stopped, checked before they get their name.

A file grows as `name.partial` beside its final name. It is renamed when its checksum is right, and deleted when it is
wrong, so `name` is either absent or whole. What a cut connection leaves of it is continued by the next attempt, and by
the next call.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import re
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from snn4.core.errors import DataFileError, OptionError, StorageError
from snn4.core.files import make_folder
from snn4.data.sets.source import Remote

__all__ = ["fetch"]

_CHUNK = 1 << 18
# what a transfer can fail with, other than an HTTP status: cut, refused, unresolved, timed out, nonsense
_TRANSFER = (http.client.HTTPException, OSError, ValueError)

_Report = Callable[[int, int | None], None]


def fetch(
    remote: Remote,
    folder: str | os.PathLike[str],
    *,
    progress: bool = True,
    timeout: float = 30.0,
    attempts: int = 3,
    pause: float = 1.0,
) -> Path:
    """Download a file into a folder, unless it is there already.

    Args:
        remote: the file: its name, addresses and checksum.
        folder: where it goes; created if need be.
        progress: show how it gets on, on standard error.
        timeout: seconds without an answer before an attempt is given up.
        attempts: how often an address is tried before the next one. What has arrived is kept in between.
        pause: seconds before the second attempt; doubled every time.

    Returns:
        The path of the file; its checksum has been held against `remote`.

    Raises:
        OptionError: an address that is not http or https, or a checksum of an unknown kind.
        DataFileError: no address gave the file; the message lists what each of them answered.
        StorageError: the folder cannot be written, or the disk is full.
    """
    for url in remote.urls:
        if not url.startswith(("http://", "https://")):
            raise OptionError(f"fetch got the address {url!r}", "one that begins with http:// or https://")
    if remote.checksum.split(":")[0] not in ("md5", "sha256"):
        raise OptionError(f"fetch got the checksum {remote.checksum!r}", "md5:... or sha256:...")
    folder = make_folder(folder, "Choose another one with --data or SNN4_DATA.")
    final, partial = folder / remote.name, folder / f"{remote.name}.partial"
    if final.is_file() and _digest(final, remote.checksum) == remote.checksum:
        return final
    failures: list[str] = []
    for url in remote.urls:
        for attempt in range(attempts):
            if attempt:
                time.sleep(pause * 2 ** (attempt - 1))
            resumed = _length(partial) > 0
            try:
                with _progress(remote.name, shown=progress) as report:
                    _receive(url, partial, remote, timeout, report)
            except urllib.error.HTTPError as cause:
                failures.append(f"{url}: HTTP status {cause.code} {cause.reason}")
                # a server that is out of order may come back, one that does not know the file will not
                if cause.code < 500:
                    break
                continue
            except StorageError:
                raise
            except _TRANSFER as cause:
                failures.append(f"{url}: {_reason(cause)}")
                continue
            came = _digest(partial, remote.checksum)
            if came == remote.checksum:
                _settle(partial, final)
                return final
            partial.unlink()
            failures.append(f"{url}: {_length_text(remote)}checksum {came}")
            # a whole file of another content will be sent again; one put together from two transfers deserves another
            if not resumed:
                break
    raise DataFileError(
        f"{remote.name} could not be downloaded ({'; '.join(failures)})",
        f"a file with {remote.checksum}",
        f"Check the network and try again: what has arrived is kept. Or put the file into {folder} by hand.",
    )


def _receive(url: str, partial: Path, remote: Remote, timeout: float, report: _Report) -> None:
    """Let `partial` grow to the whole file.

    Raises:
        HTTPError, HTTPException, OSError, ValueError: the transfer failed or ended early.
        StorageError: the file cannot be written.
    """
    start = _length(partial)
    if start and start == remote.size:
        return
    headers = {"User-Agent": "snn4", "Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        # the scheme has been checked by fetch
        request = urllib.request.Request(url, headers=headers)  # noqa: S310
        response = urllib.request.urlopen(request, timeout=timeout)  # noqa: S310
    except urllib.error.HTTPError as cause:
        cause.close()
        if cause.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            # there is nothing behind what is here: it is whole, which the checksum will tell, or of another file
            return
        raise
    with response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            start = 0
        elif not re.match(rf"bytes {start}-", response.headers.get("Content-Range", "")):
            raise ValueError("the server sent another part than the one asked for")
        announced = response.headers.get("Content-Length")
        total = start + int(announced) if announced is not None else remote.size
        _need_room(partial, None if total is None else total - start)
        with _writing(partial), partial.open("ab" if start else "wb") as file:
            done = start
            report(done, total)
            while chunk := _read(response):
                file.write(chunk)
                done += len(chunk)
                report(done, total)
            file.flush()
            os.fsync(file.fileno())
    if total is not None and done < total:
        raise ConnectionError(f"the connection ended after {done} of {total} bytes")


class _CutError(Exception):
    """A reading error on its way through code that turns errors of its own kind into errors of the disk."""

    def __init__(self, reason: Exception) -> None:
        super().__init__(reason)
        self.reason = reason


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(_CHUNK)
    except _TRANSFER as cause:
        raise _CutError(cause) from cause


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Tell errors of the disk from errors of the network: both are `OSError`."""
    try:
        yield
    except _CutError as cut:
        raise cut.reason from None
    except OSError as cause:
        raise StorageError(
            f"writing {path} failed ({cause.strerror or cause})",
            "a folder that can be written and has free space",
            "What has arrived is kept. Free some space, or choose another folder with SNN4_DATA.",
        ) from cause


def _need_room(path: Path, size: int | None) -> None:
    free = shutil.disk_usage(path.parent).free
    if size is not None and size > free:
        raise StorageError(
            f"{path.parent} has {free} bytes free",
            f"room for {size} more",
            "Free some space, or choose another folder with SNN4_DATA.",
        )


def _settle(partial: Path, final: Path) -> None:
    try:
        os.replace(partial, final)
    except OSError as cause:
        raise StorageError(
            f"{partial} cannot be renamed to {final.name} ({cause.strerror or cause})",
            "a folder that can be written",
            "Choose another folder with SNN4_DATA.",
        ) from cause


def _digest(path: Path, like: str) -> str:
    """The checksum of a file, written like `like`: `md5:...`."""
    kind = like.split(":")[0]
    with path.open("rb") as file:
        return f"{kind}:{hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()}"


def _length(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _length_text(remote: Remote) -> str:
    return "" if remote.size is None else f"expected {remote.size} bytes, "


def _reason(cause: BaseException) -> str:
    inner = cause.reason if isinstance(cause, urllib.error.URLError) else cause
    return str(inner) or type(inner).__name__


@contextlib.contextmanager
def _progress(name: str, *, shown: bool) -> Iterator[_Report]:
    """A bar where rich is installed, a line every tenth of the way where it is not, else nothing."""
    if not shown:
        yield lambda done, total: None
        return
    try:
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
    except ImportError:
        yield _lines(name)
        return
    from rich.console import Console

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    bar: AbstractContextManager[Progress] = Progress(*columns, console=Console(stderr=True))
    with bar as display:
        task = display.add_task(name, total=None)
        yield lambda done, total: display.update(task, completed=done, total=total)


def _lines(name: str) -> _Report:
    last = -1

    def report(done: int, total: int | None) -> None:
        nonlocal last
        tenth = 10 * done // total if total else done >> 24
        if tenth > last:
            last = tenth
            share = f"{10 * tenth} %" if total else f"{done >> 20} MiB"
            sys.stderr.write(f"{name}: {share}\n")

    return report
