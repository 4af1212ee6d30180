"""Content by hash: canonical names, whole files or none, and tars that come out as they went in."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import io
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import threading
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from random import Random

import pytest

from vaas.content import Content, pack, snapshot_of
from vaas.errors import Invalid, NotFound, TooLarge, Unavailable
from vaas.model import File
from vaas.runtime.content import unpack

A, B = File("a.ipynb", "a" * 64, 1), File("data/b.csv", "b" * 64, 2)
LONG = "/".join(["folder-with-a-long-name"] * 12) + "/data.csv"
NAMES = [
    "a.ipynb",
    "data/b.csv",
    "with space",
    LONG,
    "x" * 200,
    "Zürich – 東京 🌍.txt",
    f"{'é' * 100}/{'ø' * 50}.txt",
    "-",
]


@pytest.fixture
def content(tmp_path: Path) -> Content:
    return Content(tmp_path / "content")


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def left(content: Content) -> list[str]:
    """Return the names of all files under the content's folder."""
    return sorted(path.name for path in content.root.rglob("*") if path.is_file() and path.name != ".lock")


def test_the_hash_of_a_snapshot_is_that_of_its_canonical_listing() -> None:
    listing = f'{{"notebook":"a.ipynb","files":[["a.ipynb","{A.sha256}",1],["data/b.csv","{B.sha256}",2]]}}'
    assert snapshot_of("a.ipynb", [A, B]).hash == hashlib.sha256(listing.encode()).hexdigest()


def test_the_order_of_files_does_not_count() -> None:
    files = [File(name, f"{i:064x}", i) for i, name in enumerate(NAMES)]
    hashes = set()
    for seed in range(20):
        Random(seed).shuffle(files)
        hashes.add(snapshot_of("a.ipynb", iter(files)).hash)
    assert len(hashes) == 1


@pytest.mark.parametrize(
    "files",
    [
        [A],
        [A, File(B.path, "c" * 64, 2)],
        [A, File("data/c.csv", B.sha256, 2)],
        [A, File(B.path, B.sha256, 3)],
        [A, B, File("c", "c" * 64, 0)],
    ],
)
def test_whatever_differs_changes_the_hash(files: list[File]) -> None:
    assert snapshot_of("a.ipynb", files).hash != snapshot_of("a.ipynb", [A, B]).hash


def test_which_notebook_runs_changes_the_hash() -> None:
    assert snapshot_of("a.ipynb", [A, B]).hash != snapshot_of("data/b.csv", [A, B]).hash


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "..",
        "../x",
        "a/../../x",
        "a/./b",
        "a//b",
        "a/",
        "a\\b",
        "a\0b",
        "a\nb",
        "\x1b[0m",
        "x" * 501,
        f"{'é' * 130}.csv",
        "\ud800.csv",
        "a.ipynb/inside",
    ],
)
def test_a_path_that_no_folder_can_hold_is_refused(path: str) -> None:
    with pytest.raises(Invalid):
        snapshot_of("a.ipynb", [A, File(path, "c" * 64, 1)])


def test_a_path_stands_once_and_the_notebook_is_among_the_files() -> None:
    with pytest.raises(Invalid):
        snapshot_of("a.ipynb", [A, File("a.ipynb", "c" * 64, 1)])
    with pytest.raises(Invalid):
        snapshot_of("b.ipynb", [A])


async def test_the_same_bytes_are_kept_once_however_they_come(content: Content) -> None:
    data = b"hello" * 1000
    known = hashlib.sha256(data).hexdigest()
    assert content.add(data) == content.add(data) == (known, 5000)
    assert await content.add_stream(chunks(data[:7], b"", data[7:]), limit=5000) == (known, 5000)
    assert left(content) == [known]
    assert content.read(known) == data
    assert stat.S_IMODE(content.path(known).stat().st_mode) == 0o400


async def test_a_stream_over_the_limit_leaves_nothing_behind(content: Content) -> None:
    with pytest.raises(TooLarge):
        await content.add_stream(chunks(b"x" * 10, b"x"), limit=10)
    assert left(content) == []


