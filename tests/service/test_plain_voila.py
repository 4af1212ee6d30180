"""One option makes plain Voilà instant: its pages are forks, and whatever cannot be one goes Voilà's own way."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from pathlib import Path

import psutil
import pytest

from tests.notebooks import write_notebook
from tests.processes import runs
from tests.sandbox import NEEDS_SANDBOX
from tests.service.plain_voila import plain_voila, until

SLIDER = (
    "import os, ipywidgets as widgets\nprint('ran in', os.getpid())",
    "slider = widgets.IntSlider(value=1); label = widgets.Label('none')",
    "slider.observe(lambda change: setattr(label, 'value', f'{label.value}+{change.new}'), 'value')",
    "widgets.VBox([slider, label])",
)
QUERY = ("print('before', 1)", "import voila.utils", "print('query=[' + voila.utils.get_query_string() + ']')")
THREAD = (
    "import threading, time",
    "threading.Thread(target=time.sleep, args=(3600,), name='ticker', daemon=True).start()",
    "import os; print('threaded', os.getpid())",
)


def described(processes: list[psutil.Process]) -> list[str]:
    """Return what is left of them, for who reads that a test failed."""
    return [f"{process} {process.status()} below {process.ppid()}" for process in processes if runs(process)]


async def moved(live: object, to: int) -> str:
    """Move the page's slider; return what its label says."""
    for model in await live.models():  # type: ignore[attr-defined]
        asked = {"method": "request_state"}
        state = await live.ask("comm_msg", {"comm_id": model, "data": asked}, answer="comm_msg")  # type: ignore[attr-defined]
        if state["content"]["data"]["state"].get("_model_name") == "IntSliderModel":
            return await live.set(model, to)  # type: ignore[attr-defined, no-any-return]
    raise AssertionError("There is no slider.")


async def test_visitors_have_forks_of_one_run_and_never_see_each_other(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "nb/app.ipynb", *SLIDER)
    async with plain_voila(notebook, folder=tmp_path) as server:
        assert await server.says("app.ipynb is instant")
        assert "app.ipynb is instant.\n" in server.log.read_text()
        one, other = await server.open(), await server.open()
        assert one.kernel != other.kernel
        # The notebook ran once: both show the process that printed, and it is neither's.
        assert one.html.replace(one.kernel, other.kernel) == other.html
        assert await moved(one, 7) == "none+7"
        assert await moved(other, 9) == "none+9"
        assert await moved(one, 8) == "none+7+8"


async def test_large_outputs_keep_no_notebook_from_being_forked(tmp_path: Path) -> None:
    notebook = write_notebook(
        tmp_path / "nb/app.ipynb", "from IPython.display import HTML; HTML('x' * 300_000)", *SLIDER
    )
    async with plain_voila(notebook, folder=tmp_path) as server:
        assert await server.says("app.ipynb is instant")
        live = await server.open()
        assert "x" * 300_000 in live.html
        assert await moved(live, 2) == "none+2"


async def test_parameters_are_each_visit_s_own(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "nb/app.ipynb", *QUERY)
    async with plain_voila(notebook, folder=tmp_path) as server:
        assert await server.says("app.ipynb is instant")
        pages = await asyncio.gather(server.page("?a=1"), server.page(), server.page("?a=2&b=%20"))
        assert ["query=[a=1]" in pages[0], "query=[]" in pages[1], "query=[a=2&amp;b=%20]" in pages[2]] == [True] * 3
        assert all("before 1" in page for page in pages)


async def test_a_changed_file_is_what_the_next_visitor_gets(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "nb/app.ipynb", "print('the first')")
    async with plain_voila(notebook, folder=tmp_path) as server:
        assert await server.says("app.ipynb is instant")
        former = await server.open()
        write_notebook(notebook, "print('the second one')")
        assert "the second one" in await server.page()
        assert await until(lambda: server.log.read_text().count("app.ipynb is instant") == 2)
        assert "the second one" in await server.page()
        assert (await server.ask(f"api/kernels/{former.kernel}")).code == 200


async def test_data_that_changed_is_in_the_page_soon(tmp_path: Path) -> None:
    data = tmp_path / "nb/data.txt"
    notebook = write_notebook(tmp_path / "nb/app.ipynb", "print('it says', open('data.txt').read())")
    data.write_text("one")
    async with plain_voila(notebook, folder=tmp_path) as server:
        assert await server.says("app.ipynb is instant")
        assert "it says one" in await server.page()
        data.write_text("another")
        async with asyncio.timeout(30):
            while "it says another" not in await server.page():
                await asyncio.sleep(0.5)


