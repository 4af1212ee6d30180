"""People's own servers by the Hub's REST API, against a small Hub that answers as the real one does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tornado.httputil import HTTPServerRequest

from tests.portal_parts import ADA
from tests.servers import recorded, web
from vaas.backends.base import Lent
from vaas.backends.hub_people import HubOwnServers
from vaas.errors import Conflict, Forbidden, Unavailable
from vaas.http import internal_http
from vaas.model import User

IN_THE_LOG = "It could not be started there. Those who run this site find why in the Hub's log."
LENT, NAME, PATH = Lent(ADA, "ada's-own"), "labc123abc123", "/hub/api/users/ada/servers/labc123abc123"
URL = "http://ada.vaas.localhost/user/ada/labc123abc123/"
Said = tuple[int, Any]


def model(**said: Any) -> dict[str, Any]:
    """Return the Hub's model of a server that does not run."""
    stopped = {"name": NAME, "ready": False, "pending": None, "url": URL, "full_url": URL, "started": None}
    return {**stopped, "last_activity": "2026-11-28T06:53:39.812610Z", **said}


def events(*said: Mapping[str, Any]) -> bytes:
    return b"".join(f"data: {json.dumps(each)}\n\n".encode() for each in said)


@asynccontextmanager
async def hub(
    answers: Mapping[str, Said], asked: list[HTTPServerRequest] | None = None, **said: Any
) -> AsyncIterator[HubOwnServers]:
    """Serve these answers by method and path, 404 for all else."""

    def answer(request: HTTPServerRequest) -> tuple[int, dict[str, str], bytes]:
        status, value = answers.get(f"{request.method} {request.path}", (404, {"message": "none"}))
        return status, {}, value if isinstance(value, bytes) else json.dumps(value).encode()

    async with web(recorded(asked if asked is not None else [], answer)) as port:
        url = f"http://127.0.0.1:{port}/hub/api"
        yield HubOwnServers(url, http=internal_http(url), **said)


REQUESTED = {"progress": 0, "message": "Server requested"}


@pytest.mark.parametrize(
    ("said", "told", "expected"),
    [
        (model(ready=True), (), ("ready", 0, "")),
        (model(pending="stop", ready=False), (), ("stopping", 0, "")),
        (model(pending="spawn"), (REQUESTED,), ("starting", 0, "")),
        (model(pending="spawn"), (REQUESTED, {"progress": 50, "message": "Spawning server..."}), ("starting", 0, "")),
        (model(pending="spawn"), (REQUESTED, {"message": "Pending in queue..."}), ("queued", 0, "Pending in queue...")),
        (
            model(pending="spawn"),
            (REQUESTED, {"progress": 30, "message": "Fetching the image.", "phase": "starting"}),
            ("starting", 30, "Fetching the image."),
        ),
        (
            model(),
            ({"failed": True, "message": "Spawn failed: 500 SpawnException(reason=x): Full."},),
            ("failed", 0, "Full."),
        ),
        (model(), ({"failed": True, "message": "Spawn cancelled"},), ("stopped", 0, "")),
        (model(), ({"failed": True, "message": "Spawn failed: "},), ("failed", 0, "It did not answer in time.")),
        (
            model(),
            ({"failed": True, "message": "Spawn failed: Server at http://10.0.0.7:1/x/ didn't respond in 5 seconds"},),
            ("failed", 0, "It did not answer in time."),
        ),
        *(
            (model(), ({"failed": True, "message": f"Spawn failed: {said}"},), ("failed", 0, words))
            for said, words in (
                ("Your quota is used up.", "Your quota is used up."),
                ("Your home /home/ada is full.", "Your home /home/ada is full."),
                ("HTTP 500: Internal Server Error (Your quota is used up.)", "Your quota is used up."),
                ("HTTP 403: Forbidden (See https://hpc.example/quota)", "See https://hpc.example/quota"),
                ("('Connection aborted.', FileNotFoundError(2, 'No such file or directory'))", IN_THE_LOG),
                ("404 Client Error for http+docker://localhost/v1.47/containers/create: Not Found", IN_THE_LOG),
                ("pod hubs/jupyter-ada---l0 did not start in 300 seconds!", IN_THE_LOG),
                ("[Errno 2] No such file or directory: '/opt/vaas/lab/bin/python'", IN_THE_LOG),
            )
        ),
        (model(), (), ("stopped", 0, "")),
    ],
)
async def test_a_server_stands_as_the_hub_says(
    said: dict[str, Any], told: tuple[dict[str, Any], ...], expected: tuple[str, int, str]
) -> None:
    async with hub({f"GET {PATH}": (200, said), f"GET {PATH}/progress": (200, events(*told))}) as servers:
        found = await servers.state(LENT, NAME)
    assert (found.phase, found.progress, found.message) == expected
    assert found.url == URL and found.used is not None and found.used.year == 2026


async def test_a_queue_tells_when_it_is_ones_turn() -> None:
    told = (REQUESTED, {"phase": "queued", "message": "2 are ahead.", "starts_in": 90})
    async with hub(
        {f"GET {PATH}": (200, model(pending="spawn")), f"GET {PATH}/progress": (200, events(*told))}
    ) as servers:
        found = await servers.state(LENT, NAME)
    assert (found.phase, found.starts_in) == ("queued", 90.0)


