"""A folder on disk as a store."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.contract.store import Behind, OnDisk, StoreContract
from vaas.errors import Conflict, Forbidden, Invalid, NotFound, StorageFull, TooLarge, Unavailable, VaasError
from vaas.stores import lending
from vaas.stores.base import Store
from vaas.stores.folder import FolderStore

NOBODY = 65534


class TestFolderStore(StoreContract):
    """The contract, on a temporary folder."""

    @pytest.fixture
    def behind(self, tmp_path: Path) -> Behind:
        (tmp_path / "secret.txt").write_bytes(b"secret")
        (tmp_path / "root").mkdir()
        return OnDisk(tmp_path / "root")

    @pytest.fixture
    def store(self, behind: Behind, tmp_path: Path) -> Store:
        return FolderStore("home", "Home", tmp_path / "root")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a secret beside it."""
    (tmp_path / "root" / "inside").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_bytes(b"secret")
    return tmp_path / "root"


@pytest.fixture
def store(root: Path) -> FolderStore:
    return FolderStore("home", "Home", root)


async def refused(store: FolderStore, path: str) -> None:
    """See every way to ``path`` refused."""
    for attempt in (store.stat(path), store.read(path, limit=100), store.list(path)):
        with pytest.raises((Invalid, NotFound)):
            await attempt
    with pytest.raises((Invalid, NotFound, Conflict)):
        await store.write(path, b"overwritten", if_match=None)
    with pytest.raises((Invalid, NotFound, Conflict)):
        await store.make_folder(path)


async def test_links_that_lead_out_are_refused_and_not_listed(store: FolderStore, root: Path) -> None:
    (root / "file").symlink_to("../outside/secret.txt")
    (root / "folder").symlink_to(root.parent / "outside")
    (root / "new").symlink_to(root.parent / "outside" / "new.txt")
    (root / "chain").symlink_to("folder")
    for path in ("file", "folder", "new", "chain", "folder/secret.txt", "chain/secret.txt", "folder/new.txt"):
        await refused(store, path)
        with pytest.raises(Invalid, match="leads out of “Home”"):
            await store.stat(path)
    assert [e.path for e in await store.list("")] == ["inside"]
    assert sorted(os.listdir(root.parent / "outside")) == ["secret.txt"]
    assert (root.parent / "outside" / "secret.txt").read_bytes() == b"secret"


async def test_links_that_stay_inside_are_followed(store: FolderStore, root: Path) -> None:
    (root / "inside" / "data.csv").write_bytes(b"1,2")
    (root / "link.csv").symlink_to("inside/data.csv")
    (root / "linked").symlink_to("inside")
    assert [(e.path, e.folder) for e in await store.list("")] == [
        ("inside", True),
        ("linked", True),
        ("link.csv", False),
    ]
    entry = await store.stat("link.csv")
    await store.write("link.csv", b"3,4,5", if_match=entry.etag)
    assert await store.read("linked/data.csv", limit=100) == b"3,4,5"
    assert (root / "link.csv").is_symlink()


async def test_a_link_is_no_way_to_hidden_names(store: FolderStore, root: Path) -> None:
    (root / ".ssh").mkdir()
    (root / ".ssh" / "key").write_bytes(b"secret")
    (root / "key").symlink_to(".ssh/key")
    (root / "ssh").symlink_to(".ssh")
    await refused(store, "key")
    await refused(store, "ssh/key")


async def test_links_in_a_circle_are_refused(store: FolderStore, root: Path) -> None:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    await refused(store, "a")
    assert [e.path for e in await store.list("")] == ["inside"]


async def test_a_folder_swapped_for_a_link_after_the_check_is_refused(store: FolderStore, root: Path) -> None:
    parts = store._resolve("inside/secret.txt")
    (root / "inside").rmdir()
    (root / "inside").symlink_to(root.parent / "outside")
    with pytest.raises(OSError) as caught, store._folder(parts[:-1]):
        pass
    assert caught.value.errno in {errno.ELOOP, errno.ENOTDIR}


async def test_the_root_itself_may_be_a_link(root: Path) -> None:
    (root / "file.txt").write_bytes(b"x")
    (root.parent / "alias").symlink_to(root)
    store = FolderStore("home", "Home", root.parent / "alias")
    assert await store.read("file.txt", limit=1) == b"x"


async def test_special_files_are_neither_listed_nor_opened(store: FolderStore, root: Path) -> None:
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.getcwd()
        os.chdir(root)  # a socket's address may not be longer than 107 bytes
        try:
            listener.bind("socket")
        finally:
            os.chdir(here)
        await refused(store, "fifo")
        await refused(store, "socket")
        assert [e.path for e in await store.list("")] == ["inside"]


