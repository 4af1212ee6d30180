"""The Hub's REST API as people and servers, against a small Hub that answers as the real one does."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from tornado.httputil import HTTPServerRequest

from tests.servers import Answer, recorded, web
from vaas.backends import hub as hub_module
from vaas.backends.hub import HubApi, HubBackend, HubDirectory
from vaas.errors import NotFound, Unavailable
from vaas.http import internal_http
from vaas.model import ServerName, User

SERVER = ServerName("app-abc123def456", "v1")


def replying(value: Any, *, status: int = 200) -> Answer:
    """Answer every request with this."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return lambda request: (status, {}, body)


def paged(key: str, names: list[str], *, most: int = 200) -> Answer:
    """Answer as the Hub does: a page at a time, and never more than ``most`` on it."""

    def answer(request: HTTPServerRequest) -> tuple[int, dict[str, str], bytes]:
        query = parse_qs(urlsplit(request.uri or "").query)
        offset, limit = int(query.get("offset", ["0"])[0]), min(most, int(query.get("limit", ["50"])[0]))
        return 200, {}, json.dumps([{key: name} for name in names[offset : offset + limit]]).encode()

    return answer


@asynccontextmanager
async def api(answer: Answer) -> AsyncIterator[HubApi]:
    async with web(answer) as port:
        url = f"http://127.0.0.1:{port}/hub/api"
        yield HubApi(url, "secret", http=internal_http(url))


class TestApi:
    """One request."""

    async def test_it_asks_with_the_token_and_decodes_the_answer(self) -> None:
        asked: list[HTTPServerRequest] = []
        async with api(recorded(asked, replying({"a": 1}))) as hub:
            assert await hub.call("POST", "/x", {"b": 2}) == {"a": 1}
        assert (asked[0].uri, asked[0].headers["Authorization"]) == ("/hub/api/x", "token secret")
        assert json.loads(asked[0].body) == {"b": 2}

    async def test_nothing_is_none(self) -> None:
        async with api(replying(b"", status=202)) as hub:
            assert await hub.call("POST", "/x") is None

    @pytest.mark.parametrize("status", [400, 403, 409, 500, 502, 503])
    async def test_a_refusal_is_unavailable_and_keeps_its_words_for_people_to_those_of_the_hub(
        self, status: int
    ) -> None:
        async with api(replying({"message": "too many servers"}, status=status)) as hub:
            with pytest.raises(Unavailable) as said:
                await hub.call("GET", "/x")
        assert ("too many servers" in said.value.message) == (status < 500)
        assert str(status) in said.value.log_message and "secret" not in said.value.log_message

    async def test_what_is_not_there_is_not_found(self) -> None:
        async with api(replying({}, status=404)) as hub:
            with pytest.raises(NotFound):
                await hub.call("GET", "/x")

    @pytest.mark.parametrize("body", [b"<html>It works!</html>", b"{", b"\xff"])
    async def test_what_is_no_json_is_unavailable(self, body: bytes) -> None:
        async with api(replying(body)) as hub:
            with pytest.raises(Unavailable):
                await hub.call("GET", "/x")

    async def test_a_hub_that_is_gone_is_unavailable(self) -> None:
        async with api(replying({})) as hub:
            pass
        with pytest.raises(Unavailable):
            await hub.call("GET", "/x")


class TestPeople:
    """Who there is."""

    @pytest.mark.parametrize("most", [200, 50, 1])
    async def test_all_people_and_groups_are_found_however_many_there_are(self, most: int) -> None:
        names = [f"name-{number:03}" for number in range(450 if most > 1 else 3)]
        async with api(paged("name", [*names, "app-abc123def456"], most=most)) as hub:
            assert await HubDirectory(hub).people() == names
        async with api(paged("name", ["vaas-apps", *names], most=most)) as hub:
            assert await HubDirectory(hub).groups() == names

    async def test_nobody_is_missed_while_somebody_is_deleted(self) -> None:
        names = [f"name-{number:03}" for number in range(450)]
        page = paged("name", names)

        def answer(request: HTTPServerRequest) -> tuple[int, dict[str, str], bytes]:
            told = page(request)
            if "name-007" in names:
                names.remove("name-007")
            return told

        async with api(answer) as hub:
            assert await HubDirectory(hub).people() == [name for name in names if name != "name-007"]
        assert len(names) == 449

    async def test_a_list_that_never_holds_still_is_unavailable(self) -> None:
        names = [f"name-{number:04}" for number in range(4000)]
        page = paged("name", names)

        def answer(request: HTTPServerRequest) -> tuple[int, dict[str, str], bytes]:
            told = page(request)
            names.pop(0)
            return told

        async with api(answer) as hub:
            with pytest.raises(Unavailable):
                await HubDirectory(hub).people()

    async def test_a_person_is_asked_for_once_in_a_few_seconds(self) -> None:
        asked: list[HTTPServerRequest] = []
        clock = [0.0]
        model = {"name": "bob", "groups": ["physics"], "admin": True}
        async with api(recorded(asked, replying(model))) as hub:
            directory = HubDirectory(hub, keep_seconds=5, clock=lambda: clock[0])
            for clock[0] in (0.0, 4.9, 5.1):
                assert await directory.user("bob") == User("bob", frozenset({"physics"}), True)
        assert len(asked) == 2

    async def test_who_is_not_there_is_nobody_and_an_account_is_no_person(self) -> None:
        asked: list[HTTPServerRequest] = []
        async with api(recorded(asked, replying({}, status=404))) as hub:
            directory = HubDirectory(hub)
            assert await directory.user("ghost") is None
            assert await directory.user("") is await directory.user("app-abc123def456") is None
        assert len(asked) == 1

    @pytest.mark.parametrize("name", ["a/../../groups", "a?b", "a#b", "ä b", "..", "%2e%2e"])
    async def test_a_name_stays_a_name_in_the_address(self, name: str) -> None:
        asked: list[HTTPServerRequest] = []
        async with api(recorded(asked, replying({}, status=404))) as hub:
            await HubDirectory(hub).user(name)
        path = (asked[0].uri or "").removeprefix("/hub/api/users/")
        assert unquote(path) == name and not set(path) & set("/?#")


