"""The penguin dashboard on the screen: filters above, charts and tables that follow them below."""

from __future__ import annotations

from pathlib import Path

import ipywidgets as w
import pandas as pd
import plotly.graph_objects as go
from model import ISLANDS, MEASURES, SPECIES, YEARS, Choice, label, load, paradox, statistics, trend

HERE = Path(__file__).parent
COLORS = {"Adelie": "#f28a2e", "Chinstrap": "#b061d9", "Gentoo": "#17a398"}
CREDIT = (
    "<p>Data: Gorman KB, Williams TD, Fraser WR (2014), collected at Palmer Station, Antarctica LTER; published as "
    "<i>palmerpenguins</i> by Allison Horst, Alison Hill and Kristen Gorman. Public domain (CC0 1.0).</p>"
)


def style() -> w.HTML:
    """The app's style sheet, as something that can be displayed."""
    return w.HTML(f"<style>{(HERE / 'style.css').read_text(encoding='utf-8')}</style>", layout=w.Layout(display="none"))


def figure(height: int) -> go.FigureWidget:
    """An empty chart that fits its box, lets fingers scroll past and leaves its colours to the page."""
    layout = go.Layout(
        template="none",
        height=height,
        autosize=True,
        dragmode=False,
        showlegend=False,
        margin={"l": 58, "r": 10, "t": 8, "b": 46},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"size": 13, "color": "#7b8798"},
        hoverlabel={"font": {"size": 13}},
    )
    chart = go.FigureWidget(layout=layout)
    chart.update_xaxes(fixedrange=True, zeroline=False, gridcolor="rgba(128,140,160,.25)")
    chart.update_yaxes(fixedrange=True, zeroline=False, gridcolor="rgba(128,140,160,.25)")
    chart._config = {"displayModeBar": False, "responsive": True}
    return chart


def named(caption: str, control: w.Widget) -> w.VBox:
    """A control with its caption above it."""
    return w.VBox([w.HTML(caption), control]).add_class("field")


def panel(title: str, lead: str, *children: w.Widget) -> w.VBox:
    """A titled card."""
    return w.VBox([w.HTML(f"<h2>{title}</h2><p>{lead}</p>"), *children]).add_class("panel")


