"""Kernels in other languages than Python talk by sockets in a folder where they can, in runs as in launches."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.contract.executor import job_of, over, status
from tests.kernelspecs import COLONS, PORTS, WAY, kernelspec
from tests.run_parts import local
from vaas import jobs

pytestmark = pytest.mark.app

_R = Path("/usr/lib/R/site-library/IRkernel/kernelspec")
_R_WAY = 'cat(jsonlite::fromJSON(commandArgs(trailingOnly = TRUE)[1])$transport, "\\n")'


async def said(tmp_path: Path, folder: Path, *cells: str) -> str:
    """Return what the notebook prints with the kernel that is described in the folder."""
    job = job_of(tmp_path / "spool", *cells)
    jobs.write_json(job.folder / jobs.JOB, {**jobs.read_json(job.folder / jobs.JOB), "kernel": {"folder": str(folder)}})
    executor = local(tmp_path / "kept")
    ref = await executor.submit(job)
    assert (await over(executor, ref)).state == "done", (status(job), await executor.log(ref, most=5000))
    return await executor.log(ref, most=5000)


@pytest.mark.parametrize(
    ("program", "metadata", "way"),
    [
        ("from ipykernel import kernelapp\nimport sys\nkernelapp.launch_new_instance(['-f', sys.argv[1]])", {}, "ipc"),
        (COLONS, {}, "ipc"),
        (PORTS, {}, "tcp"),
        (PORTS, {"transports": ["tcp"]}, "tcp"),
    ],
    ids=["sockets", "colons", "ports", "ports-as-it-says"],
)
async def test_a_kernel_has_no_ports_where_it_can_do_without(
    tmp_path: Path, program: str, metadata: dict[str, Any], way: str
) -> None:
    found = await said(tmp_path, kernelspec(tmp_path / "tides", program, **metadata), WAY)
    assert found.splitlines()[-1] == way
    fell_back = way == "tcp" and not metadata
    assert ("which others on this machine can reach" in found) is fell_back


@pytest.mark.skipif(not _R.exists() or not shutil.which("R"), reason="no R: apt install r-cran-irkernel")
async def test_r_has_no_ports(tmp_path: Path) -> None:
    folder = tmp_path / "ir"
    folder.mkdir()
    spec = json.loads((_R / "kernel.json").read_bytes())
    spec["argv"][0] = str(shutil.which("R"))
    (folder / "kernel.json").write_text(json.dumps(spec))
    assert (await said(tmp_path, folder, "tides <- c(1.5, 2.5)", "cat(sum(tides), '')", _R_WAY)).split() == ["4", "ipc"]