async def test_a_stream_that_breaks_leaves_nothing_behind(content: Content) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * 100_000
        raise Unavailable("The store does not answer.")

    with pytest.raises(Unavailable):
        await content.add_stream(broken(), limit=1_000_000)
    assert left(content) == []


async def test_a_stream_that_is_given_up_leaves_nothing_behind(content: Content) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            await asyncio.sleep(0)

    task = asyncio.create_task(content.add_stream(endless(), limit=1_000_000_000))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert left(content) == []


@pytest.mark.parametrize(
    "name", ["", "..", "../../etc/passwd", "A" * 64, "g" * 64, "a" * 63, "a" * 65, "a" * 62 + "/x"]
)
def test_only_a_hash_names_a_file(content: Content, name: str) -> None:
    with pytest.raises(NotFound):
        content.read(name)


def test_what_was_never_kept_is_not_found(content: Content) -> None:
    with pytest.raises(NotFound):
        content.path("0" * 64)


def test_what_was_added_before_a_time_is_removed_and_nothing_else(content: Content) -> None:
    first, second = content.add(b"1")[0], content.add(b"2")[0]
    assert content.present() == {first, second}
    assert not content.remove(second, before=content.path(second).stat().st_ctime)
    assert not content.remove("a" * 64, before=1e12)
    assert content.remove(second, before=1e12)
    assert content.present() == {first}
    with pytest.raises(NotFound):
        content.read(second)


async def test_what_is_added_again_counts_from_then(content: Content) -> None:
    """Also where it is there already, so that nothing is written."""
    once = content.add(b"1")[0]
    for again in (lambda: content.add(b"1"), None):
        os.utime(content.path(once), (1, 1))
        before = content.path(once).stat().st_ctime_ns
        assert content.path(once).stat().st_mtime == 1
        if again is None:
            await content.add_stream(chunks(b"1"), limit=9)
        else:
            again()
        added = content.path(once).stat()
        assert added.st_mtime > 1 and added.st_ctime_ns >= before


def test_who_adds_waits_for_who_removes_and_has_it_afterwards(content: Content) -> None:
    """The remover holds the folder between its look and its removal: whoever adds then adds anew."""
    once = content.add(b"1")[0]
    lock = os.open(content.root / ".lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    adding = threading.Thread(target=content.add, args=(b"1",))
    adding.start()
    adding.join(0.3)
    assert adding.is_alive()
    content.path(once).unlink()
    os.close(lock)
    adding.join(30)
    assert content.read(once) == b"1"


def stored(content: Content, names: Iterable[str]) -> tuple[File, ...]:
    return tuple(File(name, *content.add(name.encode() * i)) for i, name in enumerate(names))


def test_a_tar_comes_out_as_it_went_in(content: Content, tmp_path: Path) -> None:
    snapshot = snapshot_of("a.ipynb", stored(content, NAMES))
    packed = b"".join(pack(content, snapshot))
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        members = archive.getmembers()
        assert [m.name for m in members] == [file.path for file in snapshot.files]
        assert {(m.isreg(), m.uid, m.gid, m.mtime, m.mode) for m in members} == {(True, 0, 0, 0, 0o444)}
        archive.extractall(tmp_path / "out", filter="data")
    for file in snapshot.files:
        assert hashlib.sha256((tmp_path / "out" / file.path).read_bytes()).hexdigest() == file.sha256
    assert b"".join(pack(content, snapshot)) == packed


def test_an_app_server_unpacks_every_snapshot_that_can_be_made(content: Content, tmp_path: Path) -> None:
    snapshot = snapshot_of("a.ipynb", stored(content, [*NAMES, "y" * 255, "é" * 127]))
    (tmp_path / "out").mkdir()
    unpack(io.BytesIO(b"".join(pack(content, snapshot))), tmp_path / "out", files=snapshot.files)
    assert len([path for path in (tmp_path / "out").rglob("*") if path.is_file()]) == len(snapshot.files)


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 1 << 20, (1 << 20) + 1])
def test_sizes_around_a_block_are_packed_right(content: Content, size: int) -> None:
    snapshot = snapshot_of("a", [File("a", *content.add(b"x" * size)), File("b", *content.add(b"end"))])
    with tarfile.open(fileobj=io.BytesIO(b"".join(pack(content, snapshot)))) as archive:
        assert [m.size for m in archive] == [size, 3]