async def test_names_that_cannot_be_asked_for_are_not_listed(store: FolderStore, root: Path) -> None:
    for name in (b"not utf-8 \xff", b"back\\slash", b"line\nbreak"):
        (Path(os.fsdecode(os.path.join(os.fsencode(root), name)))).write_bytes(b"x")
    assert [e.path for e in await store.list("")] == ["inside"]
    for path in ("\ud800", "x" * 300):
        with pytest.raises(Invalid):
            await store.stat(path)


async def test_a_read_only_store_is_not_written(root: Path) -> None:
    store = FolderStore("shared", "Shared", root, writable=False)
    with pytest.raises(Forbidden, match="Shared"):
        await store.write("a.txt", b"x", if_match=None)
    with pytest.raises(Forbidden, match="Shared"):
        await store.make_folder("a")
    assert os.listdir(root) == ["inside"]


async def test_a_root_that_is_gone_is_unavailable_and_named(tmp_path: Path) -> None:
    store = FolderStore("home", "Home", tmp_path / "not mounted")
    for attempt in (store.list(""), store.read("a", limit=1), store.write("a", b"", if_match=None)):
        with pytest.raises(Unavailable, match="Home") as caught:
            await attempt
        assert str(tmp_path) not in caught.value.message


@contextmanager
def as_nobody() -> Iterator[None]:
    """Give up root's rights, which no file mode can stop; no-op for anybody else."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


async def test_what_the_system_forbids_is_forbidden() -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "closed.txt").write_bytes(b"secret")
        (root / "closed.txt").chmod(0o000)
        (root / "closed").mkdir(mode=0o000)
        root.chmod(0o555)
        store = FolderStore("home", "Home", root)
        try:
            with as_nobody():
                for attempt in (
                    store.read("closed.txt", limit=10),
                    store.list("closed"),
                    store.write("new.txt", b"x", if_match=None),
                ):
                    with pytest.raises(Forbidden, match="Home"):
                        await attempt
        finally:
            root.chmod(0o755)
            (root / "closed").chmod(0o755)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, StorageFull),
        (errno.EDQUOT, StorageFull),
        (errno.EROFS, Forbidden),
        (errno.EACCES, Forbidden),
        (errno.EIO, Unavailable),
        (errno.ESTALE, Unavailable),
    ],
)
def test_errors_of_the_system_become_ours(store: FolderStore, number: int, kind: type[VaasError]) -> None:
    with pytest.raises(kind) as caught, store._errors("a.txt"):
        raise OSError(number, os.strerror(number), "/srv/homes/alice/a.txt")
    assert "/srv" not in caught.value.message + caught.value.log_message


async def test_a_replaced_file_keeps_its_mode_and_leaves_nothing_behind(store: FolderStore, root: Path) -> None:
    (root / "run.sh").write_bytes(b"old")
    (root / "run.sh").chmod(0o750)
    await store.write("run.sh", b"new text", if_match=(await store.stat("run.sh")).etag)
    assert stat.S_IMODE((root / "run.sh").stat().st_mode) == 0o750
    with pytest.raises(Conflict, match="already"):
        await store.write("run.sh", b"x", if_match=None)
    await store.write("new.txt", b"x", if_match=None)
    assert sorted(os.listdir(root)) == ["inside", "new.txt", "run.sh"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes for others")
async def test_what_root_writes_belongs_to_whom_the_folder_belongs(store: FolderStore, root: Path) -> None:
    os.chown(root, NOBODY, NOBODY)
    written = await store.write("new.txt", b"x", if_match=None)
    await store.write("new.txt", b"xyz", if_match=written.etag)
    await store.make_folder("new")
    assert [(root / name).stat().st_uid for name in ("new.txt", "new")] == [NOBODY, NOBODY]


async def test_another_process_that_writes_is_waited_for(store: FolderStore, root: Path) -> None:
    descriptor = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        writing = asyncio.create_task(store.write("a.txt", b"x", if_match=None))
        await asyncio.sleep(0.2)
        assert not writing.done()
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        assert (await writing).size == 1
    finally:
        os.close(descriptor)


async def test_a_reader_gets_one_file_though_it_is_replaced_meanwhile(store: FolderStore, root: Path) -> None:
    first = await store.write("file.bin", b"a" * 2_000_000, if_match=None)
    chunks = store.chunks("file.bin")
    found = await anext(aiter(chunks))
    await store.write("file.bin", b"b" * 100, if_match=first.etag)
    found += b"".join([chunk async for chunk in chunks])
    assert found == b"a" * 2_000_000


class TestLending:
    """What reads a file by its path gets what was opened, and nothing that took its place since."""

    @pytest.fixture
    def lender(self, root: Path, tmp_path: Path) -> FolderStore:
        return FolderStore("home", "Home", root, aside=tmp_path / "lent")

    async def test_what_leads_out_is_not_lent(self, lender: FolderStore, root: Path) -> None:
        (root / "file").symlink_to("../outside/secret.txt")
        (root / "folder").symlink_to(root.parent / "outside")
        (root / ".hidden").write_bytes(b"x")
        os.mkfifo(root / "fifo")
        for path in ("file", "folder", "folder/secret.txt", ".hidden", "fifo", "../outside/secret.txt", "none"):
            with pytest.raises((Invalid, NotFound)):
                async with lender.borrowed(path, limit=100):
                    pass
        assert list((root.parent / "lent").iterdir()) == []

    async def test_a_link_that_comes_later_changes_nothing(self, lender: FolderStore, root: Path) -> None:
        (root / "data.csv").write_bytes(b"mine")
        async with lender.borrowed("data.csv", limit=100) as path:
            (root / "data.csv").unlink()
            (root / "data.csv").symlink_to("../outside/secret.txt")
            assert path.read_bytes() == b"mine"
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700

    async def test_a_large_file_is_not_copied_on_one_disk(self, lender: FolderStore, root: Path) -> None:
        with (root / "sparse.csv").open("wb") as file:
            file.truncate(10_000_000_000)
        async with lender.borrowed("sparse.csv", limit=100) as path:
            assert path.stat().st_size == 10_000_000_000
            assert path.stat().st_ino == (root / "sparse.csv").stat().st_ino
        assert (root / "sparse.csv").stat().st_nlink == 1

    async def test_what_has_to_be_copied_has_a_limit(
        self, lender: FolderStore, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def no_links(*_: object, **__: object) -> None:
            raise OSError(errno.EXDEV, "Invalid cross-device link")

        monkeypatch.setattr(os, "link", no_links)
        (root / "small.csv").write_bytes(b"x" * 100)
        (root / "large.csv").write_bytes(b"x" * 101)
        async with lender.borrowed("small.csv", limit=100) as path:
            assert path.read_bytes() == b"x" * 100 and path.stat().st_nlink == 1
        with pytest.raises(TooLarge):
            async with lender.borrowed("large.csv", limit=100):
                pass

    async def test_a_folder_is_lent_as_copies_without_links(self, lender: FolderStore, root: Path) -> None:
        cube = root / "cube.zarr"
        (cube / "t").mkdir(parents=True)
        (cube / ".zgroup").write_bytes(b"{}")
        (cube / "t" / "0").write_bytes(b"x" * 50)
        (cube / "t" / "1").write_bytes(b"x" * 5_000)
        (cube / "file").symlink_to(root.parent / "outside" / "secret.txt")
        (cube / "folder").symlink_to(root.parent / "outside")
        os.mkfifo(cube / "fifo")
        async with lender.borrowed("cube.zarr", limit=1_000) as path:
            assert sorted(str(each.relative_to(path)) for each in path.rglob("*")) == [".zgroup", "t", "t/0"]
            assert (path / "t" / "0").stat().st_ino != (cube / "t" / "0").stat().st_ino
        assert not path.exists()

    async def test_a_folder_is_taken_whole_or_not_at_all(
        self, lender: FolderStore, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cube = root / "cube.zarr"
        (cube / "t" / "deep").mkdir(parents=True)
        (cube / ".hidden").mkdir()
        for name in (".zgroup", "t/.zarray", "t/0", "t/deep/1", ".env", ".hidden/x"):
            (cube / name).write_bytes(b"x" * 10)
        (cube / "file").symlink_to(root.parent / "outside" / "secret.txt")
        (cube / "folder").symlink_to(root.parent / "outside")
        os.mkfifo(cube / "fifo")
        assert await lender.take("cube.zarr", tmp_path / "whole", limit=40) == 40
        assert sorted(str(each.relative_to(tmp_path / "whole")) for each in (tmp_path / "whole").rglob("*")) == [
            *(".zgroup", "t", "t/.zarray", "t/0", "t/deep", "t/deep/1")
        ]
        with pytest.raises(TooLarge):
            await lender.take("cube.zarr", tmp_path / "heavy", limit=39)
        for name, value in (("_MOST_WHOLE", 5), ("_DEEPEST_WHOLE", 1)):
            monkeypatch.setattr(lending, name, value)
            with pytest.raises(TooLarge, match="Choose a part of it"):
                await lender.take("cube.zarr", tmp_path / name, limit=1_000)
            monkeypatch.undo()
        (root / "alone.csv").write_bytes(b"x")
        for path in ("none", "alone.csv", "../outside", ".hidden", "cube.zarr/folder"):
            with pytest.raises((NotFound, Invalid)):
                await lender.take(path, tmp_path / "other", limit=1_000)
        (cube / "t" / "0").unlink()
        (tmp_path / "in the way").write_bytes(b"")
        with pytest.raises(VaasError):
            await lender.take("cube.zarr", tmp_path / "in the way" / "x", limit=1_000)

    async def test_links_within_are_found_where_they_lead(self, lender: FolderStore, root: Path) -> None:
        (root / "link").symlink_to("inside")
        assert lender.real("link") == "inside" and lender.real("link/x") == "inside/x"

    async def test_of_a_folder_the_telling_is_lent_however_much_is_in_it(
        self, lender: FolderStore, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in (("_MOST_SEEN", 60), ("_MOST_IN_ONE", 40)):
            monkeypatch.setattr(lending, name, value)
        for variable in ("a", "b", "c"):
            (root / "cube.zarr" / variable).mkdir(parents=True)
            for number in range(100):
                (root / "cube.zarr" / variable / f"{number}").write_bytes(b"x")
            (root / "cube.zarr" / variable / ".zarray").write_bytes(b"{}")
        # More than there is room for, and it hides nothing.
        (root / "cube.zarr" / ".zattrs").write_bytes(b"x" * 2_000)
        looked, scan = list[str](), os.scandir

        class Counted:
            """Counts what is taken from a folder."""

            def __init__(self, folder: int) -> None:
                self._entries = scan(folder)

            def __enter__(self) -> Counted:
                return self

            def __exit__(self, *_: object) -> None:
                self._entries.close()

            def __iter__(self) -> Counted:
                return self

            def __next__(self) -> os.DirEntry[str]:
                entry = next(self._entries)
                looked.append(entry.name)
                return entry

        monkeypatch.setattr(os, "scandir", Counted)
        async with lender.borrowed("cube.zarr", limit=1_000) as path:
            monkeypatch.undo()
            lent = sorted(str(each.relative_to(path)) for each in path.rglob("*") if each.is_file())
        assert {name for name in lent if "." in name} == {"a/.zarray", "b/.zarray", "c/.zarray"}
        assert len(looked) == 60 and 50 <= len(lent) <= 60

    async def test_who_is_cancelled_leaves_nothing_behind(
        self, lender: FolderStore, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (root / "data.csv").write_bytes(b"mine")
        begun, go_on, make = threading.Event(), threading.Event(), tempfile.mkdtemp

        def slow(*args: Any, **named: Any) -> str:
            begun.set()
            assert go_on.wait(30)
            return make(*args, **named)

        monkeypatch.setattr(tempfile, "mkdtemp", slow)

        async def borrow() -> None:
            async with lender.borrowed("data.csv", limit=100):
                raise AssertionError("It was cancelled before.")

        task = asyncio.create_task(borrow())
        assert await asyncio.to_thread(begun.wait, 30)
        task.cancel()
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        # Nothing comes later: whatever was begun in a thread is over.
        await asyncio.get_running_loop().shutdown_default_executor()
        assert list((root.parent / "lent").iterdir()) == [] and (root / "data.csv").stat().st_nlink == 1

    def test_what_a_dead_process_left_is_removed_and_what_is_lent_is_not(self, tmp_path: Path) -> None:
        code = "import sys, time; from pathlib import Path; from vaas.stores.lending import Loan\n"
        code += "loan = Loan(Path(sys.argv[1])); print(loan.begin(), flush=True); time.sleep(60)"
        with subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            folder, mine = Path(process.stdout.readline().strip()), lending.Loan(tmp_path)
            (folder / "file").write_bytes(b"x")
            mine.begin()
            lending.remove_leftovers(tmp_path)
            assert len(list(tmp_path.iterdir())) == 2 and (folder / "file").exists()
            process.kill()
        lending.remove_leftovers(tmp_path)
        assert len(list(tmp_path.iterdir())) == 1 and not folder.exists()
        mine.end()
        mine.end()
        assert list(tmp_path.iterdir()) == []

    def test_where_there_are_no_locks_age_decides(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def no_locks(*_: object) -> None:
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(fcntl, "flock", no_locks)
        old, new = (lending.Loan(tmp_path).begin() for _ in range(2))
        os.utime(old, (0, 0))
        lending.remove_leftovers(tmp_path)
        assert [new] == list(tmp_path.iterdir())