async def test_while_it_starts_the_hub_is_listened_to_now_and_then_alone() -> None:
    asked: list[HTTPServerRequest] = []
    answers: dict[str, Said] = {
        f"GET {PATH}": (200, model(pending="spawn")),
        f"GET {PATH}/progress": (200, events(REQUESTED, {"message": "2 are ahead in the queue."})),
    }
    time = [100.0]
    async with hub(answers, asked, clock=lambda: time[0]) as servers:
        for moment in (100.0, 101.0, 103.9, 104.0, 105.0):
            time[0] = moment
            assert (await servers.state(LENT, NAME)).phase == "queued"
        assert sum("progress" in (request.uri or "") for request in asked) == 2
        # Its next start has words of its own.
        answers[f"GET {PATH}"] = (200, model(ready=True))
        assert (await servers.state(LENT, NAME)).phase == "ready"
        answers |= {f"GET {PATH}": (200, model(pending="spawn")), f"GET {PATH}/progress": (200, events(REQUESTED))}
        assert (await servers.state(LENT, NAME)).phase == "starting"


async def test_one_that_was_never_started_is_stopped() -> None:
    async with hub({}) as servers:
        assert (await servers.state(LENT, NAME)).phase == "stopped"
        await servers.stop(LENT, NAME)
        await servers.remove(LENT, NAME)


async def test_it_is_started_by_the_right_that_is_lent_with_the_plan_and_nothing_else() -> None:
    asked: list[HTTPServerRequest] = []
    async with hub({f"POST {PATH}": (202, b"")}, asked) as servers:
        await servers.start(LENT, NAME, title="My tides", plan="signed")
    (request,) = asked
    assert request.headers["Authorization"] == "token ada's-own"
    assert json.loads(request.body) == {"display_name": "My tides", "user_options": {"plan": "signed"}}


async def test_one_that_runs_already_is_left_alone() -> None:
    running = {f"POST {PATH}": (400, {"message": "already running"}), f"GET {PATH}": (200, model(ready=True))}
    async with hub(running) as servers:
        await servers.start(LENT, NAME, title="x", plan="p")


@pytest.mark.parametrize(
    ("status", "message", "error", "words"),
    [
        (400, "User ada already has the maximum of 3 named servers.", Conflict, "maximum of 3"),
        (429, "Active user limit exceeded. Try again in a few minutes.", Unavailable, "limit exceeded"),
        (500, "a secret of the Hub", Unavailable, "does not answer"),
        (403, "Action is not authorized", Forbidden, "Sign out and in again"),
    ],
)
async def test_a_refusal_is_said_in_words(status: int, message: str, error: type[Exception], words: str) -> None:
    async with hub({f"POST {PATH}": (status, {"message": message}), f"GET {PATH}": (200, model())}) as servers:
        with pytest.raises(error, match=words) as said:
            await servers.start(LENT, NAME, title="x", plan="p")
    assert "secret" not in str(said.value) and "ada's-own" not in said.value.log_message  # type: ignore[attr-defined]


@pytest.mark.parametrize("verb", ["state", "stop", "remove"])
async def test_a_right_that_does_not_suffice_is_said(verb: str) -> None:
    refused = {f"{method} {PATH}": (403, {"message": "no"}) for method in ("GET", "DELETE")}
    async with hub(refused) as servers:
        with pytest.raises(Forbidden, match="Sign out and in again"):
            await getattr(servers, verb)(LENT, NAME)


async def test_all_servers_are_told_by_name() -> None:
    asked: list[HTTPServerRequest] = []
    both = {"servers": {NAME: model(ready=True), "lother": model(), "": model(pending="spawn")}}
    async with hub({"GET /hub/api/users/ada": (200, both)}, asked) as servers:
        found = await servers.all(LENT)
    assert {name: server.phase for name, server in found.items()} == {
        NAME: "ready",
        "lother": "stopped",
        "": "starting",
    }
    assert "include_stopped_servers" in (asked[0].uri or "")


async def test_stopping_is_tried_again_while_the_hub_is_busy_with_it_and_given_up_in_words() -> None:
    asked: list[HTTPServerRequest] = []
    async with hub({f"DELETE {PATH}": (500, {"message": "pending stop"})}, asked) as servers:
        with pytest.raises(Unavailable, match="could not be stopped"):
            await servers.stop(LENT, NAME)
    assert len(asked) == 4


async def test_removing_asks_the_hub_to_forget_it() -> None:
    asked: list[HTTPServerRequest] = []
    async with hub({f"DELETE {PATH}": (204, b"")}, asked) as servers:
        await servers.remove(LENT, NAME)
        await servers.stop(LENT, NAME)
    assert [request.body for request in asked] == [b'{"remove": true}', b""]


@pytest.mark.attack
async def test_a_name_leads_to_no_other_address() -> None:
    asked: list[HTTPServerRequest] = []
    async with hub({}, asked) as servers:
        await servers.state(Lent(User("../eve?x=#"), "t"), NAME)
    assert asked[0].uri == f"/hub/api/users/..%2Feve%3Fx%3D%23/servers/{NAME}"


async def test_a_hub_that_is_gone_is_unavailable() -> None:
    async with hub({}) as servers:
        pass
    with pytest.raises(Unavailable):
        await servers.all(LENT)
