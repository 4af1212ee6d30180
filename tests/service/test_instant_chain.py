"""Whatever process of a template dies: open visits live on where they can, new ones open, and nothing is left."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.processes import runs
from tests.service.portal_stub import AppProcess
from tests.service.visiting import Site, Visiting, serving, soon

pytestmark = pytest.mark.app
LIMITS = {"spares": 1, "leave_after": 0.5, "connect_within": 60}


def chain(app: AppProcess) -> dict[str, list[psutil.Process]]:
    """Return the processes of templates and visits by what they are."""
    found: dict[str, list[psutil.Process]] = {"monitor": [], "warden": [], "template": [], "fork": []}
    for process in app.processes:
        try:
            command, parent = process.cmdline(), process.parent()
            if command[0].endswith("bwrap"):
                found["monitor"].append(process)
            elif command[-1].endswith("inside.py"):
                found["warden"].append(process)
            elif "vaas.runtime.kernel" in command:
                forked = parent is not None and "vaas.runtime.kernel" in parent.cmdline()
                found["fork" if forked else "template"].append(process)
        except (psutil.Error, IndexError):
            continue
    return found


async def answer(visit: Visiting) -> object:
    """Return what a visit says, or why it does not."""
    try:
        return await asyncio.wait_for(visit.do("result = RAN[1]"), 15)
    except (AssertionError, TimeoutError) as error:
        return error


async def ready(site: Site, *, templates: int) -> None:
    """Wait until so many templates have been made, and one has its spare fork."""
    assert await soon(lambda: site.app.text().count("The app opens at once") >= templates, within=40), site.app.text()
    assert await soon(lambda: chain(site.app)["fork"], within=20)


@pytest.mark.parametrize("who", ["template", "warden", "monitor", "spare"])
async def test_who_comes_after_a_kill_sees_no_error(tmp_path: Path, who: str) -> None:
    async with serving(tmp_path, limits=LIMITS) as site:
        staying = await site.visit()
        before = await answer(staying)
        await ready(site, templates=1)
        pid = await staying.do("result = os.getpid()")
        parts = chain(site.app)
        if who == "spare":
            inner = [_inner(each) for each in parts["fork"]]
            victims = [each for each, number in zip(parts["fork"], inner, strict=True) if number != pid]
        else:
            victims = parts[who]
        assert victims
        for victim in victims:
            victim.kill()
        # At once, in the moment in which nobody has noticed yet, and a little later.
        early = await asyncio.gather(*(site.visit(user=f"u{n}") for n in range(3)))
        said = await asyncio.gather(*(answer(visit) for visit in early))
        if who in ("template", "spare"):
            assert all(isinstance(each, str) for each in said), said
            assert await answer(staying) == before, "an open visit died with what it was forked from"
        await ready(site, templates=1 if who == "spare" else 2)
        late = await asyncio.gather(*(site.visit(user=f"v{n}") for n in range(3)))
        said = [await answer(visit) for visit in late]
        assert len(set(said)) == 1 and isinstance(said[0], str), said
        assert (said[0] == before) == (who == "spare")


def _inner(process: psutil.Process) -> int:
    """Return the process's number in its sandbox."""
    try:
        text = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return 0
    return int(text.partition("NSpid:")[2].partition("\n")[0].split()[-1])


async def test_a_visit_that_is_killed_takes_no_other_along(tmp_path: Path) -> None:
    async with serving(tmp_path, limits=LIMITS) as site:
        one, other = await asyncio.gather(site.visit(), site.visit(user="eve"))
        pid = await one.do("result = os.getpid()")
        (victim,) = [each for each in chain(site.app)["fork"] if _inner(each) == pid]
        victim.kill()
        with pytest.raises(AssertionError, match="closed"):
            while True:
                await one.next()
        assert isinstance(await answer(other), str)
        assert await soon(lambda: any(beat["incidents"] for beat in site.portal.heartbeats))


def _open_files(app: AppProcess) -> int:
    return len(os.listdir(f"/proc/{app.process.pid}/fd"))


async def _steady(count: Callable[[], int]) -> int:
    """Return a number once it does not change any more."""
    last, same = count(), 0
    for _ in range(100):
        await asyncio.sleep(0.2)
        now = count()
        same = same + 1 if now == last else 0
        last = now
        if same == 8:
            break
    return last


async def test_thirty_visits_leave_no_process_file_or_place(tmp_path: Path) -> None:
    async with serving(tmp_path, limits=LIMITS) as site:
        await ready(site, templates=1)

        async def come_and_go(number: int) -> None:
            visit = await site.visit(user=f"u{number}")
            await visit.do("open('/tmp/left', 'w').write('x'); import subprocess; subprocess.Popen(['sleep', '600'])")
            await visit.leave()
            visit.visitor.close()

        await asyncio.gather(*(come_and_go(number) for number in range(3)))
        files, processes = await _steady(lambda: _open_files(site.app)), len(site.app.processes)
        folders = _folders(tmp_path)
        for start in range(0, 30, 6):
            await asyncio.gather(*(come_and_go(start + n) for n in range(6)))
        assert await soon(lambda: len(site.app.processes) <= processes, within=20), chain(site.app)
        assert await _steady(lambda: _open_files(site.app)) <= files + 2
        assert len(_folders(tmp_path)) <= len(folders), sorted(_folders(tmp_path) - folders)
        looker = await site.visit()
        places = await looker.do("result = [l.split()[1] for l in open('/proc/mounts') if '/places' in l]")
        assert places == [], "a visit sees the places of others"
        (template, *_) = chain(site.app)["template"]
        mounts = Path(f"/proc/{template.ppid()}/mounts").read_text()
        seen = set(re.findall(r" /places/(\d+)/tmp ", mounts))
        assert 1 <= len(seen) <= len(chain(site.app)["fork"]) + 1, "places of visits that have ended are left"
        everything = site.app.processes
    assert await soon(lambda: not any(runs(each) for each in everything))
    assert list(tmp_path.glob("vaas-*")) == [], "the server has left its folder"


def _folders(folder: Path) -> set[Path]:
    return {path for path in folder.glob("vaas-*/*/*") if "content" not in path.parts}
