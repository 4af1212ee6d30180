"""Apps in the environments of a site, on a real portal: chosen, opened at once, kept, and had again a year later."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.launched import Launches
from tests.notebooks import notebook
from tests.portal_fixture import app_python, running, until
from tests.published import call
from tests.service.test_environments import Place
from tests.site_environments import kernelspec, site_python
from tests.wheels import maker, packages, wheel
from vaas.content import Content, snapshot_of
from vaas.model import File
from vaas.requirements import read_requirements
from vaas.served import APPS, SERVED, Served, read_served

pytestmark = [pytest.mark.hub, pytest.mark.app, pytest.mark.slow]

#: Says which Python runs it, what it has, and what it may not do.
LESSON = (
    "import os, sys, oceanlib, ipywidgets\n"
    "written = os.access(sys.prefix, os.W_OK)\n"
    "said = (oceanlib.VERSION, os.environ.get('DEPTH', ''), 'in', sys.prefix, 'written' if written else 'kept')\n"
    "print('ocean', *said)\n"
    "ipywidgets.IntSlider(description='depth')"
)


@pytest.fixture(scope="module")
def ocean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with the site's environments."""
    return tmp_path_factory.mktemp("ocean")


@pytest.fixture(scope="module")
def place(ocean: Path) -> Iterator[Place]:
    """Return a portal whose site has environments of its own, and an index of packages."""
    python = site_python(ocean / "sea", "oceanlib", "7")
    kernelspec(ocean / "deep", python, DEPTH="11000")
    said = [
        ("size", {"id": "small", "title": "Small"}),
        ("environment", {"id": "sea", "title": "Sea", "kind": "python", "path": str(python)}),
        ("environment", {"id": "deep", "title": "Deep", "kind": "kernelspec", "path": str(ocean / "deep")}),
        ("environment", {"id": "club", "title": "Club", "kind": "python", "path": str(app_python())}),
        ("environment", {"id": "closed", "title": "Closed", "kind": "kernelspec", "path": str(ocean / "deep")}),
        ("facility", _facility("here", ["club", "sea", "deep"])),
        ("facility", _facility("elsewhere", ["closed"], groups=["sailors"])),
    ]
    file = ocean / "facilities.toml"
    file.write_text(
        "".join(f"[[{name}]]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in t.items()) for name, t in said)
    )
    with packages() as index:
        index.add_kernel()
        index.add(wheel("tiny", "1.0", {"tiny.py": "VERSION = '1.0'"}))
        environ = {"VAAS_FACILITIES": str(file), "VAAS_PACKAGE_INDEX": index.url}
        # The site's Python has its kernel from there.
        environ["VAAS_SANDBOX_PATHS"] = str(app_python().parent.parent)
        with running(ocean / "data", app_python=app_python(), environ=environ) as portal:
            place = Place(portal, index, portal.token_for("ada"))
            until(lambda: _ready(place), seconds=60, what="a look at the environments")
            yield place


def _facility(id: str, environments: list[str], **more: Any) -> dict[str, Any]:
    return {"id": id, "title": id, "kind": "local", "environments": environments, "sizes": ["small"], **more}


def _ready(place: Place) -> bool:
    told = call(place.portal, "GET", "facilities", place.token)["environments"]
    return all(each["state"] == "ready" for each in told)


def checked(place: Place, draft_id: str) -> dict[str, Any]:
    """Return the draft when its check is over."""
    found: dict[str, Any] = {}

    def done() -> bool:
        found.update(call(place.portal, "GET", f"drafts/{draft_id}", place.token))
        return bool(found["state"] == "done")

    until(done, seconds=90, what=lambda: f"the check of {found}")
    return found


def drafted(place: Place, *cells: str, environment: str = "") -> dict[str, Any]:
    files = {"lesson.ipynb": base64.b64encode(notebook(*(cells or (LESSON,)))).decode()}
    draft = call(place.portal, "POST", "uploads", place.token, {"files": files, "environment": environment})
    return checked(place, draft["id"])


def published(place: Place, draft: dict[str, Any], title: str) -> dict[str, Any]:
    assert draft["report"]["ok"], draft["report"]
    app: dict[str, Any] = call(place.portal, "POST", f"drafts/{draft['id']}/publish", place.token, {"title": title})
    call(place.portal, "PUT", f"apps/{app['slug']}/grants/everyone", place.token, {"access": "VIEW"})
    return app


def opens(place: Place, slug: str) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def known() -> bool:
        found.update(call(place.portal, "GET", f"apps/{slug}", place.token).get("opens") or {})
        return found.get("mode", "preparing") != "preparing"

    until(known, seconds=60, what=lambda: f"how it opens: {found}")
    return found


def test_what_fits_is_taken_without_a_word_and_opens_at_once(place: Place, ocean: Path) -> None:
    draft = drafted(place)
    assert draft["environment"] == "sea"
    fits = {each["id"]: each for each in draft["environments"]}
    assert [*fits][:3] == ["apps", "sea", "deep"] and "club" not in fits  # which is that of all apps
    assert fits["apps"]["missing"] == ["oceanlib"] and fits["sea"]["missing"] == []
    assert fits["closed"]["why_not"] == "It is for members of sailors."
    published(place, draft, "Sea")
    assert f"ocean 7  in {ocean / 'sea'} kept" in place.page("sea")
    # It has what our kernel stands on, so that visitors get copies of one that has run.
    assert opens(place, "sea")["mode"] == "instant", opens(place, "sea")
    assert "Sea, Python 3." in place.portal.get("/services/vaas/apps/sea/", token=place.token).text


def test_a_kernelspec_is_started_as_the_site_wrote_it(place: Place, ocean: Path) -> None:
    draft = drafted(place)
    call(place.portal, "POST", f"drafts/{draft['id']}/check", place.token, {"environment": "deep"})
    again = checked(place, draft["id"])
    assert again["environment"] == "deep"
    published(place, again, "Deep")
    assert f"ocean 7 11000 in {ocean / 'sea'} kept" in place.page("deep")
    told = opens(place, "deep")
    assert told["mode"] == "warm" and "which cannot be copied" in " ".join(told["why"]), told


def test_what_was_chosen_and_does_not_fit_is_said_by_the_check(place: Place) -> None:
    draft = drafted(place, environment="apps")
    assert draft["environment"] == "apps" and not draft["report"]["ok"]
    (problem,) = [each for each in draft["report"]["problems"] if each["kind"] == "module"]
    assert "“oceanlib”, which is not installed where apps run" in problem["text"]
    lacking = drafted(place, "import nosuchthing", environment="deep")
    (problem,) = [each for each in lacking["report"]["problems"] if each["kind"] == "module"]
    assert problem["text"].endswith("which is not in “Deep”.")
    refused = place.portal.request(
        "POST", f"/services/vaas/api/drafts/{draft['id']}/check", token=place.token, json={"environment": "closed"}
    )
    assert refused.status_code == 400 and "It is for members of sailors." in refused.text


async def test_a_launch_of_it_runs_in_it_too(place: Place, ocean: Path) -> None:
    app = published(place, drafted(place, environment="deep"), "Lab of it")
    made = call(place.portal, "POST", "launches", place.token, {"app": app["slug"]})
    launches = Launches(place.portal, "ada")
    with launches._database.begin() as records:
        launch = records.launches.get(made["id"])
    assert launch is not None and launch.environment == "deep"
    try:
        until(lambda: launches.ready(launch), seconds=60, what=lambda: f"the launch\n{launches.said(launch)}")
        opened = place.portal.data / "homes" / "ada" / launches.get(launch).folder / launches.get(launch).notebook
        kernel = json.loads(opened.read_bytes())["metadata"]["kernelspec"]["name"]
        printed = await launches.run(launch, LESSON, kernel=kernel)
        assert printed == f"ocean 7 11000 in {ocean / 'sea'} kept\n"
    finally:
        call(place.portal, "DELETE", f"launches/{made['id']}", place.token)


def test_what_apps_shared_when_it_was_published_is_what_it_runs_with_a_year_later(place: Place, tmp_path: Path) -> None:
    cell = (
        "import sys\ntry:\n    import tiny; print('tiny', tiny.VERSION, sys.prefix)\nexcept ImportError: print('none')"
    )
    draft = drafted(place, cell)
    app = published(place, draft, "Later")
    kept = [file for file in draft["files"] if file["path"] == SERVED]
    content = Content(place.portal.data / "content")
    served = read_served(content.read(kept[0]["sha256"]).decode())
    assert served.id == APPS and served.lock and "voila" in served.packages
    assert "none" in place.page("later")
    # As if apps had shared something else when it was published: the site has changed it since.
    then = asyncio.run(maker(tmp_path, place.index).lock(read_requirements(b"tiny", path="requirements.txt")))
    _published_with(place, app, content, replace(served, packages=then.packages, lock=then))
    page = place.page("later")
    assert f"tiny 1.0 {place.environments / then.digest}" in page
    about = place.portal.get("/services/vaas/apps/later/", token=place.token).text
    assert "That of all apps, as it was when this was published" in about


def _published_with(place: Place, app: dict[str, Any], content: Content, served: Served) -> None:
    """Write down another environment as that of the app's next version."""
    digest, size = content.add(served.text.encode())
    with Launches(place.portal, "ada")._database.begin() as records:
        (version,) = records.versions.of(app["id"])
        files = [file for file in version.snapshot.files if file.path != SERVED]
        snapshot = snapshot_of(version.snapshot.notebook, [*files, File(SERVED, digest, size)])
        records.versions.add(replace(version, number=2, snapshot=snapshot))
        found = records.apps.by_id(app["id"])
        assert found
        records.apps.save(replace(found, version=snapshot.hash))


def test_one_that_is_taken_away_is_named_to_its_owner(place: Place, ocean: Path) -> None:
    app = published(place, drafted(place), "Gone")
    version = call(place.portal, "GET", f"apps/{app['slug']}/versions", place.token)[0]
    content = Content(place.portal.data / "content")
    sha = next(file["sha256"] for file in version["files"] if file["path"] == SERVED)
    served = read_served(content.read(sha).decode())
    _published_with(place, app, content, replace(served, id="taken", title="Taken"))
    place.portal.get("/services/vaas/apps/gone/open", token=place.token)

    def failed() -> bool:
        told = call(place.portal, "GET", "apps/gone/opening", place.token)
        return bool(told["phase"] == "failed")

    until(failed, seconds=30, what="the start to fail")
    about = place.portal.get("/services/vaas/apps/gone/", token=place.token).text
    assert "“Taken” is not offered here any more" in about
