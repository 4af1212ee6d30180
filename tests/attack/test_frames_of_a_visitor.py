"""What a visitor's websocket may ask of the own kernel: every kind of message, on every channel, in every protocol."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from tornado.websocket import WebSocketClientConnection

from tests.notebooks import notebook
from tests.service.portal_stub import AppProcess, LoadedPage, PortalStub, Visitor, running
from tests.unit.test_frames import message, text, v1, with_buffers
from vaas.runtime.frames import V1

pytestmark = [pytest.mark.attack, pytest.mark.app, pytest.mark.asyncio(loop_scope="module")]

#: The notebook writes down every request that reaches its kernel, on any channel, and shows it when the knob moves.
LISTENING = """
import json, sys, ipywidgets
kernel, heard = get_ipython().kernel, []
knob, told = ipywidgets.IntSlider(max=10**6), ipywidgets.Label()
def listening(kind, answer):
    def listen(*request):
        heard.append(kind)
        return answer(*request)
    return listen
for handlers in (kernel.shell_handlers, kernel.control_handlers):
    for kind, answer in list(handlers.items()):
        handlers[kind] = listening(kind, answer)
def tell(change):
    print("a word for the owner", file=sys.stderr, flush=True)
    kernel._publish_execute_input("the source", kernel.get_parent(), 1)
    told.value = json.dumps({"turn": change.new, "heard": sorted(set(heard))})
    heard.clear()
