"""The runner by itself, as a batch system starts it: without a portal, a guard and a sandbox."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.contract.executor import ENDLESS
from tests.notebooks import code, notebook
from tests.portal_fixture import until
from tests.run_parts import environment, lab_python
from vaas import jobs
from vaas.portal.run_folders import kernel_of

pytestmark = pytest.mark.app


class Runner:
    """Runs a notebook in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, data: bytes, *, name: str = "a.ipynb", **said: Any) -> subprocess.Popen[bytes]:
        path = self.folder / jobs.FILES / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        job = {"notebook": name, "title": "T", "kernel": kernel_of(environment()), **said}
        jobs.write_json(self.folder / jobs.JOB, job)
        command = [str(lab_python()), "-P", "-m", "vaas.lab.run", str(self.folder)]
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.folder)}
        self.process = subprocess.Popen(command, env=environ, start_new_session=True)
        return self.process

    def run(self, data: bytes, **said: Any) -> int:
        return self.start(data, **said).wait(60)

    @property
    def status(self) -> dict[str, Any]:
        return jobs.read_json(self.folder / jobs.STATUS)

    @property
    def cells(self) -> list[Any]:
        found: list[Any] = json.loads((self.folder / jobs.OUT / jobs.EXECUTED).read_text())["cells"]
        return found


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    made = Runner(tmp_path / "{job} x")
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.kill()


def test_who_ends_it_ends_all_that_it_started_and_what_there_is_is_kept(runner: Runner) -> None:
    process = runner.start(notebook("print('first')", ENDLESS))
    beat = runner.folder / jobs.FILES / "beat"
    until(beat.exists, seconds=60)
    below = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 1
    assert len(below) >= 2 and not any(each.is_running() for each in below)
    last = beat.read_text()
    time.sleep(0.3)
    assert beat.read_text() == last
    assert runner.status["error"] == "It was ended from outside while cell 2 ran."
    assert runner.cells[0]["outputs"][0]["text"] == ["first\n"]
    assert "ended from outside" in (runner.folder / jobs.OUT / jobs.RESULT).read_text()


@pytest.mark.attack
def test_no_name_is_filled_in_and_no_value_is_code(runner: Runner) -> None:
    values = {"n": '"\nimport os; os._exit(1) #', "m": {"a'b": ["\\", None, 1.5]}, "k": "{pm.run_uuid}"}
    source = code("n = m = k = 0", tags=["parameters"])
    data = notebook(source, "import json\nprint(json.dumps([n, m, k]))")
    assert runner.run(data, name="{pm.__class__}/{0} b.ipynb", parameters=values) == 0
    assert json.loads("".join(runner.cells[2]["outputs"][0]["text"])) == list(values.values())


def test_what_is_brought_is_given_by_its_path_from_beside_the_notebook(runner: Runner) -> None:
    (runner.folder / jobs.DATA / "table").mkdir(parents=True)
    (runner.folder / jobs.DATA / "table" / "a b.csv").write_text("1,2")
    data = notebook(code("table = None", tags=["parameters"]), "print(table, open(table).read())")
    said = {"things": {"table": "table/a b.csv"}, "inputs": "deep/sub/inputs-2"}
    assert runner.run(data, name="deep/sub/a.ipynb", **said) == 0
    assert (runner.folder / jobs.LOG).read_text() == "inputs-2/table/a b.csv 1,2\n"


@pytest.mark.parametrize(
    ("data", "said", "words"),
    [
        (b"{", {}, "The notebook cannot be read"),
        (notebook("x = 1"), {"kernel": {"argv": ["/nothing/python", "-f", "{connection_file}"]}}, "did not start"),
        (notebook("x = 1", language="klingon"), {"parameters": {"n": 1}}, "values cannot be given"),
        (notebook(code("n = 1", tags=["parameters"])), {"parameters": {"1 n": 1}}, "values cannot be set: SyntaxError"),
        (notebook("x = 1", "import sys; sys.exit(3)"), {}, "Cell 2 failed: SystemExit: 3"),
    ],
    ids=["no notebook", "no kernel", "language", "name", "exit"],
)
def test_what_goes_wrong_is_said_in_words(runner: Runner, data: bytes, said: dict[str, Any], words: str) -> None:
    assert runner.run(data, **said) == 1
    assert runner.status["state"] == "failed" and words in runner.status["error"]
    assert "Traceback" not in runner.status["error"]


def test_a_notebook_that_ends_itself_well_is_done(runner: Runner) -> None:
    tagged = code("1 / 0", tags=["raises-exception"])
    assert runner.run(notebook(tagged, "import sys; sys.exit(0)", "print('never')")) == 0
    assert runner.status["state"] == "done" and not runner.cells[2]["outputs"]
