"""The check of a notebook, for real: the app environment's Python runs it in a real kernel."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.notebooks import code, markdown, notebook, write_notebook
from tests.service.portal_stub import app_python

pytestmark = pytest.mark.app
SANDBOXED = shutil.which("bwrap") is not None

REPOSITORY = Path(__file__).parents[2]
PIXEL = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
        "0000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
    )
).decode()


@contextlib.asynccontextmanager
async def checking(
    folder: Path, name: str, *, seconds: int, temporary: str = ""
) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "JUPYTERHUB_API_TOKEN": "hub-secret"}
    environment |= {"TMPDIR": temporary} if temporary else {}
    process = await asyncio.create_subprocess_exec(
        app_python(), "-m", "vaas.runtime.check", str(folder), name, "--seconds", str(seconds),
        env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, limit=10_000_000,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def check_all(folder: Path, name: str = "n.ipynb", *, seconds: int = 60) -> tuple[list[Any], dict[str, Any]]:
    """Return the progress and the report."""
    async with checking(folder, name, seconds=seconds) as process:
        out, err = await asyncio.wait_for(process.communicate(), seconds + 40)
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines and "report" in lines[-1], err.decode()
    assert process.returncode == (0 if lines[-1]["report"]["ok"] else 1)
    assert await gone(folder, seconds=30), left_behind(folder)
    return [line["progress"] for line in lines[:-1]], lines[-1]["report"]


async def check(folder: Path, *cells: Any, seconds: int = 60, **options: Any) -> dict[str, Any]:
    """Check a notebook with these cells in the folder and return the report."""
    write_notebook(folder / "n.ipynb", *cells, **options)
    return (await check_all(folder, seconds=seconds))[1]


def left_behind(folder: Path) -> list[psutil.Process]:
    """Return the processes that work in the folder, or show it to others that work in it."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            shows = process.name() == "bwrap" and str(folder) in process.cmdline()
            if process.status() != psutil.STATUS_ZOMBIE and (shows or Path(process.cwd()).is_relative_to(folder)):
                found.append(process)
    return found


