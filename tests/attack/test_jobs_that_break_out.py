"""A notebook that runs by itself is foreign code: it wants the machine, as whoever it is there."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.contract.executor import job_of, over, status
from tests.run_parts import local
from tests.sandbox import NEEDS_SANDBOX
from vaas.executors.local import Bounds, LocalExecutor
from vaas.machine.bubblewrap import FIRST_UID

pytestmark = [pytest.mark.attack, pytest.mark.app, NEEDS_SANDBOX]
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="who is not root has no root to be taken for")


@pytest.fixture
def executor(tmp_path: Path) -> LocalExecutor:
    return local(tmp_path / "kept", bounds=Bounds(bytes=60_000_000))


async def said(executor: LocalExecutor, spool: Path, cell: str) -> str:
    """Return what a job with this cell prints."""
    job = job_of(spool, cell)
    ref = await executor.submit(job)
    assert (await over(executor, ref)).state == "done", status(job)
    return await executor.log(ref, most=10_000)


@AS_ROOT
async def test_what_root_alone_may_read_no_job_reads(tmp_path: Path) -> None:
    # As /etc/ssl/private is, which lies below what every sandbox shows.
    shown = tmp_path / "shown"
    shown.mkdir()
    (shown / "key").write_text("secret")
    (shown / "key").chmod(0o600)
    executor = local(tmp_path / "kept", paths=[shown])
    cell = f"""
import os
for path in ("{shown}/key", "/etc/ssl/private"):
    try: print(open(path).read() if os.path.isfile(path) else os.listdir(path))
    except OSError as error: print(type(error).__name__)
print(os.getuid() and "nobody")"""
    words = (await said(executor, tmp_path / "spool", cell)).split()
    assert words[0] == "PermissionError" and words[1] in {"PermissionError", "FileNotFoundError"}
    assert words[2] == "nobody"


@AS_ROOT
async def test_no_program_of_the_machine_takes_a_job_for_root(executor: LocalExecutor, tmp_path: Path) -> None:
    # Such sockets have no file: they belong to the network, which jobs share. Programs ask the system who it is.
    name = f"\0vaas-{tmp_path}"
    came: list[int] = []

    def take(_reader: Any, writer: asyncio.StreamWriter) -> None:
        its = writer.get_extra_info("socket")
        came.append(struct.unpack("3i", its.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1])
        writer.close()

    async with await asyncio.start_unix_server(take, name):
        cell = f"import socket; socket.socket(socket.AF_UNIX).connect({name!r})"
        await said(executor, tmp_path / "spool", cell)
    assert len(came) == 1 and came[0] >= FIRST_UID


async def test_a_job_makes_no_call_that_breaks_out_or_that_nobody_counts(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    cell = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
tries = {
    "keyctl": lambda: libc.keyctl(0, -3, 0) if hasattr(libc, "keyctl") else libc.syscall(250, 0, -3, 0),
    "memory": lambda: os.memfd_create("x"),
    "segment": lambda: libc.shmget(0, 1 << 20, 0o1600),
    "namespace": lambda: libc.unshare(0x00020000),
    "filter": lambda: libc.prctl(21, 0, 0, 0, 0) - 2,
}
for name, attempt in tries.items():
    try: print(name, attempt())
    except OSError as error: print(name, -1)"""
    expected = {"keyctl -1", "memory -1", "segment -1", "namespace -1", "filter 0"}
    assert set((await said(executor, tmp_path / "spool", cell)).splitlines()) == expected


@pytest.mark.parametrize("where", ["../data", ".."])
async def test_a_job_fills_no_disk_from_any_of_its_folders(executor: LocalExecutor, tmp_path: Path, where: str) -> None:
    cell = f"""
import time
for number in range(9):
    open("{where}/" + str(number), "wb").write(b"1" * 9_000_000)
time.sleep(600)"""
    ref = await executor.submit(job_of(tmp_path / "spool", cell))
    state = await over(executor, ref)
    assert state.state == "failed" and "wrote more" in state.message
