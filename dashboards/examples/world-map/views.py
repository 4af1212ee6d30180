"""The map on the screen: controls above, the world in the middle, what it says below."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

import ipywidgets as w
from ipyleaflet import GeoJSON, Map, projections
from model import FIRST, LAST, MEASURES, STEP, Measure, World

HERE = Path(__file__).parent
CREDIT = (
    "<p>Figures: Gapminder (gapminder.org), CC BY 4.0, as published with plotly. Borders: Natural Earth, public "
    "domain, as published in world-atlas. Income is in international dollars; Antarctica is not drawn.</p>"
)


def style() -> w.HTML:
    """The app's style sheet, as something that can be displayed."""
    return w.HTML(f"<style>{(HERE / 'style.css').read_text(encoding='utf-8')}</style>", layout=w.Layout(display="none"))


def borders(path: Path) -> dict[str, object]:
    """Read the countries and give each a class of its own, so that a style sheet can colour it."""
    shapes = json.loads(path.read_text(encoding="utf-8"))
    for shape in shapes["features"]:
        shape["properties"]["style"] = {"className": f"land c{shape.get('id', '')}"}
    return shapes


class WorldMap:
    """All of the app; ``show`` is what a notebook displays."""

    def __init__(self) -> None:
        self.world = World(HERE / "gapminder.csv")
        self.pinned, self.pointed, self.fitted = "", "", 0.0
        self._make_controls()
        self._make_map()
        self.colors, self.legend, self.about = w.HTML(layout=w.Layout(display="none")), w.HTML(), w.HTML()
        self.most, self.least = w.HTML(), w.HTML()
        self.measure.observe(self._changed, "value")
        self.year.observe(self._changed, "value")
        self._changed(None)

    def _make_controls(self) -> None:
        self.measure = w.Dropdown(options=[(measure.words, measure) for measure in MEASURES])
        self.year = w.IntSlider(LAST, FIRST, LAST, STEP, readout_format="d")
        play = w.Play(value=LAST, min=FIRST, max=LAST, step=STEP, interval=900, show_repeat=False)
        w.jslink((play, "value"), (self.year, "value"))
        self.controls = w.Box([self.measure, play, self.year]).add_class("controls").add_class("panel")

    def _make_map(self) -> None:
        # No tile layer: nothing is fetched from anywhere. Sea and land are painted by the style sheet.
        self.map = Map(
            layers=(),
            center=[16, 8],
            zoom=1.1,
            min_zoom=-1.5,
            max_zoom=6,
            zoom_snap=0.1,
            crs=projections.EPSG4326,
            attribution_control=False,
            world_copy_jump=False,
        )
        self.countries = GeoJSON(data=borders(HERE / "countries.geo.json"))
        self.countries.on_hover(self._point)
        self.countries.on_click(self._pin)
        self.map.add(self.countries)
        self.map.observe(self._fit, "pixel_bounds")

    def _fit(self, change: dict[str, tuple[tuple[float, float], ...]]) -> None:
        """Show the whole world when the map's width becomes known or changes; leave a visitor's own zoom alone."""
        (left, _), (right, _) = change["new"]
        width = right - left
        if 100 < width < 5000 and width != self.fitted:
            self.fitted = width
            self.map.zoom = math.floor(10 * math.log2(width / 512)) / 10

    def _point(self, **event: object) -> None:
        self.pointed = str(event["id"] or "")
        if not self.pinned:
            self._tell()

    def _pin(self, **event: object) -> None:
        country = str(event["id"] or "")
        self.pinned = "" if country == self.pinned or country not in self.world.names else country
        self._changed(None)

    def _changed(self, _change: object) -> None:
        measure = self.measure.value
        values = self.world.values(measure, self.year.value)
        self.colors.value = f"<style>{paint(measure, dict(values), self.pinned)}</style>"
        self.legend.value = legend(measure)
        self.most.value = ranking("Highest", self.world, measure, values.index[:6], dict(values))
        self.least.value = ranking("Lowest", self.world, measure, values.index[:-7:-1], dict(values))
        self._tell()

    def _tell(self) -> None:
        country = self.pinned or self.pointed
        measure, year = self.measure.value, self.year.value
        known = country in self.world.names
        mine = self.world.history(measure, country) if known else []
        whole = self.world.whole(measure)
        now = self.world.years.index(year)
        name = self.world.names[country] if known else "All countries"
        where = self.world.continents[country] if known else f"{len(self.world.names)} of them together"
        value = (mine or whole)[now]
        note = "Point at a country, or tap it to keep it."
        if known:
            place = list(self.world.values(measure, year).index).index(country) + 1
            note = f"Number {place} of {len(self.world.names)}. " + ("Tap it again to let go." if self.pinned else "")
        others = [] if measure.column == "people" and known else whole
        self.about.value = (
            f'<div role="status"><div class="who"><h2>{escape(name)}</h2><span>{where}</span></div>'
            f'<div class="big">{measure.text(value)} <small>in {year}</small></div><p>{note}</p></div>'
            f"{lines(mine or whole, others if known else [], now)}"
            f'<div class="ends"><span>{FIRST}</span><span>{"dashed: all countries" if known and others else ""}</span>'
            f"<span>{LAST}</span></div>"
        )

    def show(self) -> w.VBox:
        """Everything, in the order in which it is read."""
        chart = w.VBox([self.map, self.legend]).add_class("panel").add_class("map-panel")
        parts = [w.VBox([part]).add_class("panel") for part in (self.about, self.most, self.least)]
        lower = w.Box(parts).add_class("grid").add_class("lower")
        rows = w.VBox([self.controls, chart, lower]).add_class("grid")
        return w.VBox([self.colors, rows, w.HTML(CREDIT).add_class("credit")]).add_class("ex")