async def gone(folder: Path, *, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while left_behind(folder) and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    return left_behind(folder) == []


def kinds(report: dict[str, Any]) -> list[str]:
    return [problem["kind"] for problem in report["problems"]]


async def test_a_notebook_that_runs_is_fine(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/data.csv").write_text("a\n1\n")
    (tmp_path / "sub/helpers.py").write_text("def read():\n    return open('data.csv').read()\n")
    write_notebook(tmp_path / "sub/n.ipynb", markdown("# Fine"), "import helpers", "", "print(helpers.read())")
    progress, report = await check_all(tmp_path, "sub/n.ipynb")
    assert report["ok"]
    assert (report["cells"], report["cells_run"]) == (2, 2)
    assert report["peak_bytes"] > 20_000_000
    assert 0 < report["seconds"] < 60
    assert report["errors"] == report["problems"] == report["missing_files"] == report["addresses"] == []
    assert report["secrets"] == [] and report["picture"] is None
    assert progress[0]["stage"] == "starting" and progress[-1]["stage"] == "finishing"
    assert progress[-1]["cell"] == progress[-1]["cells"] == 2


async def test_the_first_error_ends_the_run_and_is_readable(tmp_path: Path) -> None:
    (tmp_path / "helpers.py").write_text("def ratio(x):\n    return 1 / x\n")
    report = await check(tmp_path, markdown("# x"), "import helpers", "print('noise')\nhelpers.ratio(0)", "y = 1")
    assert not report["ok"] and report["problems"] == []
    (error,) = report["errors"]
    assert (error["cell"], error["name"], error["message"]) == (3, "ZeroDivisionError", "division by zero")
    assert error["source"] == "print('noise')\nhelpers.ratio(0)"
    assert (report["cells"], report["cells_run"]) == (3, 2)
    traceback = error["traceback"]
    assert "\x1b" not in traceback and str(tmp_path) not in traceback and "noise')" in traceback
    assert "Cell 3, line 2" in traceback and "File helpers.py:2, in ratio" in traceback
    assert traceback.endswith("ZeroDivisionError: division by zero")


async def test_frames_of_libraries_are_one_line_and_those_of_ipython_none(tmp_path: Path) -> None:
    report = await check(tmp_path, "import json\njson.loads('{')", "x = 1")
    assert "json/decoder.py" in report["errors"][0]["traceback"]
    assert "json/__init__.py" in report["errors"][0]["traceback"]
    assert "-> 1 import json" not in report["errors"][0]["traceback"]
    assert report["errors"][0]["traceback"].count("-->") == 1
    report = await check(tmp_path, "%time 1/0")
    assert "ZeroDivisionError" in report["errors"][0]["traceback"]
    assert "IPython" not in report["errors"][0]["traceback"]


async def test_an_error_that_is_expected_is_none(tmp_path: Path) -> None:
    report = await check(
        tmp_path, code("1/0", tags=["raises-exception"]), code("2/0", tags=["skip-execution"]), "x = 1"
    )
    assert report["ok"] and report["cells_run"] == 2


async def test_an_error_that_an_output_widget_shows_is_told_and_the_run_goes_on(tmp_path: Path) -> None:
    report = await check(tmp_path, "import ipywidgets\nout = ipywidgets.Output()\nwith out: 1/0\nout", "x = 1")
    assert [error["cell"] for error in report["errors"]] == [1]
    assert report["cells_run"] == 2


async def test_many_plots_inside_output_widgets_do_not_hang(tmp_path: Path) -> None:
    show = "with out: display(HTML('x' * 200_000))"
    cells = ["import ipywidgets\nfrom IPython.display import HTML, display\nout = ipywidgets.Output()", *[show] * 12]
    assert (await check(tmp_path, *cells))["ok"]


async def test_a_missing_module_is_named_with_its_package(tmp_path: Path) -> None:
    report = await check(tmp_path, "x = 1", "def later():\n    import sklearn_not_there", "import skimage")
    told = [problem["text"] for problem in report["problems"]]
    assert kinds(report) == ["module", "module"]
    assert "sklearn_not_there" in told[0] and "Cell 2" in told[0]
    assert "scikit-image" in told[1] and "Cell 3" in told[1]
    assert "scikit-image" in report["problems"][1]["fix"]


async def test_a_cell_that_installs_packages_is_told_and_installs_nothing(tmp_path: Path) -> None:
    write_notebook(tmp_path / "n.ipynb", "1", "%pip install -q six-that-does-not-exist", "!pip install nothing-either")
    report = (await check_all(tmp_path))[1]
    assert report["ok"]
    assert [hint["text"].split(" installs")[0] for hint in report["hints"]] == ["Cell 2", "Cell 3"]


async def test_a_link_to_a_file_is_named_since_it_leads_nowhere_in_an_app(tmp_path: Path) -> None:
    report = await check(
        tmp_path, "from IPython.display import FileLink\nopen('/tmp/a', 'w').close()\nFileLink('/tmp/a')"
    )
    assert [hint["kind"] for hint in report["hints"]] == ["link"]
    assert report["hints"][0]["text"].startswith("Cell 1 shows a link to a file.")


async def test_a_module_that_a_local_module_misses_is_named_too(tmp_path: Path) -> None:
    (tmp_path / "helpers.py").write_text("import nowhere_to_be_found\n")
    report = await check(tmp_path, "import helpers")
    assert kinds(report) == ["module"] and "nowhere_to_be_found" in report["problems"][0]["text"]


async def test_a_module_that_it_can_do_without_is_no_problem(tmp_path: Path) -> None:
    assert (await check(tmp_path, "try:\n    import nowhere_to_be_found\nexcept ImportError:\n    pass"))["ok"]


async def test_an_unknown_kernel_is_a_problem_and_nothing_runs(tmp_path: Path) -> None:
    report = await check(tmp_path, "x <- 1", kernel="nosuch", language="Nosuch")
    assert kinds(report) == ["kernel"] and "“nosuch”" in report["problems"][0]["text"]
    assert report["cells_run"] == 0


async def test_an_unknown_name_for_a_known_language_runs_as_voila_would(tmp_path: Path) -> None:
    assert (await check(tmp_path, "x = 1", kernel="conda-env-thesis-py"))["ok"]


async def test_an_unknown_template_is_a_problem(tmp_path: Path) -> None:
    report = await check(tmp_path, "x = 1", metadata={"voila": {"template": "../../gridstack"}})
    assert kinds(report) == ["template"]
    assert (await check(tmp_path, "x = 1", metadata={"voila": {"template": "lab"}}))["ok"]


async def test_an_empty_notebook_is_a_problem_and_text_alone_is_none(tmp_path: Path) -> None:
    assert kinds(await check(tmp_path, markdown(" \n"), "")) == ["empty"]
    assert (await check(tmp_path, markdown("# Just text")))["ok"]


@pytest.mark.parametrize("data", [b"no json", b"{}", None])
async def test_what_is_no_notebook_is_a_problem(tmp_path: Path, data: bytes | None) -> None:
    if data is not None:
        (tmp_path / "n.ipynb").write_bytes(data)
    assert kinds((await check_all(tmp_path))[1]) == ["format"]


async def test_a_stuck_cell_is_named_with_its_line(tmp_path: Path) -> None:
    report = await check(tmp_path, "x = 1", "import time\ndef wait():\n    time.sleep(1000)\n\nwait()", seconds=5)
    assert kinds(report) == ["timeout"] and report["errors"] == []
    assert "Cell 2 was still running at line 5" in report["problems"][0]["text"]
    assert report["seconds"] < 15


async def test_a_cell_that_ignores_interrupts_ends_too(tmp_path: Path) -> None:
    stubborn = "import signal, time\nsignal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})\ntime.sleep(1000)"
    report = await check(tmp_path, stubborn, seconds=4)
    assert kinds(report) == ["timeout"] and report["seconds"] < 15


async def test_endless_output_ends_with_the_time(tmp_path: Path) -> None:
    report = await check(tmp_path, "while True: print('x' * 10_000)", seconds=5)
    assert kinds(report) == ["timeout"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import os; os._exit(3)", "code 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "it was killed (SIGKILL)"),
        ("import ctypes; ctypes.string_at(0)", "crashed"),
    ],
)
async def test_a_kernel_that_dies_is_told_with_its_cell(tmp_path: Path, source: str, said: str) -> None:
    report = await check(tmp_path, "x = 1", source, "y = 2")
    assert kinds(report) == ["died"]
    assert "cell 2" in report["problems"][0]["text"] and said in report["problems"][0]["text"]
    assert report["cells_run"] == 2


