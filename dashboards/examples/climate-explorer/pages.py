"""The five pages of the explorer; each is built when it is first opened and follows the settings from then on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import ipyvuetify as v
import ipywidgets as w
from look import COLD, LEAF, SUN, WARM, block, figure, heading, panel
from model import BASELINES, CITIES, MONTHS, Records, breath, growth, kinds, monthly, per_decade, rebase, smooth, tables
from vois.vuetify import card, datatable, selectSingle

STRIPES = [
    [0, "#08306b"],
    [0.2, "#2f7ebc"],
    [0.4, "#a9cfe8"],
    [0.5, "#e8e4df"],
    [0.62, "#fcb499"],
    [0.8, "#e5412f"],
    [1, "#67000d"],
]


@dataclass
class Settings:
    """What the side panel sets for all pages."""

    baseline: str = next(iter(BASELINES))
    years: int = 10


class Page:
    """A page: ``body`` is what is shown, ``refresh`` brings it in line with the settings."""

    def __init__(self, records: Records, settings: Settings, go: Callable[[str], None]) -> None:
        self.records, self.settings, self.go = records, settings, go
        self.body = block("page", *self.build())
        self.refresh()

    def build(self) -> list[object]:
        """Make the page's widgets."""
        raise NotImplementedError

    def refresh(self) -> None:
        """Follow the settings; nothing to do for a page that has none."""

    @property
    def degrees(self) -> list[float]:
        """The temperatures against the chosen baseline."""
        return rebase(self.records.temperature, BASELINES[self.settings.baseline])


class Overview(Page):
    """The climate at a glance; each card leads to its page."""

    def build(self) -> list[object]:
        """Cards, stripes and the CO₂ curve."""
        co2, temperature = self.records.co2["measured"], self.records.temperature
        rise = per_decade(temperature, 1980)
        rain = monthly(self.records.weather, "Seattle")["rain"].sum()
        facts = (
            (f"{co2.iloc[-1]:.0f} ppm", f"CO₂ in {co2.index[-1]:%B %Y}; it was {co2.iloc[0]:.0f} in 1958", "CO₂"),
            (
                f"{temperature.iloc[-1]:+.2f} °C",
                f"Global mean in {temperature.index[-1]}, against 1951–1980",
                "Temperature",
            ),
            (f"{rise:+.2f} °C", "A decade: the trend since 1980", "Temperature"),
            (f"{rain:,.0f} mm", "Rain in Seattle in a usual year", "Weather"),
        )
        cards = [
            card.card(
                title=title,
                subtitle=words,
                width="100%",
                color="var(--card)",
                textcolor="inherit",
                elevation=0,
                on_click=self.go,
                argument=where,
            )
            for title, words, where in facts
        ]
        self.stripes, self.curve = figure(190, left=8), figure(230)
        self.stripes.add_bar(
            x=temperature.index, y=[1] * len(temperature), hovertemplate="%{customdata:+.2f} °C<extra></extra>"
        )
        self.stripes.update_layout(bargap=0, margin={"b": 28, "r": 8, "t": 4})
        self.stripes.update_yaxes(visible=False, range=[0, 1])
        self.stripes.update_xaxes(showgrid=False)
        self.curve.add_scatter(
            x=co2.index,
            y=co2,
            mode="lines",
            line={"color": LEAF, "width": 2},
            hovertemplate="%{y:.1f} ppm<extra></extra>",
        )
        self.curve.update_yaxes(title_text="ppm")
        return [
            heading(
                "The climate in three records",
                "Carbon dioxide over Hawaii, the temperature of the Earth, the weather of two cities. "
                "Choose a card to look closer.",
            ),
            block("cards", *cards),
            panel(
                "Every year a stripe",
                "Blue years were colder than the baseline, red ones warmer (1880–2023).",
                self.stripes,
            ),
            panel("The air since 1958", "Carbon dioxide at Mauna Loa, in molecules per million.", self.curve),
        ]

    def refresh(self) -> None:
        """Colour the stripes."""
        values = self.degrees
        marker = {"color": values, "colorscale": STRIPES, "cmin": -1.1, "cmax": 1.1, "line": {"width": 0}}
        self.stripes.data[0].update(marker=marker, customdata=values)


