"""A stranger asks for a hidden app, and learns what they would learn of one that does not exist."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from hub_service.routes import API, PAGES, Route
from tests.portal_fixture import RunningPortal
from tests.portal_parts import ADA, EVE, NOBODY, World
from tests.published import call, publish
from vaas.errors import NotFound
from vaas.model import Visitor

pytestmark = pytest.mark.attack
NAMED = [route for route in PAGES + API if "{slug}" in route.path or "{account}" in route.path]
DOES = {"apps/{slug}/share": "revoke"}
QUERY = {"apps/{slug}/compare": "?from=1&to=1"}
OTHER = {"subject": "user:eve", "link": "aaaaaaaaaaaa"}
#: Sent with everything, so that no answer is about a missing field.
FORM = "do={do}&title=x&store=home&folder=&subject=user%3Aeve&hash=" + "0" * 64
BODY = {"title": "x", "access": "VIEW", "hash": "0" * 64, "days": 1}
_CHANGING = {"date", "etag", "set-cookie", "content-length"}


@pytest.fixture(scope="module")
def hidden(hub: RunningPortal) -> Iterator[tuple[str, str]]:
    """Return slug and id of an app of ada's that nobody else may see."""
    app = publish(hub, hub.token_for("ada"), title="Xyzzy")
    yield app["slug"], app["id"]


def _answers(
    hub: RunningPortal, route: Route, method: str, slug: str, account: str, token: str
) -> tuple[int, str, str]:
    path = re.sub(r"\{(\w+)\}", lambda m: {"slug": slug, "account": account, **OTHER}[m[1]], route.path)
    path += QUERY.get(route.path, "")
    if route.path.startswith("api/") or method == "get":
        answer = hub.request(
            method.upper(), f"/services/vaas/{path}", token=token, json=None if method == "get" else BODY
        )
    else:
        answer = hub.form(f"/services/vaas/{path}", FORM.format(do=DOES.get(route.path, "save")), token=token)
    text = re.sub(r'name="_xsrf" value="[^"]*"', "", answer.text)
    headers = {k: v for k, v in answer.headers.items() if k.lower() not in _CHANGING}
    return answer.status_code, *(said.replace(slug, "").replace(account, "") for said in (text, str(headers)))


@pytest.mark.hub
@pytest.mark.parametrize("route", NAMED, ids=lambda route: route.path)
@pytest.mark.parametrize("who", ["anonymous", "stranger"])
def test_a_hidden_app_answers_as_one_that_does_not_exist(
    hub: RunningPortal, hidden: tuple[str, str], route: Route, who: str
) -> None:
    slug, app_id = hidden
    token = hub.token_for("sam") if who == "stranger" else ""
    for method in route.methods:
        found = _answers(hub, route, method, slug, f"app-{app_id}", token)
        unknown = _answers(hub, route, method, "q" * len(slug), "app-" + "x" * 12, token)
        assert found == unknown
        expected = {404} if who == "stranger" or route.access == "anyone" else {401, 302}
        assert found[0] in expected


@pytest.mark.hub
@pytest.mark.parametrize("path", ["/user/{}/v1/", "/user/{}/v1/api", "/user/{}/v7/", "/user/{}/", "/", "/hub/home"])
def test_the_host_of_a_hidden_app_that_sleeps_answers_as_any_other(
    hub: RunningPortal, hidden: tuple[str, str], path: str
) -> None:
    owner = hub.token_for("ada")
    assert call(hub, "GET", f"apps/{hidden[0]}/opening", owner)["phase"] == "stopped"
    answers = []
    for account in (f"app-{hidden[1]}", "app-" + "x" * 12):
        answer = hub.get(path.format(account), host=f"{account}.vaas.localhost")
        kept = {k: v for k, v in answer.headers.items() if k.lower() not in _CHANGING}
        answers.append((answer.status_code, answer.text.replace(account, ""), kept))
    assert answers[0] == answers[1]
    assert answers[0][0] == 404


@pytest.mark.hub
def test_the_gallery_and_search_do_not_tell_of_it(hub: RunningPortal, hidden: tuple[str, str]) -> None:
    for token in ("", hub.token_for("sam")):
        for path in ("", "?q=xyzzy", "api/apps", "api/apps?q=Xyzzy"):
            page = hub.get(f"/services/vaas/{path}", token=token).text
            assert f"apps/{hidden[0]}" not in page and f'"slug": "{hidden[0]}"' not in page


Look = Callable[[World, Visitor, str, str], object]
LOOKS: dict[str, Look] = {
    "see": lambda world, who, slug, _: world.portal.gallery.app(who, slug),
    "cover": lambda world, who, slug, _: world.portal.gallery.cover(who, slug),
    "log": lambda world, who, slug, _: world.portal.opening.log(who, slug),
    "source": lambda world, who, slug, _: world.portal.versions.source(who, slug),
    "versions": lambda world, who, slug, _: world.portal.versions.list(who, slug),
    "wake": lambda world, who, _, app_id: world.portal.opening.app_of(who, f"app-{app_id}"),
    "withdraw": lambda world, who, slug, _: world.portal.gallery.withdraw(who, slug),
    "make a link": lambda world, who, slug, _: world.portal.sharing.make_link(who, slug),
}


@pytest.mark.parametrize("name", LOOKS)
@pytest.mark.parametrize("who", [NOBODY, Visitor(EVE)], ids=["anonymous", "stranger"])
async def test_a_hidden_app_costs_as_many_queries_as_one_that_does_not_exist(
    world: World, name: str, who: Visitor
) -> None:
    app = await world.published(ADA, "x = 1")
    engine = world.core.database._engine  # type: ignore[attr-defined]
    counted: list[str] = []
    sa.event.listen(engine, "before_cursor_execute", lambda _c, _cursor, text, *_: counted.append(text))

    def asked(slug: str, app_id: str) -> list[str]:
        counted.clear()
        with pytest.raises(NotFound):
            LOOKS[name](world, who, slug, app_id)
        return counted.copy()

    hidden, unknown = asked(app.slug, app.id), asked("unknown", "x" * 12)
    assert hidden == unknown
    assert hidden