class TestServers:
    """How a server is doing, as the Hub and the server itself say."""

    def backend(self, hub: HubApi, port: int) -> HubBackend:
        url = f"http://127.0.0.1:{port}"
        return HubBackend(hub, http=internal_http(url), origin=lambda a: f"http://{a}.x.test", proxy=url)

    async def phase(self, model: dict[str, Any] | None, *, answers: int = 200) -> str:
        def answer(request: HTTPServerRequest) -> tuple[int, dict[str, str], bytes]:
            if (request.uri or "").startswith("/user/"):
                assert request.headers["Host"] == f"{SERVER.account}.x.test"
                return answers, {}, b""
            status = 200 if model is not None else 404
            return status, {}, json.dumps({"servers": {"v1": model} if model else {}}).encode()

        async with web(answer) as port:
            hub = HubApi(f"http://127.0.0.1:{port}/hub/api", "t", http=internal_http(f"http://127.0.0.1:{port}"))
            return (await self.backend(hub, port).state(SERVER)).phase

    async def test_the_phases(self) -> None:
        assert await self.phase(None) == await self.phase({}) == "stopped"
        assert await self.phase({"pending": "spawn", "ready": False}) == "starting"
        assert await self.phase({"pending": "stop", "ready": True}) == "stopping"
        assert await self.phase({"pending": None, "ready": False}) == "stopped"
        assert await self.phase({"pending": None, "ready": True}) == "ready"
        assert await self.phase({"pending": None, "ready": True}, answers=202) == "starting"
        assert await self.phase({"pending": None, "ready": True}, answers=503) == "failed"

    async def start(self, told: list[tuple[float, str]], *, pending: float, patience: float = 0.3) -> list[str]:
        """Start a server that is pending for so long, of which the Hub says this from these moments on.

        Return what those who look meanwhile are told.
        """
        begun, heard = time.monotonic(), list[str]()

        def answer(request: HTTPServerRequest) -> tuple[int, dict[str, str], bytes]:
            now, path = time.monotonic() - begun, request.uri or ""
            if path.endswith("/progress"):
                said = [message for moment, message in told if moment <= now]
                events = [{"progress": 0, "message": "Server requested"}, {"progress": 10, "message": said[-1]}]
                return 200, {}, "".join(f"data: {json.dumps(each)}\n\n" for each in events).encode()
            model = {"pending": "spawn"} if now < pending else {"pending": None, "ready": True}
            return 200, {}, b"" if path.startswith("/user/") else json.dumps({"servers": {"v1": model}}).encode()

        async with web(answer) as port:
            url = f"http://127.0.0.1:{port}"
            http = internal_http(url)
            hub = HubApi(f"{url}/hub/api", "t", http=http)
            backend = HubBackend(hub, http=http, origin=lambda a: f"http://{a}.x.test", proxy=url, patience=patience)
            starting = asyncio.create_task(backend.start(SERVER))
            while not starting.done():
                heard.append((await backend.state(SERVER)).message)
                await asyncio.sleep(0.05)
            await starting
        return [message for message, _ in itertools.groupby(heard) if message]

    async def test_a_start_that_waits_in_a_queue_is_not_given_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hub_module, "_SLOW", 0.0)
        monkeypatch.setattr(hub_module, "_LISTENS_EVERY", 0.05)
        ahead, soon = "In the queue of the cluster. Others are before it.", "In the queue. It should begin in a minute."
        heard = await self.start([(0, ahead), (0.5, soon)], pending=1.0)
        assert [message for message in heard if "queue" in message] == [ahead, soon]
        with pytest.raises(Unavailable, match="too long"):
            await self.start([(0, "Spawning server...")], pending=5)
        with pytest.raises(Unavailable, match="too long"):
            await self.start([(0, ahead), (0.4, "It starts.")], pending=5)

    async def test_what_is_up_soon_is_not_listened_to(self) -> None:
        assert await self.start([(0, "In the queue of the cluster.")], pending=0.2, patience=9) == ["Starting the app."]

    async def test_stopping_and_forgetting_what_is_not_there_does_nothing(self) -> None:
        async with api(replying({}, status=404)) as hub:
            backend = self.backend(hub, 1)
            await backend.stop(SERVER)
            await backend.forget(SERVER.account)

    async def test_a_poke_that_nobody_hears_is_silent(self) -> None:
        async with api(replying({})) as hub:
            await self.backend(hub, 1).poke(SERVER, "ticket")

    async def test_the_public_address_is_on_the_accounts_own_origin(self) -> None:
        async with api(replying({})) as hub:
            assert self.backend(hub, 1).url(SERVER) == "http://app-abc123def456.x.test/user/app-abc123def456/v1/"