def paint(measure: Measure, values: dict[str, float], pinned: str) -> str:
    """Write the style sheet that colours the countries: 4 kB a year instead of sending the map again."""
    rules = [f".ex path.c{country}{{fill:{measure.color(value)}}}" for country, value in values.items()]
    if pinned:
        rules.append(f".ex path.c{pinned}{{stroke:var(--ink);stroke-width:2.5}}")
    return "".join(rules)


def legend(measure: Measure) -> str:
    """The colours and what they mean."""
    cells = "".join(f'<span style="border-color:{color}">{words}</span>' for color, words in measure.classes)
    note = f'<p class="note">{measure.scale}. Grey: no figures.</p>'
    return f'<div class="legend" aria-label="Colours of {measure.words}">{cells}</div>{note}'


def ranking(title: str, world: World, measure: Measure, countries: Sequence[str], values: dict[str, float]) -> str:
    """A few countries with a bar each."""
    top = max(values.values())
    rows = "".join(
        f"<li><span>{escape(world.names[country])}</span><b>{measure.text(values[country])}</b>"
        f'<i style="width:{max(1, 100 * values[country] / top):.0f}%;'
        f'background:{measure.color(values[country])}"></i></li>'
        for country in countries
    )
    return f'<h2>{title}</h2><ol class="bars">{rows}</ol>'


def lines(mine: Sequence[float], others: Sequence[float], now: int) -> str:
    """A small chart of the years as SVG: the chosen country, the others dashed, a dot at the current year."""
    low, high = min([*mine, *others]), max([*mine, *others])
    scale = 100 / ((high - low) or 1)
    step = 300 / (len(mine) - 1)

    def path(values: Sequence[float], kind: str) -> str:
        points = " ".join(f"{i * step:.1f},{105 - (value - low) * scale:.1f}" for i, value in enumerate(values))
        return f'<path class="{kind}" d="M{points}"/>' if values else ""

    y = 105 - (mine[now] - low) * scale
    dot = f'<path class="mine" style="stroke-width:11;stroke-linecap:round" d="M{now * step:.1f},{y:.1f}h.01"/>'
    return (
        f'<svg class="line" viewBox="0 0 300 110" preserveAspectRatio="none" role="img" '
        f'aria-label="From {mine[0]:,.0f} to {mine[-1]:,.0f}">{path(others, "")}{path(mine, "mine")}{dot}</svg>'
    )