async def test_a_kernel_that_never_starts_is_a_problem(tmp_path: Path) -> None:
    spec = tmp_path / "kernels/broken"
    spec.mkdir(parents=True)
    argv = ["/bin/sh", "-c", "echo no licence found >&2; exit 1", "{connection_file}"]
    (spec / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "B", "language": "broken"}))
    folder = tmp_path / "content"
    write_notebook(folder / "n.ipynb", "x", kernel="broken", language="broken")
    os.environ["JUPYTER_PATH"] = str(tmp_path)
    try:
        report = (await check_all(folder))[1]
    finally:
        del os.environ["JUPYTER_PATH"]
    assert kinds(report) == ["kernel"] and "no licence found" in report["problems"][0]["text"]


async def test_files_that_are_not_included_are_told(tmp_path: Path) -> None:
    (tmp_path / "content").mkdir()
    elsewhere = Path.home() / f"vaas-test-{os.getpid()}.csv"
    elsewhere.write_text("1")
    try:
        cells = [
            "import pandas",
            f"try: open({str(elsewhere)!r}).read()\nexcept OSError: pass",
            "try: open('optional.json')\nexcept OSError: pass",
            "pandas.read_csv('data/gone.csv')",
        ]
        report = await check(tmp_path / "content", *cells)
    finally:
        elsewhere.unlink()
    assert report["missing_files"] == [
        {"path": str(elsewhere), "cell": 2},
        {"path": "optional.json", "cell": 3},
        {"path": "data/gone.csv", "cell": 4},
    ]


async def test_files_are_named_as_the_author_knows_them(tmp_path: Path) -> None:
    (tmp_path / "content/sub").mkdir(parents=True)
    (tmp_path / "content/sub/there.png").write_bytes(base64.b64decode(PIXEL))
    text = markdown("![](there.png) ![](../gone.png)")
    cells = [text, "import os\nopen(os.path.abspath('../../beside/data.csv'))"]
    write_notebook(tmp_path / "content/sub/n.ipynb", *cells)
    _, report = await check_all(tmp_path / "content", "sub/n.ipynb")
    assert report["missing_files"] == [{"path": "../beside/data.csv", "cell": 2}, {"path": "gone.png", "cell": 1}]


