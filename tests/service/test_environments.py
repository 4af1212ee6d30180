"""Apps that bring their own packages, on the real portal: locked when published, and what they run with for good."""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.notebooks import notebook
from tests.portal_fixture import RunningPortal, app_python, running, until
from tests.published import Browser, call
from tests.wheels import Packages, packages, wheel

pytestmark = pytest.mark.hub

LESSON = "import cycler, sys, tiny\nprint('tiny', tiny.VERSION, 'cycler', cycler.__version__)"


@dataclass
class Place:
    """The portal, its index of packages, and ada's token."""

    portal: RunningPortal
    index: Packages
    token: str

    @property
    def environments(self) -> Path:
        return self.portal.data / "environments"

    def checked(self, asked: str, *cells: Any, file: str = "requirements.txt", **more: bytes) -> dict[str, Any]:
        """Return a draft of a notebook that asks for this, once its check is done."""
        files = {"lesson.ipynb": notebook(*(cells or (LESSON,))), file: asked.encode(), **more}
        sent = {name: base64.b64encode(data).decode() for name, data in files.items() if data}
        draft = call(self.portal, "POST", "uploads", self.token, {"files": sent})["id"]
        found: dict[str, Any] = {}

        def done() -> bool:
            found.update(call(self.portal, "GET", f"drafts/{draft}", self.token))
            return bool(found["state"] == "done")

        until(done, seconds=90, what="the check")
        return found

    def published(self, asked: str, *cells: Any, title: str, **more: Any) -> dict[str, Any]:
        """Publish it for everyone, and return the app's version with its lock's digest."""
        draft = self.checked(asked, *cells, **more)
        assert draft["report"]["ok"], draft["report"]
        app = call(self.portal, "POST", f"drafts/{draft['id']}/publish", self.token, {"title": title})
        call(self.portal, "PUT", f"apps/{app['slug']}/grants/everyone", self.token, {"access": "VIEW"})
        version = call(self.portal, "GET", f"apps/{app['slug']}/versions", self.token)[0]
        locks = [file["sha256"] for file in version["files"] if file["path"] == "vaas.lock"]
        return {**app, "lock": locks[0] if locks else "", "number": version["number"]}

    def page(self, slug: str) -> str:
        """Open the app as nobody in particular, and return its page."""
        with Browser(self.portal) as browser:
            return browser.get(browser.enters(slug)).text

    def stop(self, app: dict[str, Any]) -> None:
        """Put the app to sleep."""
        self.portal.hub("DELETE", f"/users/app-{app['id']}/servers/v{app['number']}")

        def asleep() -> bool:
            return not self.portal.hub("GET", f"/users/app-{app['id']}").json().get("servers")

        until(asleep, seconds=30, what="the app to sleep")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Return a portal with an index of its own."""
    with packages() as index:
        index.add_kernel()
        index.add(wheel("tiny", "1.0", {"tiny.py": "VERSION = '1.0'"}))
        index.add(wheel("cycler", "0.0.1", {"cycler.py": "__version__ = '0.0.1'"}))
        data = tmp_path_factory.mktemp("travel") / "data"
        with running(data, app_python=app_python(), environ={"VAAS_PACKAGE_INDEX": index.url}) as portal:
            yield Place(portal, index, portal.token_for("ada"))


def test_an_app_runs_with_the_packages_that_it_brings(place: Place) -> None:
    at = "tinylab-1.0.data/data/share/jupyter/labextensions/tinylab"
    about = {"name": "tinylab", "version": "1.0", "jupyterlab": {"_build": {"load": "static/remoteEntry.1.js"}}}
    scripts = {f"{at}/package.json": json.dumps(about), f"{at}/static/remoteEntry.1.js": "/* tiny lab */"}
    place.index.add(wheel("tinylab", "1.0", {"tinylab.py": "", **scripts}))
    app = place.published("tiny\ncycler==0.0.1\ntinylab", title="Own")
    assert re.fullmatch(r"[0-9a-f]{64}", app["lock"])
    with Browser(place.portal) as browser:
        page = browser.get(browser.enters("own"))
        assert "tiny 1.0 cycler 0.0.1" in page.text
        # Its widgets' scripts are those of its packages.
        base = re.search(r"(.*/user/app-[a-z0-9]{12}/v1/)", str(page.url))
        assert base and '"tinylab"' in page.text
        script = browser.get(f"{base[1]}voila/labextensions/tinylab/static/remoteEntry.1.js")
        assert "tiny lab" in script.text
    until(lambda: _opens(place, "own"), seconds=30, what="how it opens")
    assert _opens(place, "own")["mode"] == "instant", _opens(place, "own")
    about_it = place.portal.get("/services/vaas/apps/own/").text
    assert re.search(r"Its own, locked on \d+ \w{3} \d{4}, 32 packages", about_it), about_it


def _opens(place: Place, slug: str) -> dict[str, Any]:
    found: dict[str, Any] = call(place.portal, "GET", f"apps/{slug}", place.token).get("opens") or {}
    return found


def test_a_year_later_it_runs_with_what_it_was_published_with(place: Place) -> None:
    app = place.published("tiny\n", "import tiny; print('tiny', tiny.VERSION)", title="Later")
    place.index.add(wheel("tiny", "2.0", {"tiny.py": "VERSION = '2.0'"}))
    place.stop(app)
    # What was made, and what was fetched for it, is lost.
    shutil.rmtree(place.environments)
    place.portal.get("/services/vaas/apps/later/open")
    again = place.environments / f"{app['lock']}.json"
    until(again.exists, seconds=90, what="the environment to be made again")
    assert "tiny 1.0" in place.page("later")


def test_apps_that_ask_for_nothing_are_as_they_were(place: Place) -> None:
    cells = ("import cycler; print('cycler', cycler.__version__)",)
    app = place.published("", *cells, title="Shared")
    assert app["lock"] == "" and "cycler 0.0.1" not in place.page("shared")
    draft = place.checked("", LESSON)
    (problem,) = [each for each in draft["report"]["problems"] if each["kind"] == "module"]
    assert "“tiny”, which is not installed where apps run" in problem["text"]
    assert "requirements.txt" in problem["fix"] and "2 lines: cycler, tiny" in problem["fix"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("tiny\nnosuchpackage", "Line 2 of requirements.txt (“nosuchpackage”): there is no package"),
        ("tiny==7", "Line 1 of requirements.txt (“tiny==7”): there is no such version"),
        ("cycler==0.0.1\n-e .", "Line 2 of requirements.txt (“-e .”) asks for a folder"),
    ],
)
def test_what_cannot_be_had_is_said_with_its_line_before_anything_runs(place: Place, asked: str, said: str) -> None:
    draft = place.checked(asked)
    (problem,) = draft["report"]["problems"]
    assert problem["kind"] == "environment" and said in problem["text"], problem
    assert "vaas.lock" not in {file["path"] for file in draft["files"]}