class Carbon(Page):
    """Carbon dioxide: the curve, its growth and its breath."""

    def build(self) -> list[object]:
        """The Keeling curve with a choice of view, and the yearly cycle."""
        self.view = selectSingle.selectSingle(
            "Show",
            ["Measured", "Without seasons", "Growth each year"],
            selection="Measured",
            width=260,
            onchange=self.refresh,
            clearable=False,
            color="var(--accent)",
        )
        self.decade = selectSingle.selectSingle(
            "Decade",
            [f"{year}s" for year in range(1960, 2020, 10)],
            selection="2010s",
            width=200,
            onchange=self.refresh,
            clearable=False,
            color="var(--accent)",
        )
        self.chart, self.cycle = figure(340), figure(260)
        self.chart.add_scatter(
            mode="lines", line={"color": LEAF, "width": 2}, hovertemplate="%{y:.1f} ppm<extra></extra>"
        )
        self.chart.add_bar(marker={"color": LEAF}, hovertemplate="%{y:+.2f} ppm<extra></extra>", visible=False)
        self.cycle.add_scatter(
            x=MONTHS,
            mode="lines+markers",
            line={"color": LEAF, "width": 3, "shape": "spline"},
            name="chosen",
            hovertemplate="%{y:+.2f} ppm<extra></extra>",
        )
        self.cycle.add_scatter(
            x=MONTHS,
            y=breath(self.records.co2, 1960),
            mode="lines",
            line={"color": "#94a3b8", "dash": "dot"},
            hovertemplate="1960s: %{y:+.2f} ppm<extra></extra>",
        )
        self.cycle.update_yaxes(title_text="ppm from the mean")
        self.cycle.update_xaxes(tickangle=0, tickfont={"size": 11})
        return [
            heading(
                "Carbon dioxide",
                "Charles David Keeling began to measure on Mauna Loa in 1958. "
                "The curve has risen ever since, and ever faster.",
            ),
            panel("The Keeling curve", "Parts per million.", block("chooser", self.view.draw()), self.chart),
            panel(
                "The Earth breathes",
                "Plants take up carbon dioxide in the northern summer and give it back in winter. Dotted: the 1960s.",
                block("chooser", self.decade.draw()),
                self.cycle,
            ),
        ]

    def refresh(self) -> None:
        """Show the chosen view and decade."""
        co2, bars = self.records.co2, self.view.value == "Growth each year"
        with self.chart.batch_update():
            line, columns = self.chart.data
            line.visible, columns.visible = not bars, bars
            if bars:
                rise = growth(co2)
                columns.update(x=rise.index, y=rise)
            else:
                line.update(x=co2.index, y=co2["measured" if self.view.value == "Measured" else "adjusted"])
            self.chart.update_yaxes(title_text="ppm more than the year before" if bars else "ppm")
        self.cycle.data[0].y = breath(co2, int(self.decade.value[:4]))


class Temperature(Page):
    """The temperature of the Earth, year by year."""

    def build(self) -> list[object]:
        """Bars, their running mean, and the way to the settings."""
        self.chart, self.note = figure(380), w.HTML()
        self.chart.add_bar(hovertemplate="%{y:+.2f} °C<extra></extra>")
        self.chart.add_scatter(
            mode="lines", line={"color": SUN, "width": 4}, hovertemplate="running mean %{y:+.2f} °C<extra></extra>"
        )
        self.chart.update_yaxes(title_text="°C", zeroline=True, zerolinecolor="#94a3b8")
        change = v.Btn(
            color="var(--accent)",
            outlined=True,
            rounded=True,
            children=[v.Icon(left=True, children=["mdi-tune"]), "Change baseline or mean"],
        )
        change.on_event("click", lambda *_event: self.go("settings"))
        return [
            heading(
                "The temperature of the Earth",
                "Land and sea together, as departures from a baseline: the mean of thirty years.",
            ),
            panel(
                "Warmer and colder years",
                "Bars: each year. Line: the running mean.",
                self.chart,
                self.note,
                block("chooser", change),
            ),
        ]

    def refresh(self) -> None:
        """Move the zero line and smooth again."""
        values, settings = self.degrees, self.settings
        with self.chart.batch_update():
            self.chart.data[0].update(
                x=values.index, y=values, marker={"color": [WARM if value > 0 else COLD for value in values]}
            )
            self.chart.data[1].update(x=values.index, y=smooth(values, settings.years))
        hot = values.nlargest(3)
        warm = ", ".join(f"{year} ({value:+.2f} °C)" for year, value in hot.items())
        self.note.value = (
            f"<p>Baseline {settings.baseline}, running mean over {settings.years} years. The warmest years: {warm}.</p>"
        )


