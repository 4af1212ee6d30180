"""Files that are broken or made to do harm: each is named with a reason, and the next one is read."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import socket
import subprocess
import threading
import zipfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from tests.insides import looking, write_samples
from tests.portal_fixture import ROOT, app_python
from tests.processes import runs
from vaas.catalogs.looking import AppLooker
from vaas.errors import Unavailable, Unreadable
from vaas.insides.limits import Limits

pytestmark = [pytest.mark.app, pytest.mark.asyncio(loop_scope="module")]

SHEET = "xl/worksheets/sheet1.xml"
BROKEN = "broken or cut off"


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_samples(tmp_path_factory.mktemp("samples"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def looker() -> AsyncIterator[AppLooker]:
    async with looking() as found:
        yield found


def rezipped(samples: Path, target: Path, change: Callable[[str, bytes], bytes], *, packed: bool = True) -> Path:
    """Write the sample workbook anew with each of its members changed."""
    kind = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(samples / "book.xlsx") as source, zipfile.ZipFile(target, "w", kind) as archive:
        for name in source.namelist():
            archive.writestr(name, change(name, source.read(name)))
    return target


def zip_bomb(samples: Path, folder: Path) -> Path:
    rows = b"<row></row>" * 5_000_000
    return rezipped(
        samples,
        folder / "bomb.xlsx",
        lambda name, data: data.replace(b"<sheetData>", b"<sheetData>" + rows) if name == SHEET else data,
    )


def billion_laughs(samples: Path, folder: Path) -> Path:
    entities = b'<!DOCTYPE l [<!ENTITY a0 "ha">'
    entities += b"".join(b'<!ENTITY a%d "%s">' % (i, b"&a%d;" % (i - 1) * 10) for i in range(1, 10)) + b"]>"

    def change(name: str, data: bytes) -> bytes:
        if name != SHEET:
            return data
        cell = b'<sheetData><row r="1"><c r="A1" t="inlineStr"><is><t>&a9;</t></is></c></row>'
        return data.replace(b"<worksheet", entities + b"<worksheet").replace(b"<sheetData>", cell)

    return rezipped(samples, folder / "laughs.xlsx", change)


def sparse(samples: Path, folder: Path) -> Path:
    with (folder / "sparse.csv").open("wb") as file:
        file.write(b"a,b\n1,2\n")
        file.truncate(10 << 30)
    return folder / "sparse.csv"


def malformed_hdf(samples: Path, folder: Path) -> Path:
    data = bytearray((samples / "modern.nc").read_bytes())
    for at in range(100, len(data), 7):
        data[at] ^= 0x5A
    (folder / "malformed.h5").write_bytes(data)
    return folder / "malformed.h5"


def half(name: str) -> Callable[[Path, Path], Path]:
    def written(samples: Path, folder: Path) -> Path:
        data = (samples / name).read_bytes()
        (folder / name).write_bytes(data[: len(data) // 2])
        return folder / name

    return written


def deep_json(samples: Path, folder: Path) -> Path:
    (folder / "deep.json").write_text("[" * 1_000_000 + "]" * 1_000_000)
    return folder / "deep.json"


def memory_hog(samples: Path, folder: Path) -> Path:
    (folder / "lists.json").write_text("[" + "[]," * 16_000_000 + "[]]")
    return folder / "lists.json"


def large_notebook(samples: Path, folder: Path) -> Path:
    with (folder / "large.ipynb").open("w") as file:
        file.write('{"cells": [], "metadata": {}, "nbformat": 4, "rest": "' + "x" * 10_000)
        file.truncate(200_000_000)
    return folder / "large.ipynb"


def pipe(samples: Path, folder: Path) -> Path:
    os.mkfifo(folder / "pipe.csv")
    return folder / "pipe.csv"


def link(samples: Path, folder: Path) -> Path:
    (folder / "link.csv").symlink_to(samples / "plain.csv")
    return folder / "link.csv"


def link_to_a_folder(samples: Path, folder: Path) -> Path:
    (folder / "link").symlink_to(samples / "package")
    return folder / "link"


def unix_socket(samples: Path, folder: Path) -> Path:
    os.chdir(folder)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.csv")
    return folder / "socket.csv"


def device(samples: Path, folder: Path) -> Path:
    return Path("/dev/zero")


def nothing(samples: Path, folder: Path) -> Path:
    return folder / "nothing.csv"


def empty(samples: Path, folder: Path) -> Path:
    (folder / "empty.csv").touch()
    return folder / "empty.csv"


def endless_line(samples: Path, folder: Path) -> Path:
    (folder / "line.csv.gz").write_bytes(gzip.compress(b"0" * 200_000_000, 1))
    return folder / "line.csv.gz"


def huge_picture(samples: Path, folder: Path) -> Path:
    data = (samples / "p.png").read_bytes()
    (folder / "huge.png").write_bytes(data[:16] + (100_000).to_bytes(4, "big") * 2 + data[24:])
    return folder / "huge.png"


HARM = {
    zip_bomb: "far more than it is",
    billion_laughs: BROKEN,
    malformed_hdf: BROKEN,
    half("t.parquet"): BROKEN,
    half("modern.nc"): BROKEN,
    half("classic.nc"): BROKEN,
    half("book.xlsx"): BROKEN,
    half("t.arrow"): BROKEN,
    deep_json: "nested too deep",
    memory_hog: "more memory",
    large_notebook: "larger than 64 MB",
    pipe: "a pipe between programs",
    link: "a link",
    link_to_a_folder: "a link",
    unix_socket: "a socket",
    device: "a device",
    nothing: "cannot be opened",
    empty: "nothing in it",
    endless_line: "no table looks so",
    huge_picture: BROKEN,
}


@pytest.mark.parametrize("made", HARM, ids=lambda made: made.__qualname__)
async def test_harm_is_named_and_the_next_file_is_read(
    looker: AppLooker, samples: Path, tmp_path: Path, made: Callable[[Path, Path], Path]
) -> None:
    before = Path.cwd()
    try:
        path = made(samples, tmp_path)
    finally:
        os.chdir(before)
    with pytest.raises(Unreadable, match=HARM[made]):
        await looker.look(path, name=path.name)
    assert (await looker.look(samples / "plain.csv", name="plain.csv")).details["rows"] == 3


async def test_a_path_that_leads_back_is_not_followed(looker: AppLooker, samples: Path) -> None:
    with pytest.raises(Unreadable, match="leads back"):
        await looker.look(samples / "package" / ".." / "plain.csv", name="plain.csv")


async def test_a_name_may_be_of_any_bytes(looker: AppLooker, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff\n\xfe.csv")
    path.write_text("a\n1\n")
    assert (await looker.look(path, name=path.name)).columns == ("a",)


async def test_a_sparse_table_of_10_gb_takes_no_time_and_no_memory(looker: AppLooker, tmp_path: Path) -> None:
    path = sparse(tmp_path, tmp_path)
    inside = await looker.look(path, name="sparse.csv")
    assert inside.format == "binary" and inside.details["called"] == "csv"


async def test_a_picture_called_a_table_is_told_to_be_one(looker: AppLooker, samples: Path) -> None:
    inside = await looker.look(samples / "picture.csv", name="picture.csv")
    assert (inside.format, inside.details["called"]) == ("png", "csv")
    assert inside.summary == "This is a PNG picture, though its name ends with “.csv”."


async def test_a_table_of_a_million_columns_names_the_first(looker: AppLooker, tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    path.write_text(",".join(f"c{i}" for i in range(1_000_000)) + "\n" + "1," * 999_999 + "1\n")
    inside = await looker.look(path, name="wide.csv")
    assert inside.columns[:2] == ("c0", "c1") and len(inside.columns) == 500
    assert inside.details["columns"] == 1_000_000


async def test_a_file_that_changes_meanwhile_is_left_for_later(looker: AppLooker, tmp_path: Path) -> None:
    path, done = tmp_path / "changing.csv", threading.Event()
    path.write_text("n,word\n" + "1,word\n" * 3_000_000)

    def change() -> None:
        count = 0
        while not done.wait(0.001):
            count += 1
            os.utime(path, ns=(count, count))

    changing = threading.Thread(target=change)
    changing.start()
    try:
        with pytest.raises(Unreadable, match="was changed while it was read"):
            await looker.look(path, name="changing.csv")
    finally:
        done.set()
        changing.join()
    assert (await looker.look(path, name="changing.csv")).details["rows"] == 3_000_000


def slow_workbook(samples: Path, folder: Path) -> Path:
    """Write one that is within the limits of size, and takes a long time all the same."""
    rows = (b"<row>" + b"<c><v>1</v></c>" * 16_000 + b"</row>") * 250

    def change(name: str, data: bytes) -> bytes:
        if name != SHEET:
            return data
        # What it says of its size would be believed.
        return data.replace(b"<dimension ", b"<unknown ").replace(b"<sheetData>", b"<sheetData>" + rows)

    return rezipped(samples, folder / "slow.xlsx", change, packed=False)


async def test_computing_for_long_is_ended(samples: Path, tmp_path: Path) -> None:
    async with looking(limits=Limits(seconds=60, cpu=1)) as looker:
        path = slow_workbook(samples, tmp_path)
        with pytest.raises(Unreadable, match="more than 1 seconds of computing"):
            await looker.look(path, name="slow.xlsx")
        assert (await looker.look(samples / "plain.csv", name="plain.csv")).details["rows"] == 3


async def test_taking_long_is_ended(samples: Path, tmp_path: Path) -> None:
    async with looking(limits=Limits(seconds=1, cpu=60)) as looker:
        path = slow_workbook(samples, tmp_path)
        with pytest.raises(Unreadable, match="more than 1 seconds. It is left out"):
            await looker.look(path, name="slow.xlsx")


async def test_a_long_answer_is_not_taken(samples: Path) -> None:
    async with looking(limits=Limits(seconds=60, cpu=40, answer=300)) as looker:
        with pytest.raises(Unreadable, match="more of itself than is taken"):
            await looker.look(samples / "plain.csv", name="plain.csv")
        assert (await looker.look(samples / "archive.zip", name="archive.zip")).format == "zip"


def processes_of(looker: AppLooker) -> list[psutil.Process]:
    """Return the process that is asked and all that it started, the last first."""
    assert looker._process is not None
    first = psutil.Process(looker._process.pid)
    return [*reversed(first.children(recursive=True)), first]


async def until_gone(process: psutil.Process) -> None:
    """Wait until it has ended, whether or not somebody has taken notice."""
    async with asyncio.timeout(30):
        while runs(process):
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("sandbox", ["auto", "off"])
async def test_whoever_ends_is_begun_anew(samples: Path, sandbox: str) -> None:
    async with looking(sandbox=sandbox) as looker:
        assert (await looker.look(samples / "plain.csv", name="plain.csv")).details["rows"] == 3
        for which in (0, -1):
            gone = processes_of(looker)[which]
            gone.kill()
            await until_gone(gone)
            # Who is asked at that moment may be told so; after that all is as it was.
            for _ in range(2):
                try:
                    inside = await looker.look(samples / "plain.csv", name="plain.csv")
                except Unreadable:
                    continue
            assert inside.details["rows"] == 3


@pytest.mark.parametrize("sandbox", ["auto", "off"])
async def test_nothing_is_left_when_it_is_closed(samples: Path, sandbox: str) -> None:
    async with looking(sandbox=sandbox) as looker:
        await looker.look(samples / "plain.csv", name="plain.csv")
        processes = processes_of(looker)
    assert len(processes) > 1
    _, alive = await asyncio.to_thread(psutil.wait_procs, processes, 30)
    assert alive == []


async def test_without_a_sandbox_all_formats_are_read_too(samples: Path) -> None:
    async with looking(sandbox="off") as looker:
        for name in ("plain.csv", "t.parquet", "modern.nc", "m31.fits", "book.xlsx", "map.tif", "waves.ipynb", "crate"):
            assert (await looker.look(samples / name, name=name)).format
        assert looker.isolated is False and "off" in looker.why


async def test_where_there_is_no_bubblewrap_the_sites_wish_decides(samples: Path, tmp_path: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if name != "VAAS_SANDBOX"} | {"PATH": str(tmp_path)}
    looker = AppLooker(app_python(), environ=environ)
    assert (await looker.look(samples / "plain.csv", name="plain.csv")).details["rows"] == 3
    assert looker.isolated is False and "bubblewrap is not installed" in looker.why
    await looker.close()
    looker = AppLooker(app_python(), environ=environ | {"VAAS_SANDBOX": "required"})
    with pytest.raises(Unavailable):
        await looker.look(samples / "plain.csv", name="plain.csv")
    await looker.close()


async def test_it_begins_again_after_it_was_closed(samples: Path) -> None:
    async with looking() as looker:
        for _ in range(2):
            assert (await looker.look(samples / "plain.csv", name="plain.csv")).details["rows"] == 3
            await looker.close()


async def test_nobody_waits_for_what_is_not_there(tmp_path: Path) -> None:
    looker = AppLooker(tmp_path / "no-python", environ={})
    with pytest.raises(Unavailable):
        await looker.look(tmp_path, name="x")
    await looker.close()


async def test_an_answer_goes_to_who_asked_even_when_others_gave_up(looker: AppLooker, samples: Path) -> None:
    names = ["plain.csv", "t.parquet", "m31.fits", "waves.ipynb"]
    asked = [asyncio.create_task(looker.look(samples / name, name=name)) for name in names]
    await asyncio.sleep(0)
    asked[0].cancel()
    asked[2].cancel()
    assert (await asked[1]).format == "parquet"
    assert (await asked[3]).format == "notebook"


async def test_who_gives_up_before_their_turn_leaves_the_line(tmp_path: Path) -> None:
    """What is asked notes each question, and answers the first when there is a file called "go"."""
    process = tmp_path / "python"
    process.write_text(
        f"#!/bin/sh\ncd {tmp_path}\necho '{{}}'\nwhile read asked; do\n  echo \"$asked\" >> asked\n"
        "  while [ ! -e go ]; do sleep 0.05; done\n"
        '  echo \'{"id": \'$(wc -l < asked)\', "said": "{}"}\'\ndone\n'
    )
    process.chmod(0o755)
    looker = AppLooker(process, environ={"PATH": os.environ["PATH"]})
    asked = [asyncio.create_task(looker.look(tmp_path, name=name)) for name in ("first", "gone", "last")]
    async with asyncio.timeout(30):
        while not (tmp_path / "asked").exists():
            await asyncio.sleep(0.02)
    asked[1].cancel()
    (tmp_path / "go").touch()
    await asyncio.wait([asked[0], asked[2]], timeout=30)
    names = [json.loads(line)["name"] for line in (tmp_path / "asked").read_text().splitlines()]
    assert names == ["first", "last"]
    await looker.close()


async def test_a_process_that_lies_is_not_believed(tmp_path: Path, samples: Path) -> None:
    """What is asked may be another program altogether: its answer is no answer, and it is ended."""
    lies = [
        {"id": 7, "said": "{}"},
        {"said": 1},
        [],
        "x",
        {"id": 1, "said": "[" * 100_000},
        {"id": 1, "said": '{"told": 1}'},
    ]
    for lie in lies:
        liar = tmp_path / "python"
        liar.write_text(
            f"#!/bin/sh\necho '{{\"id\": 0, \"isolated\": true}}'\nread asked\necho '{json.dumps(lie)}'\ncat\n"
        )
        liar.chmod(0o755)
        looker = AppLooker(liar, environ={"PATH": os.environ["PATH"]})
        with pytest.raises(Unreadable):
            await looker.look(samples / "plain.csv", name="plain.csv")
        await looker.close()


@pytest.mark.parametrize("sandbox", ["auto", "off"])
async def test_nothing_of_one_file_is_there_for_the_next(tmp_path: Path, sandbox: str) -> None:
    """Code in a reader's place leaves something behind in memory for each file, and sees nothing of the one before."""
    files = [tmp_path / name for name in ("one.csv", "two.csv")]
    for path in files:
        path.write_text("a\n1\n")
    wishes = {"secret": "/x", "home": "/x", "writable": "/x", "port": 1, "abstract": "/x", "files": [*map(str, files)]}
    command = [str(app_python()), "-m", "tests.insides_takeover", "fork", json.dumps(wishes)]
    environ = {**os.environ, "VAAS_SANDBOX": sandbox}
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120, check=True
    )
    assert [json.loads(line)["told"]["left"] for line in done.stdout.splitlines()] == [[], []]
