"""The explorer as a vois app: a title bar with tabs, a side panel with settings, pages and a footer."""

from __future__ import annotations

import ipywidgets as w
from IPython.display import display
from look import BAR, LOGO, block
from model import BASELINES, load
from pages import Carbon, Data, Overview, Page, Settings, Temperature, Weather
from vois.vuetify import app, selectSingle

PAGES = {"Overview": Overview, "CO₂": Carbon, "Temperature": Temperature, "Weather": Weather, "Data": Data}
TEXTS = {
    "Sources": (
        "CO₂: Scripps CO₂ Program, UC San Diego (CC BY 4.0).<br>"
        "Temperature: NASA Goddard Institute for Space Studies, GISTEMP (U.S. Government work).<br>"
        "Weather: NOAA Climate Data Online (U.S. Government work).<br>"
        "All three as published in vega-datasets."
    ),
    "Method": (
        "Temperatures are shifted so that their mean over the chosen baseline is zero.<br>"
        "Growth of CO₂ is the difference of yearly means of the seasonally adjusted curve.<br>"
        "The breath of the Earth is the measured curve minus the adjusted one."
    ),
}
SMOOTHING = {"5 years": 5, "10 years": 10, "20 years": 20}


class ClimateExplorer:
    """The whole app; ``show`` displays it."""

    def __init__(self) -> None:
        self.records, self.settings = load(), Settings()
        self.pages: dict[str, Page] = {}
        self.stage = block("stage")
        self._make_settings()
        self.app = app.app(
            title="Climate explorer",
            titlewidth="220px",
            titlecredits="",
            backcolor=BAR,
            dark=True,
            titleheight=64,
            titletabs=list(PAGES),
            titletabsdark=True,
            titletabscolor="#ffffff",
            logourl=LOGO,
            logomaxwidth=44,
            logomaxheight=40,
            footercolor=BAR,
            footerdark=True,
            footertext="Data: Scripps CO₂ Program (CC BY 4.0), NASA GISS, NOAA",
            footercopyright=False,
            footerbuttons=list(TEXTS),
            sidepaneltitle="Settings",
            sidepanelwidth=360,
            sidepaneldark=True,
            sidepanelcontent=[self.panel],
            onclicktab=self.go,
            onclickfooter=self.tell,
        )
        self.app.panel.nav.hide_overlay = True  # on a phone the overlay would lie above the panel
        self.app.appbar.class_ += " climate-bar"
        self.app.outcontent.add_class("climate-content")

    def _make_settings(self) -> None:
        self.baseline = selectSingle.selectSingle(
            "Baseline",
            list(BASELINES),
            selection=self.settings.baseline,
            width=320,
            onchange=self._changed,
            clearable=False,
            color="var(--accent)",
        )
        self.smoothing = selectSingle.selectSingle(
            "Running mean",
            list(SMOOTHING),
            selection="10 years",
            width=320,
            onchange=self._changed,
            clearable=False,
            color="var(--accent)",
        )
        words = w.HTML(
            "<p>What counts as normal? The baseline sets the zero line of every temperature in this app.</p>"
        )
        self.panel = block("drawer", words, self.baseline.draw(), self.smoothing.draw())

    def _changed(self) -> None:
        self.settings.baseline, self.settings.years = self.baseline.value, SMOOTHING[self.smoothing.value]
        for page in self.pages.values():
            page.refresh()

    def go(self, where: str) -> None:
        """Open a page by its name, or the side panel with the settings."""
        if where == "settings":
            self.app.panel.show()
            return
        if where not in self.pages:
            self.pages[where] = PAGES[where](self.records, self.settings, self.go)
        self.stage.children = [self.pages[where].body]
        self.app.setActiveTab(list(PAGES).index(where))

    def tell(self, topic: str) -> None:
        """Show one of the texts behind the footer's buttons."""
        self.app.dialogMessage(title=topic, text=TEXTS[topic], width="560px", dark=True, titleheight=52)

    def show(self) -> None:
        """Put the app on the page, with its first page open."""
        self.go("Overview")
        with self.app.outcontent:
            display(self.stage)
        self.app.show()
