"""What people do in the browser, in words that the tests can use."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, Request, expect

from tests.notebooks import markdown, write_notebook
from tests.portal_fixture import RunningPortal

__all__ = ["DESKTOP", "PHONE", "SLIDER", "Person", "Site", "watched"]

PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 800}
#: A notebook whose plot follows its slider.
SLIDER = (
    markdown("# Waves\n\nMove the slider."),
    "import ipywidgets as widgets\nimport plotly.graph_objects as go\nimport numpy as np",
    "x = np.linspace(0, 10, 60)\nfigure = go.FigureWidget(go.Scatter(x=x, y=np.sin(x)))\n"
    "slider = widgets.IntSlider(value=1, min=1, max=9, description='waves')\n"
    "label = widgets.Label('waves: 1')\n\n"
    "def change(event):\n    figure.data[0].y = np.sin(event.new * x)\n    label.value = f'waves: {event.new}'\n\n"
    "slider.observe(change, 'value')\nwidgets.VBox([slider, label, figure])",
)
#: What a browser says of things that are meant to happen: an error status that the test asked for, Voilà's word on the
#: versions of Lab extensions, and what it makes of a draft's preview whose scripts come when the draft is published.
_HARMLESS = re.compile(
    r"Unsatisfied version|status of (400|401|403|404|409|413|502|503)|sandbox attribute"
    r"|Refused to execute script from '[^']*/d[0-9a-f]{8}/[^']*' because its MIME type \('text/html'\)"
)
_OPEN_SECONDS = 60_000


class Site:
    """The portal in a browser; collects what pages complain about and what they ask of other hosts."""

    def __init__(self, portal: RunningPortal, browser: Browser) -> None:
        self.portal, self._browser = portal, browser
        self.url = portal.url
        self.complaints: list[str] = []
        self._contexts: list[BrowserContext] = []

    def visitor(self, *, viewport: dict[str, int] | None = None, dark: bool = False) -> Person:
        """Return somebody who is not signed in."""
        context = self._browser.new_context(
            viewport=viewport or DESKTOP,  # type: ignore[arg-type]
            color_scheme="dark" if dark else "light",
        )
        context.set_default_timeout(20_000)
        context.on("console", self._listen)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("request", self._watch)
        self._contexts.append(context)
        return Person(self, context)

    def person(self, name: str, *, viewport: dict[str, int] | None = None) -> Person:
        """Return somebody who has signed in."""
        person = self.visitor(viewport=viewport)
        person.sign_in(name)
        return person

    def close(self) -> None:
        """Close all windows."""
        for context in self._contexts:
            context.close()

    def _listen(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not _HARMLESS.search(message.text):
            self.complaints.append(f"{message.text} ({message.location.get('url')})")

    def _watch(self, request: Request) -> None:
        host = urlsplit(request.url).hostname or ""
        if request.url.startswith(("http", "ws")) and not f".{host}".endswith(".vaas.localhost"):
            self.complaints.append(f"A page asked {host}: {request.url[:200]}")


class Person:
    """One person with one browser window."""

    def __init__(self, site: Site, context: BrowserContext) -> None:
        self.site, self.context = site, context
        self.page: Page = context.new_page()
        self.name = ""

    def sign_in(self, name: str) -> None:
        """Sign in at the Hub with the demo's password."""
        self.page.goto(self.site.url + "login?next=/services/vaas/")
        self.fills_in(name)
        self.page.wait_for_url(self.site.url)

    def fills_in(self, name: str) -> None:
        """Fill in the Hub's form, and send it."""
        self.name = name
        self.page.get_by_label("name", exact=False).first.fill(name)
        self.page.locator("input[type=password]").fill(self.site.portal.settings.demo_password)
        self.page.locator("input[type=password]").press("Enter")

    def goes(self, path: str) -> int:
        """Go to a path under the portal and return the status."""
        answer = self.page.goto(self.site.url + path)
        assert answer is not None
        return answer.status

    def keeps(self, name: str, *cells: object) -> str:
        """Keep a notebook in one's own folder; return its path in the store."""
        home = self.site.portal.data / "homes" / self.name
        write_notebook(home / name, *cells)  # type: ignore[arg-type]
        return name

    def publishes(self, path: str, *, audience: str = "me", title: str = "") -> str:
        """Publish a notebook of one's home in the four clicks of the page; return the app's slug."""
        self.goes(f"files/home/{path}")
        self.page.get_by_role("button", name="Check").click()
        publish = self.page.get_by_role("button", name=re.compile("^Publish"))
        expect(publish).to_be_enabled(timeout=_OPEN_SECONDS)
        if self.page.locator(f"#audience-{audience}").count():
            self.page.locator(f"label[for=audience-{audience}]").click()
        if title:
            self.page.get_by_label("Title").fill(title)
        publish.click()
        self.page.wait_for_url(re.compile(r"/apps/[^/]+/"))
        return urlsplit(self.page.url).path.split("/apps/")[1].split("/")[0]

    def publishes_waves(self, *, audience: str = "me") -> str:
        """Publish a fresh copy of the slider notebook under a title of its own."""
        mark = secrets.token_hex(3)
        path = self.keeps(f"waves-{mark}.ipynb", *SLIDER)
        return self.publishes(path, audience=audience, title=f"Waves {mark}")

    def opens(self, slug: str) -> Page:
        """Open the app from its page, and return the page when its slider can be moved."""
        assert self.goes(f"apps/{slug}/") == 200
        self.page.get_by_role("main").get_by_role("link", name="Open", exact=True).click()
        expect(self.slider).to_be_visible(timeout=_OPEN_SECONDS)
        return self.page

    @property
    def slider(self) -> Locator:
        """The first slider of the app."""
        return self.page.locator(".noUi-handle").first

    @property
    def curve(self) -> str:
        """The path of the plot's first line."""
        return self.page.locator(".js-line").first.get_attribute("d") or ""

    def moves_the_slider(self, to: int) -> None:
        """Move the slider by keyboard, and wait until the app has answered."""
        self.slider.focus()
        current = int(float(self.slider.get_attribute("aria-valuenow") or "1"))
        for _ in range(to - current):
            self.page.keyboard.press("ArrowRight")
        expect(self.page.get_by_text(f"waves: {to}")).to_be_visible()

    def shot(self, path: Path) -> None:
        """Take a picture."""
        self.page.screenshot(path=path)

    def pictures(self, name: str) -> None:
        """Take pictures of the whole page for who looks at them, if anybody does: on a desk and on a phone."""
        if folder := os.environ.get("VAAS_SHOTS", ""):
            for size in (DESKTOP, PHONE):
                self.page.set_viewport_size(size)  # type: ignore[arg-type]
                self.page.screenshot(path=Path(folder) / f"{name}-{size['width']}.png", full_page=True)
            self.page.set_viewport_size(DESKTOP)  # type: ignore[arg-type]


@contextmanager
def watched(portal: RunningPortal, browser: Browser) -> Iterator[Site]:
    """Return the portal as people see it; at the end no page may have complained in its console."""
    site = Site(portal, browser)
    yield site
    site.close()
    assert not site.complaints, site.complaints