knob.observe(tell, "value")
knob
"""
CHANNELS = ("shell", "control", "stdin", "iopub", "hb", "")
PROTOCOLS = {"JSON": (None, text), "JSON with buffers": (None, with_buffers), "v1": (V1, v1)}
CODE = {"code": "told.value = 'evil'", "silent": True, "store_history": False, "user_expressions": {"x": "1"},
        "allow_stdin": True, "stop_on_error": False}  # fmt: skip
#: What is tried → the kind of message and what it holds.
TRIED: dict[str, tuple[str, dict[str, Any]]] = {
    "execute code": ("execute_request", CODE),
    "complete code": ("complete_request", {"code": "kern", "cursor_pos": 4}),
    "inspect an object": ("inspect_request", {"code": "kernel", "cursor_pos": 6, "detail_level": 1}),
    "read the history": ("history_request", {"hist_access_type": "tail", "n": 10, "raw": True, "output": True}),
    "ask whether code is complete": ("is_complete_request", {"code": "1"}),
    "debug": ("debug_request", {"type": "request", "command": "initialize", "seq": 1, "arguments": {}}),
    "answer a prompt": ("input_reply", {"value": "evil"}),
    "prompt": ("input_request", {"prompt": "?", "password": False}),
    "interrupt": ("interrupt_request", {}),
    "shut down": ("shutdown_request", {"restart": True}),
    "abort": ("abort_request", {}),
    "apply a function": ("apply_request", {}),
    "clear": ("clear_request", {}),
    "connect": ("connect_request", {}),
    "make a subshell": ("create_subshell_request", {}),
    "list subshells": ("list_subshell_request", {}),
    "delete a subshell": ("delete_subshell_request", {"subshell_id": "x"}),
    "measure the machine": ("usage_request", {}),
    "put out": ("display_data", {"data": {"text/html": "<b>evil</b>"}, "metadata": {}, "transient": {}}),
    "pretend to be busy": ("status", {"execution_state": "busy"}),
    "open a widget": ("comm_open", {"comm_id": "a" * 32, "target_name": "jupyter.widget", "data": {"state": {}}}),
    "open a comm by a module": (
        "comm_open",
        {"comm_id": "b" * 32, "target_name": "jupyter.widget.control", "target_module": "os", "data": {}},
    ),
    "open a comm of its own": ("comm_open", {"comm_id": "c" * 32, "target_name": "mine", "data": {}}),
}
#: Of these only what widgets need gets in: by the shell channel, and opening nothing but the widgets' control.
#: Jupyter's own bridge asks who the kernel is.
ALLOWED = {"comm_msg", "kernel_info_request"}
_turns = itertools.count(1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[PortalStub, AppProcess]]:
    folder = tmp_path_factory.mktemp("frames")
    async with (
        PortalStub({"n.ipynb": notebook(LISTENING, "told")}, notebook="n.ipynb").served() as portal,
        running(portal, folder=folder) as app,
    ):
        yield portal, app


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def victim(server: tuple[PortalStub, AppProcess]) -> LoadedPage:
    portal, app = server
    visitor = Visitor(app, portal=portal)
    await visitor.enter()
    page = await visitor.page()
    socket = await page.connect()
    await heard_by(page, socket, text)  # what came while the page was prepared
    socket.close()
    return page


def model(page: LoadedPage) -> str:
    """Return the id of the knob, the first widget that the page shows."""
    found = re.findall(r'\{[^{}]*"model_id"[^{}]*\}', page.html)
    return str(json.loads(found[0])["model_id"])


async def heard_by(page: LoadedPage, socket: WebSocketClientConnection, send: Any) -> set[str]:
    """Turn the knob and return the kinds of messages that the kernel has got since the last turn."""
    turn = next(_turns)
    data = {"method": "update", "state": {"value": turn}, "buffer_paths": []}
    await write(socket, send(message("comm_msg", {"comm_id": model(page), "data": data})))
    while True:
        answer = await asyncio.wait_for(socket.read_message(), 20)
        assert answer is not None
        said = answer if isinstance(answer, str) else answer.decode(errors="replace")
        assert "evil" not in said
        found = re.search(rf'\{{\\"turn\\": {turn}, \\"heard\\": (\[.*?\])\}}', said)
        if found:
            return set(json.loads(found[1].replace('\\"', '"')))


async def write(socket: WebSocketClientConnection, frame: str | bytes) -> None:
    await socket.write_message(frame, binary=isinstance(frame, bytes))


@pytest.mark.parametrize("how", PROTOCOLS)
@pytest.mark.parametrize("what", TRIED)
async def test_a_visitor_cannot(victim: LoadedPage, what: str, how: str) -> None:
    kind, content = TRIED[what]
    protocol, send = PROTOCOLS[how]
    socket = await victim.connect(protocol=protocol)
    for channel in CHANNELS:
        if kind == "comm_open" and content["target_name"] == "jupyter.widget.control" and channel == "shell":
            continue  # this one is theirs to open: the next test
        await write(socket, send(message(kind, content, channel=channel)))
    assert await heard_by(victim, socket, send) <= ALLOWED
    socket.close()


@pytest.mark.parametrize("how", PROTOCOLS)
async def test_the_control_of_widgets_opens_no_other_module(victim: LoadedPage, how: str) -> None:
    """ipykernel imports what a comm names as its target's module: the name has to stay outside."""
    protocol, send = PROTOCOLS[how]
    socket = await victim.connect(protocol=protocol)
    opening = {"comm_id": "d" * 32, "target_name": "jupyter.widget.control", "target_module": "antigravity", "data": {}}
    await write(socket, send(message("comm_open", opening)))
    assert "comm_open" not in await heard_by(victim, socket, send)
    socket.close()


@pytest.mark.parametrize("how", PROTOCOLS)
async def test_a_subshell_cannot_be_named_in_a_header(victim: LoadedPage, how: str) -> None:
    protocol, send = PROTOCOLS[how]
    socket = await victim.connect(protocol=protocol)
    smuggling = message("execute_request", CODE)
    smuggling["header"]["subshell_id"] = "x"
    await write(socket, send(smuggling))
    assert await heard_by(victim, socket, send) <= ALLOWED
    socket.close()


async def test_what_a_notebook_says_of_itself_stays_inside(victim: LoadedPage) -> None:
    """Neither source nor standard error comes by the websocket when a visitor turns a knob."""
    socket = await victim.connect()
    turn = next(_turns)
    data = {"method": "update", "state": {"value": turn}, "buffer_paths": []}
    await write(socket, text(message("comm_msg", {"comm_id": model(victim), "data": data})))
    kinds = set()
    while True:
        answer = json.loads(await asyncio.wait_for(socket.read_message(), 20) or "{}")
        kinds.add(answer["msg_type"])
        assert "a word for the owner" not in json.dumps(answer)
        if answer["msg_type"] == "comm_msg" and f'"turn": {turn}' in json.dumps(answer).replace('\\"', '"'):
            break
    assert not kinds & {"execute_input", "execute_reply", "input_request", "debug_event"}
    socket.close()
