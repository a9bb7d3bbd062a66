from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import pytest

from snn4.core.errors import DataFileError, OptionError, StorageError
from snn4.data import Remote
from snn4.data.download import fetch

CONTENT = bytes(range(256)) * 400


def remote(*addresses: str, content: bytes = CONTENT, size: int | None = len(CONTENT), kind: str = "md5") -> Remote:
    return Remote("file.gz", addresses, f"{kind}:{hashlib.new(kind, content).hexdigest()}", size)


def get(wanted: Remote, folder: Path, **options) -> Path:
    return fetch(wanted, folder, **({"progress": False, "pause": 0.0} | options))


@pytest.fixture(autouse=True)
def content(server):
    server.content = CONTENT


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize("kind", ["md5", "sha256"])
@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_a_file_is_fetched_once(kind, size, server, tmp_path):
    folder = tmp_path / "new" / "folder"
    wanted = remote(server.address, kind=kind, size=size)
    assert get(wanted, folder) == folder / "file.gz"
    assert (folder / "file.gz").read_bytes() == CONTENT
    assert left(folder) == ["file.gz"]
    get(wanted, folder)
    assert server.asked == [("/", None)]


def test_a_cut_connection_is_resumed(server, tmp_path):
    server.cut = [1000, 500]
    get(remote(server.address), tmp_path)
    assert (tmp_path / "file.gz").read_bytes() == CONTENT
    assert server.asked == [("/", None), ("/", "bytes=1000-"), ("/", "bytes=1500-")]


def test_the_next_call_goes_on_where_the_last_one_stopped(server, tmp_path):
    server.cut = [1000] * 3
    with pytest.raises(DataFileError, match=r"ended after 3000 of 102400 bytes.*what has arrived is kept"):
        get(remote(server.address), tmp_path)
    assert left(tmp_path) == ["file.gz.partial"]
    get(remote(server.address), tmp_path)
    assert server.asked[-1] == ("/", "bytes=3000-")
    assert left(tmp_path) == ["file.gz"]


def test_a_server_without_ranges_starts_anew(server, tmp_path):
    server.ranges = False
    server.cut = [1000]
    get(remote(server.address), tmp_path)
    assert (tmp_path / "file.gz").read_bytes() == CONTENT
    assert server.asked == [("/", None), ("/", "bytes=1000-")]


def test_another_range_than_asked_for_is_not_believed(server, tmp_path):
    server.cut = [1000]
    server.wrong_range = True
    with pytest.raises(DataFileError, match="another part than the one asked for"):
        get(remote(server.address), tmp_path)


@pytest.mark.parametrize("status", [404, 403, 503])
def test_the_mirror_is_asked_when_the_first_address_fails(status, server, tmp_path):
    server.status = [status] * (3 if status >= 500 else 1)
    get(remote(f"{server.address}first", f"{server.address}second"), tmp_path)
    paths = [path for path, _ in server.asked]
    # only a server that is out of order is asked again
    assert paths == ["/first"] * (3 if status >= 500 else 1) + ["/second"]


def test_a_mirror_goes_on_with_what_the_first_address_gave(server, tmp_path):
    server.cut = [1000]
    get(remote(f"{server.address}first", f"{server.address}second"), tmp_path, attempts=1)
    assert server.asked == [("/first", None), ("/second", "bytes=1000-")]
    assert (tmp_path / "file.gz").read_bytes() == CONTENT


def test_every_failure_is_told(server, tmp_path):
    server.status = [404, 410]
    with pytest.raises(DataFileError) as refusal:
        get(remote(f"{server.address}first", f"{server.address}second"), tmp_path)
    text = str(refusal.value)
    assert f"{server.address}first: HTTP status 404" in text
    assert f"{server.address}second: HTTP status 410" in text
    assert "by hand" in text
    assert str(tmp_path) in text


def test_a_wrong_checksum_leaves_nothing_behind(server, tmp_path):
    server.content = CONTENT[::-1]
    with pytest.raises(DataFileError, match="checksum md5:"):
        get(remote(f"{server.address}first", f"{server.address}second"), tmp_path)
    assert left(tmp_path) == []
    # each address is asked once: it would send the same again
    assert len(server.asked) == 2


def test_a_stale_beginning_is_thrown_away(server, tmp_path):
    (tmp_path / "file.gz.partial").write_bytes(b"x" * 100)
    get(remote(server.address), tmp_path)
    assert (tmp_path / "file.gz").read_bytes() == CONTENT
    assert server.asked == [("/", "bytes=100-"), ("/", None)]


@pytest.mark.parametrize("size", [len(CONTENT), None])
@pytest.mark.parametrize("beginning", [CONTENT, CONTENT + b"x"])
def test_a_beginning_that_is_whole_or_too_long(size, beginning, server, tmp_path):
    (tmp_path / "file.gz.partial").write_bytes(beginning)
    get(remote(server.address, size=size), tmp_path)
    assert (tmp_path / "file.gz").read_bytes() == CONTENT
    assert left(tmp_path) == ["file.gz"]


def test_a_damaged_file_is_replaced(server, tmp_path):
    (tmp_path / "file.gz").write_bytes(b"damaged")
    get(remote(server.address), tmp_path)
    assert (tmp_path / "file.gz").read_bytes() == CONTENT


def test_no_server_at_all(tmp_path, server):
    import socket

    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        with pytest.raises(DataFileError, match=r"Connection refused.*Check the network"):
            get(remote(address), tmp_path)
    assert left(tmp_path) == []


def test_only_web_addresses_and_known_checksums(tmp_path):
    with pytest.raises(OptionError, match="file:///etc/passwd"):
        get(remote("file:///etc/passwd"), tmp_path)
    with pytest.raises(OptionError, match="crc32"):
        get(Remote("a", ("http://127.0.0.1/",), "crc32:0"), tmp_path)


def test_a_folder_that_cannot_be_made(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be used"):
        get(remote(server.address), tmp_path / "file" / "folder")


def test_too_little_room_is_told_before_the_transfer(server, tmp_path):
    server.length = 1 << 60
    with pytest.raises(StorageError, match=f"room for {1 << 60} more"):
        get(remote(server.address, size=None), tmp_path)
    assert left(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, a device on which every write fails")
def test_a_full_disk_is_told_from_a_broken_network(server, tmp_path):
    (tmp_path / "file.gz.partial").symlink_to("/dev/full")
    with pytest.raises(StorageError, match="No space left"):
        get(remote(server.address), tmp_path)
    assert len(server.asked) == 1


def test_progress_is_a_bar_with_rich(server, tmp_path, capsys):
    get(remote(server.address), tmp_path, progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "file.gz" in shown.err
    assert "102.4/102.4 kB" in shown.err


def test_progress_is_lines_without_rich(server, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    get(remote(server.address), tmp_path, progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines()[0] == "file.gz: 0 %"
    assert shown.err.splitlines()[-1] == "file.gz: 100 %"


def test_no_progress_is_silent(server, tmp_path, capsys):
    get(remote(server.address), tmp_path)
    assert capsys.readouterr() == ("", "")