class Dashboard:
    """All of the dashboard; ``show`` is what a notebook displays."""

    def __init__(self) -> None:
        self.birds = load(HERE / "penguins.csv")
        self.picked: frozenset[int] = frozenset()
        self._make_controls()
        self.scatter, self.spread, self.places = figure(440), figure(255), figure(255)
        self.numbers, self.insight = w.HTML(), w.HTML()
        self.summary, self.table, self.told = w.HTML(), w.HTML(), w.HTML().add_class("unseen")
        self._make_scatter()
        self._make_companions()
        for control in (*self.species.values(), self.island, self.sex, self.year, self.x, self.y, self.lines):
            control.observe(self._changed, "value")
        self.drag.observe(self._drag_changed, "value")
        self.update()

    # -- what the visitor turns ---------------------------------------------------------------------------------

    def _make_controls(self) -> None:
        self.species = {name: w.ToggleButton(True, description=name).add_class(name.lower()) for name in SPECIES}
        self.island = w.Dropdown(options=[("All islands", ""), *((name, name) for name in ISLANDS)])
        self.sex = w.Dropdown(options=[("Both sexes", ""), ("Female", "female"), ("Male", "male")])
        self.year = w.Dropdown(options=[("All years", 0), *((str(year), year) for year in YEARS)])
        measures = [(words, column) for column, (words, _) in MEASURES.items()]
        self.x = w.Dropdown(options=measures, value="bill_length_mm")
        self.y = w.Dropdown(options=measures, value="bill_depth_mm")
        self.lines = w.Dropdown(options=[("One for each species", "each"), ("One for all", "all"), ("None", "")])
        self.drag = w.ToggleButton(False, description="Pick birds by dragging", tooltip="Drag a box over the points")
        for control in (self.island, self.sex, self.year):
            control.layout.width = "150px"

    @property
    def choice(self) -> Choice:
        """What the filters say now."""
        species = tuple(name for name, chip in self.species.items() if chip.value)
        return Choice(species, self.island.value, self.sex.value, self.year.value)

    def _changed(self, _change: object) -> None:
        self.picked = frozenset()
        self.update()

    def _drag_changed(self, _change: object) -> None:
        self.scatter.layout.dragmode = "select" if self.drag.value else False
        if not self.drag.value:
            self.scatter.layout.selections = ()
            self._changed(None)

    # -- the charts ---------------------------------------------------------------------------------------------

    def _make_scatter(self) -> None:
        with self.scatter.batch_update():
            for name in SPECIES:
                marker = {"color": COLORS[name], "size": 9, "opacity": 0.75, "line": {"width": 0.5, "color": "#ffffff"}}
                self.scatter.add_scatter(mode="markers", name=name, marker=marker)
            for name in (*SPECIES, "All birds"):
                color = COLORS.get(name, "#64748b")
                self.scatter.add_scatter(mode="lines", name=name, line={"color": color, "width": 3}, hoverinfo="skip")
        for trace in self.scatter.data[: len(SPECIES)]:
            trace.on_selection(self._selected)

    def _make_companions(self) -> None:
        for name in SPECIES:
            self.spread.add_violin(
                name=name,
                line={"color": COLORS[name]},
                points=False,
                box={"visible": True},
                meanline={"visible": True},
                hoveron="violins",
                spanmode="hard",
            )
            self.places.add_bar(
                name=name,
                orientation="h",
                y=ISLANDS,
                marker={"color": COLORS[name]},
                hovertemplate="%{x} birds on %{y}<extra>" + name + "</extra>",
            )
        self.places.update_layout(barmode="stack", bargap=0.35, margin={"l": 84})
        self.places.update_xaxes(title_text="Birds")

    def _selected(self, trace: go.Scatter, points: object, _selector: object) -> None:
        mine = {int(trace.customdata[index]) for index in points.point_inds}  # type: ignore[attr-defined]
        others = {row for row in self.picked if self.birds.at[row, "species"] != trace.name}
        self.picked = frozenset(mine | others)
        self._update_followers()

    # -- following ----------------------------------------------------------------------------------------------

    def update(self) -> None:
        """Bring everything on the screen in line with the filters."""
        self.shown = self.choice.of(self.birds)
        self._update_scatter()
        self._update_followers()

    def _update_scatter(self) -> None:
        x, y = self.x.value, self.y.value
        words = f"{MEASURES[x][0]} %{{x}} {MEASURES[x][1]}<br>{MEASURES[y][0]} %{{y}} {MEASURES[y][1]}"
        with self.scatter.batch_update():
            for name, points, line in zip(SPECIES, self.scatter.data[:3], self.scatter.data[3:6], strict=True):
                group = self.shown[self.shown["species"] == name]
                points.update(
                    x=group[x], y=group[y], customdata=group.index.to_numpy(), selectedpoints=None, hovertemplate=words
                )
                self._update_line(line, group, visible=self.lines.value == "each")
            self._update_line(self.scatter.data[6], self.shown, visible=self.lines.value == "all")
            self.scatter.update_xaxes(title_text=label(x))
            self.scatter.update_yaxes(title_text=label(y))
        self.insight.value = f'<div class="insight">{paradox(self.shown, x, y)}</div>'

    def _update_line(self, line: go.Scatter, birds: pd.DataFrame, *, visible: bool) -> None:
        fit = trend(birds[self.x.value], birds[self.y.value])
        line.visible = visible and fit is not None
        if fit is not None:
            ends = [float(birds[self.x.value].min()), float(birds[self.x.value].max())]
            line.update(x=ends, y=fit.at(ends))

    def _update_followers(self) -> None:
        birds = self.shown.loc[sorted(self.picked)] if self.picked else self.shown
        with self.spread.batch_update():
            for name, trace in zip(SPECIES, self.spread.data, strict=True):
                trace.y = birds.loc[birds["species"] == name, self.y.value]
            self.spread.update_yaxes(title_text=label(self.y.value))
        with self.places.batch_update():
            for name, trace in zip(SPECIES, self.places.data, strict=True):
                counts = birds.loc[birds["species"] == name, "island"].value_counts()
                trace.x = [int(counts.get(island, 0)) for island in ISLANDS]
        self.numbers.value = numbers(birds, of=len(self.birds), picked=bool(self.picked))
        self.summary.value = summary(birds)
        self.table.value = table(birds)
        self.told.value = f'<p role="status">The charts show {len(birds)} of {len(self.birds)} penguins.</p>'

    # -- on the page --------------------------------------------------------------------------------------------

    def filters(self) -> w.Box:
        """The row of filters and the four figures below it."""
        chips = w.HBox(list(self.species.values())).add_class("chips")
        fields = [
            named("Species", chips),
            named("Island", self.island),
            named("Sex", self.sex),
            named("Year", self.year),
        ]
        row = w.HBox(fields).add_class("filters").add_class("panel")
        return w.VBox([w.VBox([row, self.numbers]).add_class("grid"), self.told]).add_class("ex")

    def charts(self) -> w.Box:
        """The scatter plot, and the two charts that follow it."""
        axes = w.Box([named("Across", self.x), named("Up", self.y), named("Trend lines", self.lines)]).add_class("axes")
        main = panel(
            "How are two measurements related?", "Each dot is one bird.", axes, self.scatter, self.drag, self.insight
        )
        spread = panel("How do the species differ?", "The measurement that goes up, for the birds chosen.", self.spread)
        places = panel("Where do they live?", "Birds on each island.", self.places)
        right = w.VBox([spread, places]).add_class("stack")
        return w.VBox([w.Box([main, right]).add_class("grid").add_class("wide-left")]).add_class("ex")

    def tables(self) -> w.Box:
        """The statistics and the birds themselves."""
        left = panel("Every bird", "Heaviest first.", self.table)
        right = panel("Statistics", "Mean ± standard deviation.", self.summary)
        credit = w.HTML(CREDIT).add_class("credit")
        return w.VBox([w.Box([left, right]).add_class("grid").add_class("two"), credit]).add_class("ex")


