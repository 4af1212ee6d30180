"""What a browser asks for to show an app, and that nothing is missing though it asks for little."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, CDPSession, Page, WebSocket, expect

from e2e.lone_app import LoneApp, alone
from e2e.people import SLIDER
from tests.notebooks import markdown, notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow]
_PATIENCE = 60_000


@dataclass
class Traffic:
    """What a page asked the network for, and what it told its kernel."""

    asked: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    told: list[bytes] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def listen(self, page: Page, session: CDPSession) -> None:
        """Note all from now on."""
        page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("websocket", self._hear)
        session.on("Network.responseReceived", self._answered)
        session.on(
            "Network.responseReceivedExtraInfo",
            lambda event: self.unchanged.append(event["requestId"]) if event["statusCode"] == 304 else None,
        )
        session.send("Network.enable")

    def _hear(self, socket: WebSocket) -> None:
        socket.on("framesent", lambda frame: self.told.append(frame if isinstance(frame, bytes) else frame.encode()))

    def _answered(self, event: dict[str, dict[str, object]]) -> None:
        response = event["response"]
        told = str(response["url"])
        if told.startswith("http") and not response.get("fromDiskCache") and not response.get("fromPrefetchCache"):
            self.asked.append(urlsplit(told).path)


@contextlib.contextmanager
def shown(app: LoneApp, context: BrowserContext) -> Iterator[tuple[Page, Traffic]]:
    """Open the app in a window; at the end no page may have complained."""
    page = context.new_page()
    traffic = Traffic()
    traffic.listen(page, context.new_cdp_session(page))
    page.goto(app.url)
    yield page, traffic
    assert traffic.complaints == []
    page.close()


def below(paths: list[str]) -> list[str]:
    """Return the paths below the server's own."""
    return [path.partition("/v3/")[2] for path in paths]


@pytest.mark.parametrize(("ahead", "wanted"), [(0, ["", "vaas"]), (1, [""])], ids=["own kernel", "forked"])
def test_a_second_visit_asks_for_the_page_alone_or_for_its_own_state(
    browser: Browser, tmp_path: Path, ahead: int, wanted: list[str]
) -> None:
    with alone(notebook(*SLIDER), folder=tmp_path, ahead=ahead) as app:
        context = app.visitor(browser)
        with shown(app, context) as (page, first):
            expect(page.locator(".noUi-handle")).to_be_visible(timeout=_PATIENCE)
            expect(page.locator(".js-line")).to_be_visible(timeout=_PATIENCE)
        with shown(app, context) as (page, second):
            expect(page.locator(".noUi-handle")).to_be_visible(timeout=_PATIENCE)
            expect(page.locator(".js-line")).to_be_visible(timeout=_PATIENCE)
        assert len(first.asked) <= 20
        assert second.unchanged == []
        own = [path.split("/")[0] for path in below(second.asked)]
        assert own == wanted
        context.close()


@pytest.mark.parametrize("ahead", [0, 1], ids=["own kernel", "forked"])
def test_a_page_shows_its_widgets_without_a_question_to_its_kernel(
    browser: Browser, tmp_path: Path, ahead: int
) -> None:
    slider = "import ipywidgets as w\nlabel = w.Label('waves: 1')\nslider = w.IntSlider(1, 1, 9)"
    observe = "slider.observe(lambda e: setattr(label, 'value', f'waves: {e.new}'), 'value')\nw.VBox([slider, label])"
    document = notebook(slider, observe)
    with alone(document, folder=tmp_path, ahead=ahead) as app, shown(app, app.visitor(browser)) as (page, traffic):
        expect(page.locator(".noUi-handle")).to_be_visible(timeout=_PATIENCE)
        assert [frame for frame in traffic.told if b"request" in frame] == []
        page.locator(".noUi-handle").press("ArrowRight")
        expect(page.get_by_text("waves: 2")).to_be_visible()
        assert traffic.told


def test_a_page_is_up_to_date_and_stays_so_though_its_widgets_move_by_themselves(
    browser: Browser, tmp_path: Path
) -> None:
    clock = (
        "import threading, time\nimport ipywidgets as w\nlabel = w.Label('tick 0')\ndone = w.Label('')\n"
        "def run():\n    for n in range(1, 401):\n        time.sleep(0.01)\n        label.value = f'tick {n}'\n"
        "    done.value = 'over'\nw.VBox([label, done])"
    )
    with alone(notebook(clock, "threading.Thread(target=run).start()"), folder=tmp_path) as app:
        for _ in range(3):
            with shown(app, app.visitor(browser)) as (page, _traffic):
                expect(page.get_by_text("over", exact=True)).to_be_visible(timeout=_PATIENCE)
                expect(page.get_by_text("tick 400", exact=True)).to_be_visible()


def test_a_connection_that_was_cut_comes_back_with_what_was_said_meanwhile(browser: Browser, tmp_path: Path) -> None:
    clock = (
        "import threading, time\nimport ipywidgets as w\nlabel = w.Label('tick 0')\n"
        "button = w.Button(description='go')\n"
        "def run():\n    for n in range(1, 7):\n        time.sleep(0.5)\n        label.value = f'tick {n}'\n"
        "button.on_click(lambda _: threading.Thread(target=run).start())\nw.VBox([button, label])"
    )
    with alone(notebook(clock), folder=tmp_path) as app:
        context = app.visitor(browser)
        page = context.new_page()
        page.goto(app.url)
        page.get_by_role("button", name="go").click(timeout=_PATIENCE)
        expect(page.get_by_text(re.compile("^tick [1-4]$"))).to_be_visible()
        app.cut()
        expect(page.get_by_text("tick 6", exact=True)).to_be_visible(timeout=_PATIENCE)
        context.close()


