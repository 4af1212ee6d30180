"""What every store does: subclass StoreContract and give it the fixtures ``store`` and ``behind``."""

from __future__ import annotations

import asyncio
import os
import shutil
from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from vaas.errors import Conflict, Invalid, NotFound, TooLarge
from vaas.stores.base import Store

ODD_NAMES = [
    "with space.txt",
    "Zürich – 東京 🌍.txt",
    "100%.txt",
    "100%25.txt",
    "a#b.txt",
    "what?.txt",
    "a&b=c;d+e.txt",
    'it\'s "quoted" <here>.txt',
    "[x]{y}~z^.txt",
    "semi;colon:and,comma.txt",
    "ends with dot.",
]
OUTSIDE = ["..", "../secret.txt", "a/../../secret.txt", "a/..", "./a.txt", "a/./b", "..\\secret.txt", "a\0b", "a\nb"]


class Behind(ABC):
    """The place behind the store, changed without the store knowing."""

    @abstractmethod
    def folder(self, path: str) -> None:
        """Make a folder and those above it."""

    @abstractmethod
    def file(self, path: str, data: bytes) -> None:
        """Make a file, or replace it."""

    @abstractmethod
    def remove(self, path: str) -> None:
        """Remove a file or a folder with all that is in it."""


class OnDisk(Behind):
    """A place that is a folder on this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, path: str) -> None:
        (self.root / path).mkdir(parents=True)

    def file(self, path: str, data: bytes) -> None:
        (self.root / path).write_bytes(data)

    def remove(self, path: str) -> None:
        target = self.root / path
        shutil.rmtree(target) if target.is_dir() else target.unlink()


class StoreContract:
    """The tests; ``store`` is empty at first, and ``behind`` is the same place seen from the other side."""

    @pytest.fixture
    def behind(self, tmp_path: Path) -> Behind:
        raise NotImplementedError

    @pytest.fixture
    def store(self, behind: Behind) -> Store:
        raise NotImplementedError

    async def test_it_has_an_id_that_fits_an_address_and_a_title(self, store: Store) -> None:
        assert store.id and all(c.isalnum() or c in "-_" for c in store.id)
        assert store.title

    async def test_an_empty_store_lists_nothing_and_its_root_is_a_folder(self, store: Store) -> None:
        assert await store.list("") == ()
        root = await store.stat("")
        assert (root.path, root.folder) == ("", True)

    async def test_a_listing_has_folders_first_and_names_without_regard_to_case(
        self, store: Store, behind: Behind
    ) -> None:
        for path in ("beta", "Alpha"):
            behind.folder(path)
        for path in ("b.ipynb", "A.txt", "c.csv"):
            behind.file(path, b"x" * len(path))
        found = await store.list("")
        assert [(e.path, e.folder) for e in found] == [
            ("Alpha", True),
            ("beta", True),
            ("A.txt", False),
            ("b.ipynb", False),
            ("c.csv", False),
        ]
        assert [e.size for e in found[2:]] == [5, 7, 5]
        assert found[3].is_notebook and not found[2].is_notebook

    async def test_a_listing_is_of_one_folder_only(self, store: Store, behind: Behind) -> None:
        behind.folder("a/b/c")
        behind.file("a/one.txt", b"1")
        behind.file("a/b/two.txt", b"2")
        behind.folder("ab")
        assert [e.path for e in await store.list("a")] == ["a/b", "a/one.txt"]
        assert [e.path for e in await store.list("/a//b/")] == ["a/b/c", "a/b/two.txt"]

    async def test_a_listing_says_the_same_as_stat(self, store: Store, behind: Behind) -> None:
        behind.folder("a")
        behind.file("a/file.txt", b"hello")
        assert await store.list("a") == (await store.stat("a/file.txt"),)
        assert (await store.stat("a")).folder

    async def test_stat_tells_size_time_and_etag(self, store: Store, behind: Behind) -> None:
        behind.file("file.txt", b"hello")
        entry = await store.stat("file.txt")
        assert (entry.path, entry.folder, entry.size) == ("file.txt", False, 5)
        assert entry.etag and entry.modified is not None
        assert abs(datetime.now(UTC) - entry.modified) < timedelta(minutes=2)

    async def test_the_etag_stays_while_the_file_does_and_changes_with_it(self, store: Store, behind: Behind) -> None:
        behind.file("file.txt", b"hello")
        first = (await store.stat("file.txt")).etag
        assert (await store.stat("file.txt")).etag == first
        behind.file("file.txt", b"hello, world")
        assert (await store.stat("file.txt")).etag != first

    async def test_what_is_written_is_read(self, store: Store) -> None:
        written = await store.write("file.txt", b"hello", if_match=None)
        assert (written.path, written.folder, written.size) == ("file.txt", False, 5)
        assert written == await store.stat("file.txt")
        assert await store.read("file.txt", limit=5) == b"hello"

    async def test_an_empty_file_is_a_file(self, store: Store) -> None:
        await store.write("empty", b"", if_match=None)
        assert await store.read("empty", limit=0) == b""
        assert [(e.path, e.size) for e in await store.list("")] == [("empty", 0)]

    async def test_writing_with_the_etag_replaces(self, store: Store) -> None:
        first = await store.write("file.txt", b"one", if_match=None)
        second = await store.write("file.txt", b"three", if_match=first.etag)
        assert second.etag != first.etag
        third = await store.write("file.txt", b"", if_match=second.etag)
        assert (third.size, await store.read("file.txt", limit=10)) == (0, b"")

    async def test_writing_with_an_old_etag_is_a_conflict(self, store: Store, behind: Behind) -> None:
        first = await store.write("file.txt", b"one", if_match=None)
        behind.file("file.txt", b"somebody else's")
        with pytest.raises(Conflict):
            await store.write("file.txt", b"mine", if_match=first.etag)
        assert await store.read("file.txt", limit=100) == b"somebody else's"

    async def test_writing_a_new_file_never_replaces(self, store: Store, behind: Behind) -> None:
        behind.file("file.txt", b"old")
        behind.folder("folder")
        for path in ("file.txt", "folder"):
            with pytest.raises(Conflict):
                await store.write(path, b"new", if_match=None)
        assert await store.read("file.txt", limit=100) == b"old"

    async def test_writing_with_an_etag_never_creates(self, store: Store, behind: Behind) -> None:
        first = await store.write("file.txt", b"one", if_match=None)
        behind.remove("file.txt")
        with pytest.raises(Conflict):
            await store.write("file.txt", b"two", if_match=first.etag)
        assert await store.list("") == ()

    async def test_of_two_who_write_at_once_one_is_told(self, store: Store) -> None:
        first = await store.write("file.txt", b"-", if_match=None)
        texts = [b"a" * 2, b"b" * 3, b"c" * 4, b"d" * 5]
        results = await asyncio.gather(
            *(store.write("file.txt", text, if_match=first.etag) for text in texts), return_exceptions=True
        )
        lost = [r for r in results if isinstance(r, Conflict)]
        assert len(lost) == len(texts) - 1, results
        winner = next(text for text, r in zip(texts, results, strict=True) if not isinstance(r, BaseException))
        assert await store.read("file.txt", limit=100) == winner

    async def test_of_two_who_create_at_once_one_is_told(self, store: Store) -> None:
        texts = [b"a" * 2, b"b" * 3, b"c" * 4]
        results = await asyncio.gather(
            *(store.write("new.txt", text, if_match=None) for text in texts), return_exceptions=True
        )
        assert sum(isinstance(r, Conflict) for r in results) == len(texts) - 1, results
        assert [e.path for e in await store.list("")] == ["new.txt"]

    async def test_what_does_not_exist_is_not_found(self, store: Store) -> None:
        for path in ("none.txt", "none/deeper.txt"):
            for attempt in (store.stat(path), store.list(path), store.read(path, limit=1)):
                with pytest.raises(NotFound):
                    await attempt
        with pytest.raises(NotFound):
            await store.write("none/file.txt", b"", if_match=None)

    async def test_what_is_below_a_file_is_not_found(self, store: Store, behind: Behind) -> None:
        behind.file("file.txt", b"x")
        with pytest.raises(NotFound):
            await store.stat("file.txt/deeper")

    async def test_a_folder_is_made_where_there_is_nothing(self, store: Store) -> None:
        await store.make_folder("my % folder")
        await store.make_folder("my % folder/below")
        await store.write("my % folder/file", b"x", if_match=None)
        assert [(e.path, e.folder) for e in await store.list("my % folder")] == [
            ("my % folder/below", True),
            ("my % folder/file", False),
        ]
        for path in ("my % folder", "my % folder/file"):
            with pytest.raises(Conflict):
                await store.make_folder(path)
        with pytest.raises(NotFound):
            await store.make_folder("none/below")
        for path in ("", ".hidden"):
            with pytest.raises(Invalid):
                await store.make_folder(path)

    async def test_a_folder_is_brought_whole_or_not_at_all(self, store: Store, tmp_path: Path) -> None:
        source = tmp_path / "made"
        (source / "deep % er" / "deepest").mkdir(parents=True)
        (source / "deep % er" / "a#b.txt").write_bytes(b"a")
        (source / "large").write_bytes(bytes(range(256)) * 4000)
        (source / "empty").touch()
        (source / "link").symlink_to("/etc/passwd")
        (source / "folder").symlink_to("/etc")
        os.mkfifo(source / "pipe")
        await store.make_folder("Runs")
        await store.bring("Runs/new % one", source)
        assert [entry.name for entry in await store.list("Runs")] == ["new % one"]
        found = [(entry.name, entry.folder) for entry in await store.list("Runs/new % one")]
        assert found == [("deep % er", True), ("empty", False), ("large", False)]
        inside = {entry.name for entry in await store.list("Runs/new % one/deep % er")}
        assert inside == {"a#b.txt", "deepest"}
        assert await store.read("Runs/new % one/deep % er/a#b.txt", limit=10) == b"a"
        assert await store.read("Runs/new % one/large", limit=2_000_000) == (source / "large").read_bytes()
        (source / "late").touch()
        with pytest.raises(Conflict):
            await store.bring("Runs/new % one", source)
        assert len(await store.list("Runs/new % one")) == 3
        with pytest.raises(NotFound):
            await store.bring("none/new", source)
        for path in ("../out", ".hidden"):
            with pytest.raises(Invalid):
                await store.bring(path, source)

    async def test_a_folder_is_not_read_and_a_file_is_not_listed(self, store: Store, behind: Behind) -> None:
        behind.folder("folder")
        behind.file("file.txt", b"x")
        for path in ("folder", ""):
            with pytest.raises(Invalid):
                await store.read(path, limit=1000)
        with pytest.raises((Invalid, NotFound)):
            await store.list("file.txt")
        with pytest.raises(Invalid):
            await store.write("", b"x", if_match=None)

    @pytest.mark.parametrize("path", OUTSIDE)
    async def test_nothing_outside_is_reached(self, store: Store, path: str) -> None:
        for attempt in (
            store.stat(path),
            store.list(path),
            store.read(path, limit=1),
            store.write(path, b"x", if_match=None),
            store.make_folder(path),
        ):
            with pytest.raises(Invalid):
                await attempt

    @pytest.mark.parametrize("path", ["%2e%2e/secret.txt", "a%2Fb.txt", "%00", "..%2f"])
    async def test_quoted_paths_are_names_like_others(self, store: Store, path: str) -> None:
        with pytest.raises(NotFound):
            await store.stat(path)

    @pytest.mark.parametrize("name", ODD_NAMES)
    async def test_odd_names_go_in_and_out(self, store: Store, behind: Behind, name: str) -> None:
        folder = f"in {name}"
        behind.folder(folder)
        await store.write(f"{folder}/{name}", name.encode(), if_match=None)
        assert [e.path for e in await store.list("")] == [folder]
        entry = (await store.list(folder))[0]
        assert (entry.path, entry.name) == (f"{folder}/{name}", name)
        assert await store.read(entry.path, limit=1000) == name.encode()
        changed = await store.write(entry.path, b"changed", if_match=entry.etag)
        assert await store.stat(entry.path) == changed

    async def test_hidden_names_are_neither_listed_nor_found_nor_written(self, store: Store, behind: Behind) -> None:
        behind.file(".hidden", b"secret")
        behind.folder(".config/deep")
        behind.file(".config/deep/key", b"secret")
        assert await store.list("") == ()
        for path in (".hidden", ".config", ".config/deep/key"):
            for attempt in (store.stat(path), store.read(path, limit=100), store.list(path)):
                with pytest.raises(NotFound):
                    await attempt
        with pytest.raises(Invalid):
            await store.write(".new", b"", if_match=None)

    async def test_a_large_file_goes_in_and_out_in_chunks(self, store: Store) -> None:
        data = bytes(range(256)) * 40_000
        await store.write("large.bin", data, if_match=None)
        chunks = [chunk async for chunk in store.chunks("large.bin")]
        assert b"".join(chunks) == data
        assert len(chunks) > 10 and all(chunks)

    async def test_a_piece_of_a_file_begins_anywhere(self, store: Store, behind: Behind) -> None:
        data = bytes(range(256)) * 20_000
        behind.file("large.bin", data)
        for offset, size in ((0, 10), (5_000_001, 300), (len(data) - 5, 100), (0, len(data) + 1)):
            assert (await store.piece("large.bin", offset, size)).data == data[offset : offset + size]
        assert (await store.piece("large.bin", len(data), 10)).data == b""
        assert (await store.piece("large.bin", len(data) + 7, 10)).data == b""
        behind.file("empty.bin", b"")
        assert (await store.piece("empty.bin", 0, 10)).data == b""
        behind.folder("folder")
        with pytest.raises(Invalid):
            await store.piece("folder", 0, 10)
        with pytest.raises(NotFound):
            await store.piece("none.bin", 0, 10)

    async def test_a_piece_says_of_which_file_it_is(self, store: Store, behind: Behind) -> None:
        behind.file("a.bin", b"first")
        before = await store.stat("a.bin")
        behind.file("a.bin", b"another one")
        try:
            piece = await store.piece("a.bin", 0, 5, before)
        except Conflict:
            return  # what was known of it is of another file
        assert piece.size == 11 and piece.etag == (await store.stat("a.bin")).etag != before.etag

    async def test_more_than_the_limit_is_too_large(self, store: Store) -> None:
        await store.write("file.bin", b"x" * 1_000_001, if_match=None)
        with pytest.raises(TooLarge):
            await store.read("file.bin", limit=1_000_000)
        assert len(await store.read("file.bin", limit=1_000_001)) == 1_000_001

    async def test_many_files_are_listed(self, store: Store, behind: Behind) -> None:
        for number in range(300):
            behind.file(f"file {number:03}.txt", b"x")
        assert [e.name for e in await store.list("")] == [f"file {n:03}.txt" for n in range(300)]

    async def test_a_file_is_lent_as_one_of_this_machine_while_it_is_needed(self, store: Store, behind: Behind) -> None:
        behind.folder("a")
        behind.file("a/ä file.txt", b"hello")
        async with store.borrowed("a/ä file.txt", limit=100) as path:
            assert path.read_bytes() == b"hello" and path.is_file() and not path.is_symlink()
        assert not path.exists() and await store.read("a/ä file.txt", limit=9) == b"hello"
        with pytest.raises(NotFound):
            async with store.borrowed("a/none.txt", limit=100):
                pass

    async def test_a_path_is_where_it_really_is(self, store: Store, behind: Behind) -> None:
        behind.folder("a")
        assert store.real("a") == "a" and store.real("") == ""