async def test_a_name_that_is_only_tried_as_a_file_is_none(tmp_path: Path) -> None:
    cells = ["for name in ('seaborn-white', 'settings.json'):\n    try: open(name)\n    except OSError: pass"]
    assert (await check(tmp_path, *cells))["missing_files"] == [{"path": "settings.json", "cell": 1}]
    named = await check(tmp_path, "open('measurements')")
    assert named["missing_files"] == [{"path": "measurements", "cell": 1}]


async def test_an_address_that_is_asked_is_not_told_again_for_its_string(tmp_path: Path) -> None:
    report = await check(tmp_path, "from IPython.display import Image\nImage(url='https://pictures.example.org/x.png')")
    assert [(told["host"], told["how"]) for told in report["addresses"]] == [("pictures.example.org", "in the page")]


async def test_addresses_are_told_with_how_they_are_asked(tmp_path: Path) -> None:
    connect = "import socket\ntry: socket.create_connection(('data.invalid', 443), timeout=2)\nexcept OSError: pass"
    page = "from IPython.display import HTML\nHTML('<script src=//scripts.example.org/x.js></script><a href=https://l.example.org>')"
    picture = "import ipywidgets\nipywidgets.HTML('<img src=\"https://pictures.example.org/x.png\">')"
    figure = "import plotly.graph_objects as go\ngo.Figure(go.Choropleth(locations=['FRA'], z=[1])).show()"
    text = markdown("![](https://text.example.org/x.png) [link](https://link.example.org)")
    report = await check(tmp_path, connect, page, picture, figure, "u = 'https://api.example.org/v1'", text)
    told = [(address["host"], address["how"], address["cell"]) for address in report["addresses"]]
    assert [entry for entry in told if entry[1] != "in the source"] == [
        ("data.invalid", "connects", 1),
        ("text.example.org", "in the page", 6),
        ("scripts.example.org", "in the page", 2),
        ("pictures.example.org", "in the page", 3),
        ("cdn.plot.ly", "in the page", 4),
    ]
    assert ("api.example.org", "in the source", 5) in told


async def test_secrets_are_told_wherever_they_are_and_never_in_full(tmp_path: Path) -> None:
    token = "ghp_" + "a1B2" * 9
    (tmp_path / "settings.env").write_text("# mine\nDB_PASSWORD=hunter22\n")
    saved = {"output_type": "stream", "name": "stdout", "text": "password='kaltmamsell'\n"}
    report = await check(
        tmp_path, f"x = 1\ntoken = '{token}'", code("x", outputs=[saved]), f"print('ghp_' + {token[4:]!r})"
    )
    told = [(s["kind"], s["cell"], s["line"], s["place"], s.get("file")) for s in report["secrets"]]
    assert told == [
        ("GitHub token", 1, 2, "source", None),
        ("password", 2, 1, "output", None),
        ("GitHub token", 3, 1, "output", None),
        ("password", 0, 2, "file", "settings.env"),
    ]
    assert token not in json.dumps(report["secrets"]) and "hunter22" not in json.dumps(report["secrets"])


async def test_the_first_picture_is_kept(tmp_path: Path) -> None:
    show = f"import base64\nfrom IPython.display import Image, display\ndisplay(Image(base64.b64decode('{PIXEL}')))"
    report = await check(tmp_path, "print(1)", show)
    assert report["picture"] == {"mime": "image/png", "data": PIXEL}


async def test_the_outline_has_what_the_page_shows(tmp_path: Path) -> None:
    outline = (
        await check(
            tmp_path,
            markdown("# Lakes"),
            "import ipywidgets as w, pandas as pd, plotly.graph_objects as go\nout = w.Output()\n"
            "slider, label = w.IntSlider(description='depth'), w.Label('before')\n"
            "w.VBox([w.HBox([slider, label]), out, go.FigureWidget(go.Bar(y=[1, 2]), layout={'height': 240})])",
            "label.value = 'after'\nwith out:\n    print('inside')",
            "pd.DataFrame({'name': ['Como']})",
        )
    )["outline"]
    row = [{"kind": "control", "text": "depth"}, {"kind": "words", "text": "after"}]
    assert outline["blocks"] == [
        {"kind": "markdown", "text": "# Lakes"},
        {"kind": "row", "blocks": row},
        {"kind": "printed", "text": "inside"},
        {"kind": "box", "height": 240, "text": ""},
        {"kind": "table", "rows": [["", "name"], ["0", "Como"]], "more": 0},
    ]