_COMMON = re.compile(r"/(base|core-\d)\.js$")
_LATER = {
    "bqplot": (
        "import bqplot, numpy\nscale = bqplot.LinearScale\n"
        "show(bqplot.Figure(marks=[bqplot.Lines(x=numpy.arange(9.), y=numpy.arange(9.) ** 2,"
        " scales={'x': scale(), 'y': scale()})]))",
        ".bqplot .lines path, .bqplot path.line",
    ),
    "ipyvuetify": ("import ipyvuetify as v\nshow(v.Chip(children=['a chip']))", ".v-chip"),
    "ipyleaflet": ("import ipyleaflet\nshow(ipyleaflet.Map(layers=[]))", ".leaflet-container"),
    "plotly": (
        "import numpy\nimport plotly.graph_objects as go\nshow(go.FigureWidget(go.Scatter(y=numpy.arange(9.))))",
        ".js-line",
    ),
    "ipytree": ("import ipytree\nshow(ipytree.Tree(nodes=[ipytree.Node('a leaf')]))", ".jstree"),
    "figure.show()": (
        "import plotly.graph_objects as go\nwith place_for_output:\n"
        "    go.Figure(go.Scatter(y=[1, 2, 4])).show('plotly_mimetype')",
        ".js-line",
    ),
}


@pytest.mark.parametrize("library", _LATER)
@pytest.mark.parametrize("ahead", [1], ids=["forked"])
def test_a_library_that_the_page_did_not_have_comes_with_its_first_widget(
    browser: Browser, tmp_path: Path, library: str, ahead: int
) -> None:
    code, selector = _LATER[library]
    made = "\n".join(f"    {line}" for line in code.split("\n"))
    cell = (
        "import ipywidgets as w\nbox, place_for_output = w.VBox(), w.Output()\nbutton = w.Button(description='make')\n"
        f"def show(widget):\n    box.children = [widget]\ndef make(_):\n{made}\nbutton.on_click(make)\n"
        "w.VBox([button, box, place_for_output])"
    )
    with (
        alone(notebook(cell), folder=tmp_path, ahead=ahead) as app,
        shown(app, app.visitor(browser)) as (page, traffic),
    ):
        button = page.get_by_role("button", name="make")
        expect(button).to_be_visible(timeout=_PATIENCE)
        assert not [path for path in below(traffic.asked) if "bundles" in path and not _COMMON.search(path)]
        button.click()
        expect(page.locator(selector).first).to_be_visible(timeout=_PATIENCE)


@pytest.mark.parametrize("ahead", [0, 1], ids=["own kernel", "forked"])
def test_bytes_travel_both_ways(browser: Browser, tmp_path: Path, ahead: int) -> None:
    cells = (
        "%matplotlib widget\nimport matplotlib.pyplot as plt\nplt.plot([1, 2, 4]); plt.gcf().canvas",
        "import ipywidgets as w\nupload, size = w.FileUpload(), w.Label('nothing')\n"
        "upload.observe(lambda e: setattr(size, 'value', f'{len(e.new[0].content)} bytes'), 'value')\n"
        "w.VBox([upload, size])",
        "import bqplot, numpy\nscale = bqplot.LinearScale\nbqplot.Figure(marks=[bqplot.Lines(x=numpy.arange(9.),"
        " y=numpy.arange(9.), scales={'x': scale(), 'y': scale()})])",
    )
    with alone(notebook(*cells), folder=tmp_path, ahead=ahead) as app, shown(app, app.visitor(browser)) as (page, _):
        expect(page.locator(".jupyter-matplotlib-figure canvas").first).to_be_visible(timeout=_PATIENCE)
        expect(page.locator(".bqplot").first).to_be_visible()
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Upload").click()
        chooser.value.set_files({"name": "a.bin", "mimeType": "application/octet-stream", "buffer": bytes(5000)})
        expect(page.get_by_text("5000 bytes")).to_be_visible()


def test_formulas_are_set_where_there_are_any(browser: Browser, tmp_path: Path) -> None:
    formulas = (markdown("The area is $\\pi r^2$."), "import ipywidgets as w\nw.HTMLMath('and $x^2$')")
    with alone(notebook(*formulas), folder=tmp_path) as app, shown(app, app.visitor(browser)) as (page, _):
        expect(page.locator("mjx-container")).to_have_count(2, timeout=_PATIENCE)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_colours_are_loaded_as_they_are_wanted(browser: Browser, tmp_path: Path, *, dark: bool) -> None:
    with alone(notebook("1 + 1"), folder=tmp_path) as app:
        context = app.visitor(browser, color_scheme="dark" if dark else "light")
        with shown(app, context) as (page, traffic):
            expect(page.locator(".jp-OutputArea-output").first).to_be_visible(timeout=_PATIENCE)
            assert any("theme-dark" in path for path in traffic.asked) == dark
            page.get_by_role("button", name="Dark colours").click()
            colour = "getComputedStyle(document.body).getPropertyValue('--jp-layout-color1').trim()"
            page.wait_for_function(
                f"['#fff', 'white', '#ffffff'].includes({colour}.toLowerCase()) === {str(dark).lower()}"
            )