def numbers(birds: pd.DataFrame, *, of: int, picked: bool) -> str:
    """The four figures under the filters."""
    what = "penguins picked" if picked else f"of {of} penguins"
    cells = [(str(len(birds)), what)]
    for column, digits in (("body_mass_g", 0), ("flipper_length_mm", 0), ("bill_length_mm", 1)):
        words, unit = MEASURES[column]
        value = f"{birds[column].mean():,.{digits}f} {unit}" if len(birds) else "–"
        cells.append((value, f"mean {words.lower()}"))
    return (
        '<div class="stats">'
        + "".join(f'<div class="stat"><b>{n}</b><span>{t}</span></div>' for n, t in cells)
        + "</div>"
    )


def dot(species: str) -> str:
    """A species' name behind a dot of its colour."""
    return f'<span class="dot" style="background:{COLORS[species]}"></span>{species}'


def summary(birds: pd.DataFrame) -> str:
    """Mean and spread by species as a table, a measurement a row."""
    known = statistics(birds)
    head = "".join(f"<th scope='col'>{dot(name)}</th>" for name in known.index)
    rows = ""
    for column in MEASURES:
        digits = 0 if column == "body_mass_g" else 1
        means, spreads = known[column, "mean"], known[column, "std"]
        cells = "".join(f"<td>{mean_and_spread(*pair, digits)}</td>" for pair in zip(means, spreads, strict=True))
        rows += f"<tr><td>{label(column)}</td>{cells}</tr>"
    return (
        f"<div class='scroll'><table><thead><tr><th scope='col'>Measurement</th>{head}</tr></thead>{rows}</table></div>"
    )


def mean_and_spread(mean: float, spread: float, digits: int) -> str:
    """Write both numbers; a single bird has no spread."""
    return f"{mean:,.{digits}f}" + ("" if pd.isna(spread) else f" ± {spread:,.{digits}f}")


def table(birds: pd.DataFrame, most: int = 60) -> str:
    """The heaviest birds as a table; more rows than anybody reads would only slow the page."""
    rows = ""
    for bird in birds.nlargest(most, "body_mass_g").itertuples():
        values = (
            bird.island,
            bird.sex,
            f"{bird.bill_length_mm:.1f}",
            f"{bird.bill_depth_mm:.1f}",
            f"{bird.flipper_length_mm:.0f}",
            f"{bird.body_mass_g:,.0f}",
            bird.year,
        )
        rows += f"<tr><td>{dot(bird.species)}</td>" + "".join(f"<td>{value}</td>" for value in values) + "</tr>"
    heads = ("Species", "Island", "Sex", "Bill mm", "Depth mm", "Flipper mm", "Mass g", "Year")
    head = "".join(f"<th scope='col'>{words}</th>" for words in heads)
    more = f"<p>The first {most} of {len(birds)}.</p>" if len(birds) > most else ""
    return f"<div class='scroll' tabindex='0'><table><thead><tr>{head}</tr></thead>{rows}</table></div>{more}"
