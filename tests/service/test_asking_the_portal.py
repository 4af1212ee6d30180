"""Kernels ask the portal, each as its own visitor: forks, kept and cold kernels, in a sandbox and without one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.sandbox import NEEDS_SANDBOX
from tests.service.visiting import Site, Visiting, serving

pytestmark = [pytest.mark.app, pytest.mark.asyncio(loop_scope="module")]

CELL = """
import vaas
from vaas import client
hooked = []
@vaas.on_visit
def begin(visitor):
    try: hooked.append(client.here().suggest("begins"))
    except client.PortalError as error: hooked.append(str(error))
"""
#: What keeps visits from being forks: they get kernels that are kept.
THREAD = "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()"
KINDS = {
    "forks": {"limits": {"ahead": 1}},
    "kept": {"limits": {"ahead": 1}, "cells": [THREAD]},
    "cold": {"limits": {"ahead": 0}},
    "forks without a sandbox": {"limits": {"ahead": 1}, "environ": {"VAAS_SANDBOX": "off"}},
    "cold without a sandbox": {"limits": {"ahead": 0}, "environ": {"VAAS_SANDBOX": "off"}},
}
ASK = """
try: result = client.here().search({word!r}, limit=3)
except client.PortalError as error: result = str(error)
"""


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=[pytest.param(k, marks=() if "without" in k else NEEDS_SANDBOX) for k in KINDS],
)
async def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """Return the portal's own app, each visit of which does what it is told."""
    said: dict[str, Any] = dict(KINDS[request.param])
    cells = said.pop("cells", [])
    async with serving(tmp_path_factory.mktemp("asks"), CELL, *cells, speaks=True, **said) as site:
        site.kind = request.param
        yield site


async def ask(visit: Visiting, word: str = "tides") -> Any:
    return await visit.do(ASK.format(word=word))


async def test_each_visit_asks_as_its_own_visitor(site: Site) -> None:
    visits = await asyncio.gather(*(site.visit(user=name) for name in ("bob", "eve", "")))
    found = await asyncio.gather(*(ask(visit) for visit in visits))
    assert [each["proof"] for each in found] == ["proof-of-bob", "proof-of-eve", "proof-of-"]
    assert found[0]["verb"] == "search"
    assert found[0]["args"] == {"text": "tides", "limit": 3, "cursor": "", "typing": False}
    hooked = [await visit.do("result = hooked") for visit in visits]
    assert [each[0]["proof"] for each in hooked] == ["proof-of-bob", "proof-of-eve", "proof-of-"]
    if site.kind.startswith("forks"):
        assert "visits are forks" in site.app.text()
    elif site.kind == "kept":
        assert "Visits are no forks" in site.app.text()
    for visit in visits:
        await visit.leave()


async def test_what_the_portal_refuses_is_said_in_its_words(site: Site) -> None:
    visit = await site.visit()
    site.portal.answer = lambda asked: (404, {"error": {"kind": "NotFound", "message": "No such.", "fix": "Look."}})
    assert await ask(visit) == "No such. Look."
    site.portal.answer = lambda asked: (502, b"<html>")
    assert await ask(visit) == "The portal refused."
    site.portal.answer = lambda asked: (200, b"<html>")
    assert await ask(visit) == "The portal's answer cannot be read."
    site.portal.answer = lambda asked: (200, asked)
    assert (await ask(visit))["proof"] == "proof-of-bob"
    await visit.leave()


async def test_the_connection_is_kept_and_one_that_was_closed_is_opened_again(site: Site) -> None:
    visit = await site.visit()
    used = "[c.sock.getsockname()[1] for c, _ in client.here()._wire._wires._free]"
    one = await visit.do(f"client.here().me(); first = {used}; client.here().me(); result = [first, {used}]")
    assert one[0] == one[1] and len(one[0]) == 1
    # As if the server had closed it long ago.
    cut = "import socket; client.here()._wire._wires._free[0][0].sock.shutdown(socket.SHUT_RDWR)"
    assert (await visit.do(f"{cut}; result = client.here().search('again')"))["args"]["text"] == "again"
    await visit.leave()


async def test_a_portal_that_is_away_is_said_and_asked_again(site: Site) -> None:
    visit = await site.visit()
    site.portal.answer = lambda asked: (599, b"")
    site.portal.away = True
    assert "cannot answer at the moment" in await ask(visit)
    site.portal.away, site.portal.answer = False, lambda asked: (200, asked)
    assert (await ask(visit))["proof"] == "proof-of-bob"
    await visit.leave()


async def test_threads_ask_at_once(site: Site) -> None:
    visit = await site.visit()
    source = """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(6) as pool:
    result = [each["args"]["text"] for each in pool.map(client.here().search, [str(n) for n in range(24)])]
"""
    assert await visit.do(source) == [str(n) for n in range(24)]
    await visit.leave()


