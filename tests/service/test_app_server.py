"""The app server's doors: who comes in, what they reach, and what they can make a kernel do."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tornado.websocket import WebSocketClientConnection

from tests.notebooks import markdown, notebook
from tests.service.portal_stub import COOKIE, SERVER, AppProcess, LoadedPage, PortalStub, Visitor, running
from tests.unit.test_frames import message, text, v1, with_buffers
from vaas.runtime.frames import V1

pytestmark = [pytest.mark.app, pytest.mark.asyncio(loop_scope="module")]
PICTURE = b"\x89PNG\r\n\x1a\n picture"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("app")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def portal(folder: Path) -> AsyncIterator[PortalStub]:
    lesson = notebook(
        markdown("# Tides\n\n![a picture](img/a.png) ![outside](../../secret.png)"),
        "import json, os; print('told:', json.dumps([dict(os.environ), os.getcwd(), os.listdir()]), ':told')",
        "import ipywidgets; slider, heard = ipywidgets.IntSlider(), ipywidgets.Label()",
        "slider.observe(lambda change: setattr(heard, 'value', f'moved to {change.new}'), 'value')",
        "slider",
    )
    files = {
        "course/lesson.ipynb": lesson,
        "course/img/a.png": PICTURE,
        "course/data.csv": b"1,2",
        "course/helper.py": b"SECRET = 1",
        "drawing.svg": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
    }
    async with PortalStub(files, notebook="course/lesson.ipynb").served() as stub:
        yield stub


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(portal: PortalStub, folder: Path) -> AsyncIterator[AppProcess]:
    async with running(portal, folder=folder, environ={"SOME_SECRET": "hidden"}) as server:
        yield server


@pytest.fixture
def bob(app: AppProcess, portal: PortalStub) -> Visitor:
    return Visitor(app, portal=portal)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page(app: AppProcess, portal: PortalStub) -> LoadedPage:
    visitor = Visitor(app, portal=portal)
    await visitor.enter()
    return await visitor.page()


# ---- tickets and visits


async def test_a_ticket_opens_the_page(bob: Visitor) -> None:
    answer = await bob.enter(query="?depth=3&place=A%26B")
    assert (answer.code, answer.headers["Location"]) == (303, f"{SERVER.path}?depth=3&place=A%26B")
    cookie = answer.headers["Set-Cookie"]
    assert cookie.partition("=")[0] == COOKIE == "__Host-vaas-visit-v3"
    assert cookie.split("; ")[1:] == ["Path=/", "HttpOnly", "Secure", "SameSite=Lax"]
    assert "<title>Waves &amp; &lt;tides&gt;</title>" in (await bob.page()).html


async def test_without_a_visit_one_is_sent_to_the_portal_with_the_query(bob: Visitor) -> None:
    answer = await bob.ask("?depth=3")
    assert answer.code == 303
    assert answer.headers["Location"] == "http://portal.localhost/services/vaas/apps/waves/?from=app&depth=3"


async def test_launch_is_offered_to_who_may_read(bob: Visitor, portal: PortalStub, page: LoadedPage) -> None:
    await bob.enter(portal.ticket(access=2))
    assert (await bob.page()).facts["launch"]
    assert page.facts["launch"] == ""
    assert 'id="vaas-launch"' not in page.html


@pytest.mark.parametrize(("user", "words"), [("bob", "Launch a copy"), ("", "Sign in to launch a copy")])
async def test_who_is_not_signed_in_reads_that_launching_needs_it(
    bob: Visitor, portal: PortalStub, user: str, words: str
) -> None:
    await bob.enter(portal.ticket(access=2, user=user))
    page = await bob.page()
    link = re.search(r'<a id="vaas-launch"([^>]*)>(.*?)</a>', page.html)
    assert link is not None and re.sub("<[^>]*>", "", link[2]) == words
    # The portal has strangers sign in there, and come back.
    assert f'href="{page.facts["launch"]}"' in link[1] and not (page.facts["give"] and not user)


async def test_a_second_page_of_a_visit_has_a_kernel_of_its_own(bob: Visitor) -> None:
    await bob.enter()
    first, second = await bob.page(), await bob.page()
    assert first.kernel != second.kernel
    assert (await bob.ask(f"api/kernels/{first.kernel}")).code == 200


# ---- what exists and what does not


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "visit"), ("PUT", ""), ("POST", ""), ("POST", "api"), ("GET", "vaas/poke"), ("GET", "vaas/farewell")],
)
async def test_a_route_knows_its_own_method_only(page: LoadedPage, method: str, path: str) -> None:
    assert (await page.visitor.ask(path, method=method)).code == 404


async def test_the_up_check_tells_nothing(bob: Visitor) -> None:
    answer = await bob.ask("api")
    assert answer.code in {202, 204}
    assert (answer.body, answer.headers.get("Server")) == (b"", None)


@pytest.mark.parametrize("path", ["course/img/a.png", "course/img/%61.png"])
async def test_pictures_of_the_version_are_served(page: LoadedPage, path: str) -> None:
    answer = await page.visitor.ask(f"voila/files/{path}")
    assert (answer.code, answer.body) == (200, PICTURE)


async def test_a_drawing_runs_no_scripts(page: LoadedPage) -> None:
    answer = await page.visitor.ask("voila/files/drawing.svg")
    assert answer.code == 200
    assert "sandbox" in answer.headers["Content-Security-Policy"]


async def test_libraries_are_compressed_and_kept_by_browsers(bob: Visitor, page: LoadedPage) -> None:
    voila_js = page.config["fullStaticUrl"].removeprefix(SERVER.path) + "/voila.js"
    answer = await bob.ask(voila_js, headers={"Accept-Encoding": "gzip"})
    assert (answer.code, answer.headers.get("X-Consumed-Content-Encoding")) == (200, "gzip")
    assert "immutable" in answer.headers["Cache-Control"]
    plain = await bob.ask("voila/static/voila.js")
    assert (plain.body, plain.headers["Cache-Control"]) == (answer.body, "public, max-age=3600")
    again = await bob.ask(voila_js, headers={"Accept-Encoding": "gzip", "If-None-Match": answer.headers["Etag"]})
    assert again.code == 304


async def test_the_page_is_compressed(bob: Visitor) -> None:
    await bob.enter()
    answer = await bob.ask(headers={"Accept-Encoding": "gzip"})
    assert answer.headers.get("X-Consumed-Content-Encoding") == "gzip"


async def test_answers_carry_the_headers_that_confine_the_page(bob: Visitor, page: LoadedPage) -> None:
    for headers in (page.headers, (await bob.ask("no/such/thing")).headers):
        policy = headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in policy and "connect-src 'self'" in policy
        assert (headers["X-Content-Type-Options"], headers["Referrer-Policy"]) == ("nosniff", "same-origin")
        assert headers.get("Set-Cookie") is None


# ---- the page


async def test_the_page_names_no_other_host(page: LoadedPage) -> None:
    addresses = set(re.findall(r"(?:src|href|url)\s*[=(:]\s*[\"']?(?:https?:)?//([^/\"')]+)", page.html))
    assert addresses <= {"portal.localhost"}
    assert "cdn" not in page.html.lower()


async def test_the_page_holds_no_source_code(page: LoadedPage) -> None:
    assert "slider.observe" not in page.html


async def test_pictures_of_markdown_cells_are_in_the_page_and_none_from_elsewhere(page: LoadedPage) -> None:
    assert page.html.count("data:image/png;base64,") == 1


async def test_a_kernel_runs_beside_its_notebook_and_knows_no_secret(page: LoadedPage, folder: Path) -> None:
    environment, cwd, beside = json.loads(unescape(page.html.partition("told:")[2].partition(":told")[0]))
    assert sorted(beside) == ["data.csv", "helper.py", "img", "lesson.ipynb"]
    assert not [name for name in environment if name.startswith(("JUPYTERHUB_", "VAAS_"))]
    assert not {page.visitor.portal.token, "hidden"} & set(environment.values())
    assert environment["HOME"] != str(folder)
    assert (Path(cwd).parents[1].stat().st_mode & 0o77, Path(cwd).parents[1].stat().st_mode & 0o700) == (0, 0o700)


# ---- websockets


def _moved(model: str, value: int) -> dict[str, Any]:
    data = {"method": "update", "state": {"value": value}, "buffer_paths": []}
    return message("comm_msg", {"comm_id": model, "data": data})


async def _heard(socket: WebSocketClientConnection, text: str) -> list[str]:
    """Read until the kernel says this, and return all that it said until then."""
    said: list[str] = []
    while not said or text not in said[-1]:
        answer = await asyncio.wait_for(socket.read_message(), 10)
        assert answer is not None
        said.append(answer if isinstance(answer, str) else answer.decode(errors="replace"))
    return said


@pytest.mark.parametrize(("protocol", "value"), [(None, 11), (V1, 12)])
async def test_a_visitor_moves_widgets_and_runs_no_code(page: LoadedPage, protocol: str | None, value: int) -> None:
    model = json.loads(re.findall(r'\{[^{}]*"model_id"[^{}]*\}', page.html)[-1])["model_id"]
    code = {"code": "heard.value = 'evil'", "silent": False, "store_history": False, "allow_stdin": False}
    socket = await page.connect(protocol=protocol)
    for channel in ("shell", "control"):
        forbidden = message("execute_request", code, channel=channel)
        if protocol == V1:
            await socket.write_message(v1(forbidden), binary=True)
        else:
            await socket.write_message(text(forbidden))
            await socket.write_message(with_buffers(forbidden), binary=True)
    allowed = _moved(model, value)
    await socket.write_message(v1(allowed) if protocol == V1 else text(allowed), binary=protocol == V1)
    assert not [said for said in await _heard(socket, f"moved to {value}") if "evil" in said]
    socket.close()


async def test_a_visitor_creates_no_widgets_of_their_own(page: LoadedPage) -> None:
    socket = await page.connect()
    names = {"_model_name": "IntSliderModel", "_view_name": "IntSliderView"}
    modules = {f"_{part}_module": "@jupyter-widgets/controls" for part in ("model", "view")}
    state = {**names, **modules, **{f"{module}_version": "2.0.0" for module in modules}, "value": 1}
    data = {"state": state, "buffer_paths": []}
    opening = {"comm_id": "mine", "target_name": "jupyter.widget", "target_module": None, "data": data}
    await socket.write_message(text(message("comm_open", opening) | {"metadata": {"version": "2.1.0"}}))
    await socket.write_message(text(message("comm_info_request", {"target_name": "jupyter.widget"})))
    while True:
        answer = json.loads(await asyncio.wait_for(socket.read_message(), 10) or "{}")
        if answer["msg_type"] == "comm_info_reply":
            break
    assert answer["content"]["comms"] and "mine" not in answer["content"]["comms"]
    socket.close()