class Weather(Page):
    """A usual year in one of two cities."""

    def build(self) -> list[object]:
        """The year's temperatures and rain, and what the days are like."""
        self.city = selectSingle.selectSingle(
            "City",
            list(CITIES),
            selection=CITIES[0],
            width=240,
            onchange=self.refresh,
            clearable=False,
            color="var(--accent)",
        )
        self.year, self.rain, self.days = figure(300), figure(280), figure(280, left=64)
        line = {"shape": "spline", "width": 3}
        self.year.add_scatter(
            x=MONTHS, name="low", line={**line, "color": COLD}, hovertemplate="low %{y:.1f} °C<extra></extra>"
        )
        self.year.add_scatter(
            x=MONTHS,
            name="high",
            line={**line, "color": WARM},
            fill="tonexty",
            fillcolor="rgba(224,83,61,.14)",
            hovertemplate="high %{y:.1f} °C<extra></extra>",
        )
        self.year.update_yaxes(title_text="°C")
        for chart in (self.year, self.rain):
            chart.update_xaxes(tickangle=0, tickfont={"size": 11})
        self.rain.add_bar(x=MONTHS, marker={"color": COLD}, hovertemplate="%{y:.0f} mm<extra></extra>")
        self.rain.update_yaxes(title_text="mm")
        self.days.add_bar(orientation="h", marker={"color": SUN}, hovertemplate="%{x:.0f} days a year<extra></extra>")
        self.days.update_layout(hovermode="closest")
        return [
            heading(
                "The weather of two cities",
                "Four years of daily records, 2012–2015, from one coast of the United States to the other.",
            ),
            block("chooser", self.city.draw()),
            panel("A usual year", "Mean daily highs and lows of each month.", self.year),
            block(
                "two",
                panel("Rain", "A month, with melted snow.", self.rain),
                panel("What are the days like?", "Days a year.", self.days),
            ),
        ]

    def refresh(self) -> None:
        """Show the chosen city."""
        usual, sorts = (
            monthly(self.records.weather, self.city.value),
            kinds(self.records.weather, self.city.value).iloc[::-1],
        )
        with self.year.batch_update():
            self.year.data[0].y, self.year.data[1].y = usual["low"], usual["high"]
        self.rain.data[0].y = usual["rain"]
        self.days.data[0].update(x=sorts, y=sorts.index)


class Data(Page):
    """The records themselves, to read and to search."""

    def build(self) -> list[object]:
        """A choice of records, and the table."""
        self.known = tables(self.records)
        self.which = selectSingle.selectSingle(
            "Record",
            list(self.known),
            selection=next(iter(self.known)),
            width=280,
            onchange=self.refresh,
            clearable=False,
            color="var(--accent)",
        )
        self.place = block("table")
        return [
            heading("The data", "Newest first. Type into the search box to find a year or a day."),
            block("chooser", self.which.draw()),
            self.place,
        ]

    def refresh(self) -> None:
        """Show the chosen record."""
        table = self.known[self.which.value].head(400)
        grid = datatable.datatable(
            data=table, height="480px", searchshow=True, title=f"{len(table)} rows", color="var(--accent)"
        )
        # vois fixes the template; without this Vuetify would drop the column names on a phone.
        grid.template = grid.template.replace("<v-data-table", '<v-data-table :mobile-breakpoint="0"')
        self.place.children = [grid]