async def test_the_secret_is_in_no_environment_page_or_log(site: Site) -> None:
    visit = await site.visit()
    look = """
import subprocess
from vaas.runtime import asking
secret = asking.facts().way.secret
places = {"environ": repr(dict(os.environ)), "facts": repr(asking.facts()), "client": repr(vars(client.here()))}
for name in ("environ", "cmdline"):
    try: places[name + " file"] = open(f"/proc/self/{name}", "rb").read().decode("latin-1")
    except PermissionError: pass  # a fork may not look even there
places["child"] = subprocess.run(["env"], capture_output=True, text=True).stdout
result = [secret, [name for name, text in places.items() if secret in text]]
"""
    secret, found = await visit.do(look)
    assert len(secret) > 40 and found == []
    assert secret not in visit.html and secret not in site.app.text()
    assert "proof-of" not in visit.html and "proof-of" not in site.app.text()
    assert secret not in json.dumps(site.portal.heartbeats)
    await visit.leave()


async def test_a_pandas_table(site: Site) -> None:
    record = {"type": "app", "title": "Tides", "owner": "ada", "changed": "2026-01-02T03:04:05+00:00", "size": 5}
    page = {"records": [record, {"type": "data"}], "total": 7, "cursor": "", "facets": {"type": {"app": 1}}}
    page |= {"silent": {"CKAN": "is away"}, "notes": [], "corrected": False}
    site.portal.answer = lambda asked: (200, page)
    visit = await site.visit()
    source = "t = vaas.search('tides'); result = [list(t.columns)[:7], t.iloc[0].title, str(t.changed[0]), t.attrs]"
    columns, title, changed, attrs = await visit.do(source)
    assert columns == ["type", "title", "owner", "changed", "format", "size", "url"]
    assert (title, changed) == ("Tides", "2026-01-02 03:04:05+00:00")

    # Page after page, until there are enough, or no more.
    def more(asked: dict[str, Any]) -> tuple[int, Any]:
        cursor = asked["args"]["cursor"]
        return 200, {**page, "cursor": "" if cursor == "xxx" else f"{cursor}x"}

    site.portal.answer, source = more, "result = [len(vaas.search('', limit=n)) for n in (1, 5, 100)]"
    assert await visit.do(source) == [1, 5, 8]
    site.portal.answer = lambda asked: (200, {**page, "records": []})
    assert await visit.do("result = [len(vaas.search('')), len(vaas.search('').columns)]") == [0, 18]
    assert attrs["total"] == 7 and attrs["silent"] == {"CKAN": "is away"} and attrs["facets"] == {"type": {"app": 1}}
    site.portal.answer = lambda asked: (200, asked)
    await visit.leave()


async def test_a_template_that_asks_is_told_where_to_and_its_visits_ask(tmp_path: Path) -> None:
    cell = "said = client.here().search('early')['proof']"
    async with serving(tmp_path, CELL, "shared = uuid.uuid4().hex", cell, speaks=True) as site:
        visits = await asyncio.gather(*(site.visit(user=name) for name in ("bob", "eve")))
        found = [await visit.do("result = [said, shared]") for visit in visits]
        assert [said for said, _ in found] == ["proof-of-bob", "proof-of-eve"]
        assert found[0][1] == found[1][1], "the cells before were not run once for all"


async def test_a_template_that_swallows_the_error_holds_nobodys_answer(tmp_path: Path) -> None:
    cell = "try: heard = client.here().search('early')['proof']\nexcept client.PortalError as error: heard = str(error)"
    async with serving(tmp_path, CELL, cell, speaks=True) as site:
        for name in ("bob", "eve", ""):
            visit = await site.visit(user=name)
            assert await visit.do("result = heard") == f"proof-of-{name}"
            await visit.leave()


async def test_a_page_that_is_loaded_again_goes_on_asking(tmp_path: Path) -> None:
    async with serving(tmp_path, CELL, speaks=True, limits={"leave_after": 60}) as site:
        visitor = await site.visitor("bob")
        page = await visitor.page()
        first = Visiting(visitor, page, await page.connect())
        secret = await first.do("result = client.here()._wire._headers['Authorization']")
        first.socket.close()
        await visitor.leave(page.token)
        again = await visitor.page()
        assert again.kernel == page.kernel
        second = Visiting(visitor, again, await again.connect())
        assert (await ask(second))["proof"] == "proof-of-bob"
        assert await second.do("result = client.here()._wire._headers['Authorization']") == secret
        # Another page of the same visit has a kernel, and a secret, of its own; the portal hears the same visitor.
        other_page = await visitor.page()
        other = Visiting(visitor, other_page, await other_page.connect())
        assert await other.do("result = client.here()._wire._headers['Authorization']") != secret
        assert (await ask(other))["proof"] == "proof-of-bob"


async def test_who_comes_again_by_a_new_ticket_asks_with_the_new_proof(tmp_path: Path) -> None:
    async with serving(tmp_path, CELL, speaks=True) as site:
        visit = await site.visit()
        ticket = site.portal.ticket()
        site.portal.proofs = "later-proof-of"
        await visit.visitor.enter(ticket)
        assert (await ask(visit))["proof"] == "proof-of-bob"
        await visit.visitor.enter(site.portal.ticket())
        assert (await ask(visit))["proof"] == "later-proof-of-bob"