async def test_what_cannot_be_forked_runs_for_each_visit(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "nb/app.ipynb", *THREAD)
    async with plain_voila(notebook, folder=tmp_path) as server:
        assert await server.says("app.ipynb is warm. A thread runs: ticker.")
        pages = await asyncio.gather(*(server.page() for _ in range(3)))
        assert len({page.partition("threaded ")[2].split()[0] for page in pages}) == 3


async def test_it_ends_while_a_cell_runs(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    cells = (f"open({str(ran)!r}, 'w').close()", "import time; time.sleep(3600)")
    async with plain_voila(write_notebook(tmp_path / "nb/app.ipynb", *cells), folder=tmp_path) as server:
        assert await until(ran.exists)
        started = server.processes
    assert server.process.returncode == 0
    assert await until(lambda: not described(started)), described(started)
    assert "did not end in time" not in server.log.read_text()


async def test_a_folder_of_notebooks(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_notebook(
            tmp_path / f"nb/sub/{name}.ipynb", f"import os; print('{name} in', os.path.basename(os.getcwd()))"
        )
    (tmp_path / "secret.ipynb").write_bytes((tmp_path / "nb/sub/one.ipynb").read_bytes())
    async with plain_voila(tmp_path / "nb", "--InstantKernels.notebooks=1", folder=tmp_path) as server:
        # Nothing ran before somebody came; the first visit is Voilà's own.
        assert "one in sub" in await server.page("voila/render/sub/one.ipynb")
        assert await server.says("sub/one.ipynb is instant")
        assert "one in sub" in await server.page("voila/render/sub/one.ipynb")
        assert "two in sub" in await server.page("voila/render/sub/two.ipynb")
        assert await server.says("sub/two.ipynb is instant")
        for path in ("sub/none.ipynb", "../secret.ipynb", "..%2fsecret.ipynb"):
            assert (await server.ask(f"voila/render/{path}")).code >= 400


@pytest.mark.parametrize("template", ["classic", "reveal"])
async def test_voila_s_templates_and_the_visit_s_theme(tmp_path: Path, template: str) -> None:
    notebook = write_notebook(tmp_path / "nb/app.ipynb", *SLIDER)
    async with plain_voila(notebook, f"--template={template}", "--theme=dark", folder=tmp_path) as server:
        assert await server.says("app.ipynb is instant")
        page = await server.page()
        assert "ran in" in page
        own = await server.page("?theme=light")
        assert page.partition("ran in ")[2].split()[0] != own.partition("ran in ")[2].split()[0]


async def test_it_goes_together_with_voila_s_own_option(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "nb/app.ipynb", *SLIDER)
    async with plain_voila(notebook, "--preheat_kernel=True", folder=tmp_path) as server:
        assert await server.says("app.ipynb is instant")
        one, other = await server.open(), await server.open()
        assert one.html.replace(one.kernel, other.kernel) == other.html


async def test_a_closed_tab_ends_its_kernel_alone(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "nb/app.ipynb", *SLIDER)
    async with plain_voila(notebook, "--InstantKernels.spares=0", folder=tmp_path) as server:
        assert await server.says("app.ipynb is instant")
        before = set(server.processes)
        one, other = await server.open(), await server.open()
        assert len(set(server.processes) - before) == 2
        assert (await server.ask(f"voila/api/shutdown/{one.kernel}", method="POST")).code == 204
        assert await until(lambda: len(set(server.processes) - before) == 1)
        assert await moved(other, 3) == "none+3"
        assert not list((tmp_path / "tmp").glob(f"voila_instant_*/*/homes/{one.kernel}"))


async def test_idle_kernels_are_culled_and_what_is_kept_ready_is_not(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "nb/app.ipynb", *SLIDER)
    culling = ("--MappingKernelManager.cull_idle_timeout=2", "--MappingKernelManager.cull_interval=1")
    async with plain_voila(notebook, *culling, folder=tmp_path) as server:
        assert await server.says("app.ipynb is instant")
        first = await server.open()
        first.socket.close()
        assert await server.says(f"Kernel shutdown: {first.kernel}")
        second = await server.open()
        # The same run of the notebook.
        assert second.html.replace(second.kernel, first.kernel) == first.html


@pytest.mark.parametrize("cells", [SLIDER, THREAD], ids=["instant", "warm"])
async def test_a_kernel_ends_some_time_after_its_page_has_gone(tmp_path: Path, cells: tuple[str, ...]) -> None:
    # As browsers leave: plain Voilà refuses what they say then, since its pages have no token.
    notebook = write_notebook(tmp_path / "nb/app.ipynb", *cells)
    async with plain_voila(notebook, "--InstantKernels.patience=3", folder=tmp_path) as server:
        assert await server.says("app.ipynb is ")
        stays, left, never = await server.open(), await server.open(), await server.page()
        left.socket.close()
        assert await server.says(f"Kernel {left.kernel} ends: no page is connected")
        (kernel,) = re.findall(r'"kernelId": "([^"]+)"', never)
        assert await server.says(f"Kernel {kernel} ends: no page is connected")
        assert f"Kernel {stays.kernel} ends" not in server.log.read_text()
        assert (await stays.ask("kernel_info_request", {}, answer="kernel_info_reply"))["content"]["status"] == "ok"
        # What is kept ready has been there for longer.
        again = await server.open()
        assert (await again.ask("kernel_info_request", {}, answer="kernel_info_reply"))["content"]["status"] == "ok"


async def test_a_kernel_that_works_is_no_kernel_that_was_left(tmp_path: Path) -> None:
    done = tmp_path / "done"
    works = f"import time; slow = lambda change: (time.sleep(6), open({str(done)!r}, 'w').close())"
    notebook = write_notebook(tmp_path / "nb/app.ipynb", works, *SLIDER, "slider.observe(slow, 'value')")
    async with plain_voila(notebook, "--InstantKernels.patience=1", folder=tmp_path) as server:
        assert await server.says("app.ipynb is instant")
        live = await server.open()
        assert await moved(live, 7) == "none+7"
        live.socket.close()
        assert await until(done.exists, seconds=30), server.log.read_text()
        assert await server.says(f"Kernel {live.kernel} ends: no page is connected")


async def test_a_kernel_that_dies_takes_nobody_along(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "nb/app.ipynb", *SLIDER)
    async with plain_voila(notebook, "--InstantKernels.spares=0", folder=tmp_path) as server:
        assert await server.says("app.ipynb is instant")
        before = set(server.processes)
        one = await server.open()
        (process,) = set(server.processes) - before
        other = await server.open()
        process.kill()
        async with asyncio.timeout(20):
            while (await one.hear("status"))["content"]["execution_state"] != "dead":
                pass
        assert await moved(other, 4) == "none+4"
        assert (await server.ask(f"api/kernels/{one.kernel}")).code == 404


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_nothing_outlives_the_server(tmp_path: Path, how: signal.Signals) -> None:
    notebook = write_notebook(tmp_path / "nb/app.ipynb", *SLIDER)
    async with plain_voila(notebook, folder=tmp_path) as server:
        assert await server.says("app.ipynb is instant")
        await server.open()
        await server.open()
        processes = server.processes
        assert len(processes) >= 4
        os.kill(server.process.pid, how)
        await asyncio.wait_for(server.process.wait(), 20)
        assert await until(lambda: not psutil.wait_procs(processes, timeout=0)[1]), described(processes)
        said = server.log.read_text()
        assert "Traceback" not in said and "never" not in said and "destroyed" not in said
        assert how == signal.SIGKILL or not list((tmp_path / "tmp").glob("voila_*"))


async def test_nothing_outlives_the_server_and_the_warden_of_its_forks(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "nb/app.ipynb", *SLIDER)
    async with plain_voila(notebook, folder=tmp_path) as server:
        assert await server.says("app.ipynb is instant")
        await server.open()
        processes = server.processes
        wardens = psutil.Process(server.process.pid).children()
        assert 0 < len(wardens) < len(processes)
        for each in (*wardens, server.process):
            os.kill(each.pid, signal.SIGKILL)
        await server.process.wait()
        assert await until(lambda: not psutil.wait_procs(processes, timeout=0)[1]), described(processes)


async def test_what_needs_the_request_itself_keeps_voila_s_way(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "nb/app.ipynb", "import os; print('from', os.environ.get('HTTP_USER_AGENT'))")
    option = "--VoilaConfiguration.http_header_envs=['User-Agent']"
    async with plain_voila(notebook, option, folder=tmp_path) as server:
        assert await server.says("run for each visit, because of VoilaConfiguration.http_header_envs")
        assert "from Tornado" in await server.page()


@NEEDS_SANDBOX
async def test_a_sandbox_for_those_who_ask_for_one(tmp_path: Path) -> None:
    notebook = write_notebook(
        tmp_path / "nb/app.ipynb", *SLIDER, f"import os; print(os.path.exists({str(tmp_path)!r} + '/secret'))"
    )
    (tmp_path / "secret").write_text("x")
    async with plain_voila(notebook, "--InstantKernels.sandbox=required", folder=tmp_path) as server:
        assert await server.says("app.ipynb is instant")
        live = await server.open()
        assert "False" in live.html
        assert await moved(live, 5) == "none+5"
        # Voilà's own way is no way around it.
        assert "False" in await server.page("?theme=dark")
