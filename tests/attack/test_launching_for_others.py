"""People who try to see, stop or start what others launched, or to launch what is not for them."""

from __future__ import annotations

import re

import httpx
import pytest

from tests.launch_site import PORTAL, Launches

pytestmark = [pytest.mark.hub, pytest.mark.attack]
#: An id that is nobody's, and what is made anew with every page.
NONE, NEW = "zzzzzzzzzzzz", r"[A-Za-z0-9_|:=%-]{40,}"


def test_anothers_launch_is_hidden_and_cannot_be_touched(launches: Launches) -> None:
    launch, sam = launches.launch(), launches.tokens["sam"]
    launches.until(launch, "ready")
    for method, path in (
        ("GET", f"launches/{launch}/"),
        ("GET", f"launches/{launch}/events"),
        ("GET", f"api/launches/{launch}"),
        ("POST", f"api/launches/{launch}/stop"),
        ("POST", f"api/launches/{launch}/start"),
        ("DELETE", f"api/launches/{launch}"),
    ):
        theirs = launches.portal.request(method, PORTAL + path, token=sam)
        none = launches.portal.request(method, PORTAL + path.replace(launch, NONE), token=sam)
        said = {re.sub(f"{launch}|{NONE}|{NEW}", "", each.text) for each in (theirs, none)}
        assert (theirs.status_code, none.status_code, len(said)) == (404, 404, 1), path
    for do in ("stop", "start", "remove", "rename"):
        assert launches.portal.form(f"{PORTAL}launches/{launch}/", f"do={do}&title=x", token=sam).status_code == 404
    assert launches.rest("GET", "launches", who="sam") == {"launches": []}
    assert launches.state(launch) == "ready" and launches.processes(launch) == 1


def test_an_app_that_one_may_not_read_is_not_launched(launches: Launches) -> None:
    asked = (("GET", "apps/penguins/launch", None), ("POST", "api/launches", {"app": "penguins"}))
    emil = launches.tokens["emil"]
    for access, status in (("", 404), ("VIEW", 403)):
        if access:
            launches.rest("PUT", "apps/penguins/grants/user:emil", {"access": access})
        for method, path, body in asked:
            assert launches.portal.request(method, PORTAL + path, token=emil, json=body).status_code == status
    assert launches.rest("GET", "launches", who="emil") == {"launches": []}


@pytest.mark.parametrize(
    "said", [{"Origin": "http://app-abcdefghijkl.vaas.localhost"}, {"Sec-Fetch-Site": "same-site"}], ids=["old", "new"]
)
def test_a_page_of_an_app_launches_and_stops_nothing(launches: Launches, said: dict[str, str]) -> None:
    launch, settings = launches.launch(), launches.portal.settings
    host = f"{settings.domain}:{settings.port}"
    headers = {"Host": host, "Authorization": f"token {launches.tokens['ada']}", **said}
    for path in (
        "apps/penguins/launch",
        "launch",
        f"launches/{launch}/",
        "api/launches",
        f"api/launches/{launch}/stop",
    ):
        address = f"http://127.0.0.1:{settings.port}{PORTAL}{path}"
        assert httpx.post(address, headers=headers, data={"do": "stop", "basket": ""}).status_code == 403
    (only,) = launches.rest("GET", "launches")["launches"]
    assert only["id"] == launch and only["state"] in {"starting", "ready"}


def test_titles_and_reasons_are_text_on_every_page(launches: Launches) -> None:
    launches.told(fail="No <script>alert(1)</script> & more.")
    launch = launches.launch(store="home", path="a b.ipynb", title="<img src=x onerror=alert(1)>\"'")
    launches.until(launch, "failed")
    for path in (f"launches/{launch}/", "servers"):
        page = launches.portal.get(PORTAL + path, token=launches.tokens["ada"]).text
        assert "<script>alert" not in page and "<img src=x" not in page
        assert "&lt;img src=x" in page and "&lt;script&gt;alert" in page