def test_a_lost_file_ends_a_tar_with_an_error(content: Content) -> None:
    snapshot = snapshot_of("a", [File("a", *content.add(b"x"))])
    content.path(snapshot.files[0].sha256).unlink()
    with pytest.raises(NotFound):
        list(pack(content, snapshot))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_said_in_words(content: Content) -> None:
    content.root.chmod(0o500)
    try:
        with pytest.raises(Unavailable):
            content.add(b"x")
    finally:
        content.root.chmod(0o700)


def test_a_folder_that_is_gone_is_said_in_words(content: Content) -> None:
    content.root.rmdir()
    with pytest.raises(Unavailable) as said:
        content.add(b"x")
    assert str(content.root) not in said.value.message


ON_A_FULL_DISK = """
import asyncio, sys
from pathlib import Path
from vaas.content import Content
from vaas.errors import StorageFull

async def parts():
    for _ in range(100):
        yield b"x" * 5000

content, root = Content(Path(sys.argv[1]) / "content"), Path(sys.argv[1])
kept = content.add(b"kept")[0]
for attempt in (lambda: content.add(b"y" * 400_001), lambda: asyncio.run(content.add_stream(parts(), limit=10**9))):
    try:
        attempt()
    except StorageFull as error:
        assert "full" in error.message
    else:
        raise SystemExit("it fitted")
files = [path.name for path in root.rglob("*") if path.is_file() and path.name != ".lock"]
assert files == [kept], files
assert content.read(kept) == b"kept" and content.add(b"more")
print("as it should be")
"""


def test_a_full_disk_is_said_in_words_and_nothing_is_left_behind(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f'mount -t tmpfs -o size=256k tmpfs "{disk}" && exec "{sys.executable}" -c "$1" "{disk}"'
    private = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if shutil.which("unshare") is None or subprocess.run([*private, f'mount -t tmpfs tmpfs "{disk}"']).returncode:
        pytest.skip("this system does not let us make a small disk")
    result = subprocess.run([*private, script, "sh", ON_A_FULL_DISK], capture_output=True, text=True, timeout=30)
    assert result.stdout == "as it should be\n", result.stderr


async def test_several_files_are_kept_together_or_not_at_all(content: Content) -> None:
    with pytest.raises(ValueError, match="changed its mind"), content.together() as begun:
        begun.add(b"1")
        raise ValueError("changed its mind")
    assert left(content) == []
    with content.together() as begun:
        digests = {begun.add(b"1")[0], begun.add(b"2")[0]}
        with pytest.raises(NotFound):
            content.read(min(digests))
    assert set(left(content)) == digests
    assert {content.read(digest) for digest in digests} == {b"1", b"2"}


def test_what_a_process_began_that_is_gone_is_removed_and_nothing_else(content: Content) -> None:
    kept = content.add(b"1")[0]
    for name in (".pending-file", ".pending-folder/ab/cd"):
        (content.root / name).parent.mkdir(parents=True, exist_ok=True)
        (content.root / name).write_bytes(b"half")
    assert content.remove_leftovers(seconds=3600) == 0
    for begun in (*content.root.glob(".pending-*"), *content.root.glob("*/*")):
        os.utime(begun, (0, 0))
    assert content.remove_leftovers(seconds=3600) == 1, "in the folder something is written still"
    for begun in content.root.rglob("*"):
        os.utime(begun, (0, 0))
    assert content.remove_leftovers(seconds=3600) == 1
    assert left(content) == [kept] and not list(content.root.glob(".pending-*"))


async def test_what_is_put_aside_goes_and_is_known_as_begun(content: Content) -> None:
    async with content.aside() as aside:
        (aside / "half").write_bytes(b"1")
        assert content.remove_leftovers(seconds=3600) == 0
    assert not aside.exists()
    async with content.aside() as aside:
        os.utime(aside, (0, 0))
        assert content.remove_leftovers(seconds=3600) == 1, "as if its process had died"