async def test_the_kernel_knows_no_secret_of_the_server(tmp_path: Path) -> None:
    assert_clean = "import os\nassert not [n for n in os.environ if n.startswith(('JUPYTERHUB', 'VAAS'))]"
    private_home = f"assert os.path.expanduser('~') != {str(Path.home())!r} and os.path.isdir(os.environ['TMPDIR'])"
    report = await check(tmp_path, assert_clean, private_home, "print(os.environ['HOME'])")
    assert report["ok"], report["errors"]


async def test_files_named_like_modules_of_the_kernel_do_not_break_it(tmp_path: Path) -> None:
    for name in ("vaas", "ipykernel", "json", "traitlets"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('taken over')\n")
    (tmp_path / "helpers.py").write_text("x = 7\n")
    assert (await check(tmp_path, "import helpers\nassert helpers.x == 7"))["ok"]


async def test_what_the_notebook_started_is_stopped(tmp_path: Path) -> None:
    start = "import subprocess, time\nsubprocess.Popen(['sleep', '1000'], start_new_session=True)\ntime.sleep(0.6)"
    assert (await check(tmp_path, start))["ok"]


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_a_check_that_is_ended_leaves_no_kernel(tmp_path: Path, end: signal.Signals) -> None:
    folder, temporary = tmp_path / "content", tmp_path / "tmp"
    folder.mkdir()
    temporary.mkdir()
    write_notebook(folder / "n.ipynb", "import time\ntime.sleep(1000)")
    async with checking(folder, "n.ipynb", seconds=100, temporary=str(temporary)) as process:
        assert process.stdout is not None
        while b'"running"' not in (line := await asyncio.wait_for(process.stdout.readline(), 30)):
            assert line
        assert left_behind(folder)
        process.send_signal(end)
        await asyncio.wait_for(process.wait(), 20)
    assert await gone(folder, seconds=10)
    # Whoever is killed cannot clean up.
    assert end == signal.SIGKILL or list(temporary.iterdir()) == []


async def test_the_memory_of_child_processes_counts(tmp_path: Path) -> None:
    child = "x = bytearray(300_000_000); import time; time.sleep(2)"
    eat = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])"
    assert (await check(tmp_path, eat))["peak_bytes"] > 300_000_000


async def test_what_is_too_much_memory_is_told_with_how_much_there_is(tmp_path: Path) -> None:
    report = await check(tmp_path, "x = bytearray(3_000_000_000)")
    assert kinds(report) == ["memory"]
    assert "2000 MB" in report["problems"][0]["text"]


@pytest.mark.skipif(not SANDBOXED, reason="without a sandbox there is no temporary folder of a kernel's own to look at")
async def test_a_cell_that_makes_too_many_files_is_told(tmp_path: Path) -> None:
    made = "import os\nfor i in range(200_000): os.close(os.open(f'/tmp/e{i}', os.O_CREAT | os.O_WRONLY))"
    report = await check(tmp_path, f"{made}\nimport time; time.sleep(20)")
    assert kinds(report) == ["disk"]
    assert "files" in report["problems"][0]["text"] and report["problems"][0]["fix"]


@pytest.mark.skipif(not SANDBOXED, reason="without a sandbox a notebook may write beside itself")
async def test_a_cell_that_writes_into_the_apps_folder_is_told(tmp_path: Path) -> None:
    report = await check(tmp_path, "open('out.csv', 'w').write('1')")
    assert kinds(report) == ["write"]
    assert "out.csv" in report["problems"][0]["text"] and "tempfile" in report["problems"][0]["fix"]


def test_notebooks_for_tests_are_valid() -> None:
    assert json.loads(notebook("x"))["cells"][0]["source"] == "x"
