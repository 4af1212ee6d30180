"""The tables on the screen: which one, a chart of its columns, its first rows, and what each column holds."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import ipywidgets as w
import pandas as pd
import plotly.graph_objects as go
from model import NUMBER, Rest, Table, facts, kind_of, read, shown, summary

HERE = Path(__file__).parent
COLORS = ("#0b7a75", "#e07a1f", "#8a4fbf", "#2f6fd0", "#c2385a", "#7a8b1f", "#5a6b7d", "#b0892e", "#1f9bb0", "#a35e3c")
DRAWN = {"Points": "markers", "Lines": "lines", "Bars": ""}
ROWS = 50
BASKET = (
    "M3.5 9.5h17l-1.8 9.2a1.5 1.5 0 0 1-1.5 1.3H6.8a1.5 1.5 0 0 1-1.5-1.3zM8.5 9.5 11 4M15.5 9.5 13 4"
    "M9.5 13v3.5M14.5 13v3.5"
)
EMPTY = f"""<div><svg viewBox="0 0 24 24" aria-hidden="true"><path d="{BASKET}"/></svg>
<h2>Bring some tables</h2>
<p>This app looks at what you hand it, and you came without a basket.</p>
<ol><li>Find data in Discover and put it into your basket.</li>
<li>There, or on the basket’s page, choose “Open in an app…”.</li>
<li>Choose this one and say yes.</li></ol></div>"""
CREDIT = "<p>Data: what you handed over, and of it nothing is kept. CSV, TSV, Parquet, Feather, Excel and JSON.</p>"


def style() -> w.HTML:
    """The app's style sheet, as something that can be displayed."""
    return w.HTML(f"<style>{(HERE / 'style.css').read_text(encoding='utf-8')}</style>", layout=w.Layout(display="none"))


def figure() -> go.FigureWidget:
    """An empty chart that fits its box, lets fingers scroll past and leaves its colours to the page."""
    layout = go.Layout(
        template="none",
        height=430,
        autosize=True,
        dragmode=False,
        margin={"l": 62, "r": 10, "t": 8, "b": 48},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"size": 13, "color": "#7b8798"},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )
    chart = go.FigureWidget(layout=layout)
    chart.update_xaxes(fixedrange=True, zeroline=False, gridcolor="rgba(128,140,160,.25)", automargin=True)
    chart.update_yaxes(fixedrange=True, zeroline=False, gridcolor="rgba(128,140,160,.25)", automargin=True)
    chart._config = {"displayModeBar": False, "responsive": True}
    return chart


def named(caption: str, control: w.Widget) -> w.VBox:
    """A control with its caption above it."""
    return w.VBox([w.HTML(caption), control]).add_class("field")


def panel(title: str, lead: str, *children: w.Widget) -> w.VBox:
    """A titled card."""
    return w.VBox([w.HTML(f"<h2>{title}</h2><p>{lead}</p>"), *children]).add_class("panel")


class Tables:
    """All of the app; ``show`` is what a notebook displays."""

    def __init__(self, basket: Any) -> None:
        self.tables, self.rest = read(basket)
        self.which = w.Dropdown(options=[(table.title, number) for number, table in enumerate(self.tables)])
        self.x, self.y, self.colour = w.Dropdown(), w.Dropdown(), w.Dropdown()
        self.drawn = w.Dropdown(options=list(DRAWN))
        self.chart, self.numbers, self.rows, self.columns = figure(), w.HTML(), w.HTML(), w.HTML()
        self._filling = False
        self.which.observe(self._choose, "value")
        for control in (self.x, self.y, self.colour, self.drawn):
            control.observe(self._changed, "value")
        if self.tables:
            self._choose(None)

    @property
    def table(self) -> Table:
        """The table that is looked at."""
        return self.tables[self.which.value or 0]

    def show(self) -> w.Widget:
        """Everything, or how to come by something."""
        if not self.tables:
            parts = [w.HTML(EMPTY).add_class("panel").add_class("empty")] if not self.rest else []
            return w.VBox([*parts, *self._others()]).add_class("ex")
        many = [panel("Which table?", "", named("In your basket", self.which))] if len(self.tables) > 1 else []
        axes = [
            named("Across", self.x),
            named("Up", self.y),
            named("Colour", self.colour),
            named("Drawn as", self.drawn),
        ]
        chart = panel("A chart", "Choose what to compare.", w.Box(axes).add_class("axes"), self.chart)
        columns = panel("The columns", "What each of them holds.", self.columns.add_class("columns"))
        top = w.Box([chart, columns]).add_class("grid").add_class("wide-left")
        rows = panel("The first rows", f"As they are in the file, {ROWS} at most.", self.rows)
        grid = w.VBox([*many, self.numbers, top, rows, *self._others()]).add_class("grid")
        return w.VBox([grid, w.HTML(CREDIT).add_class("credit")]).add_class("ex")

    def _others(self) -> list[w.Widget]:
        if not self.rest:
            return []
        return [panel("Not shown", "What lies in the basket as well.", w.HTML(rest(self.rest)))]

    def _choose(self, _change: object) -> None:
        table, (across, up, colour) = self.table, self.table.first
        columns = list(table.frame.columns)
        self._filling = True  # each of these would draw once
        self.x.options, self.x.value = columns, across or None
        self.y.options = table.numbers or columns
        self.y.value = up if up in self.y.options else None
        self.colour.options, self.colour.value = [("One colour", ""), *((name, name) for name in table.groups)], colour
        self.drawn.value = "Lines" if across and kind_of(table.frame[across]) == "time" else "Points"
        self._filling = False
        cells = "".join(
            f'<div class="stat"><b>{number}</b><span>{words}</span></div>' for number, words in facts(table)
        )
        name = f'<h2 class="name">{html.escape(table.title)}</h2>' if len(self.tables) == 1 else ""
        self.numbers.value = f'{name}<div class="stats">{cells}</div>'
        self.rows.value, self.columns.value = written(table.frame.head(ROWS)), written(summary(table))
        self.draw()

    def _changed(self, _change: object) -> None:
        if not self._filling:
            self.draw()

    def draw(self) -> None:
        """Draw the chosen columns."""
        x, y, colour = self.x.value, self.y.value, self.colour.value
        if not x or not y:
            return
        frame = self.table.drawn
        parts = list(frame.groupby(colour, observed=True)) if colour else [("", frame)]
        with self.chart.batch_update():
            self.chart.data = ()
            for number, (name, part) in enumerate(parts):
                self.chart.add_trace(self._trace(part, x, y, str(name), COLORS[number % len(COLORS)]))
            self.chart.update_layout(showlegend=bool(colour), margin={"t": 44 if colour else 8})
            self.chart.update_xaxes(title_text=x, type=None)
            self.chart.update_yaxes(title_text=y)

    def _trace(self, part: pd.DataFrame, x: str, y: str, name: str, colour: str) -> Any:
        if self.drawn.value == "Bars":
            groups = part.groupby(x, observed=True)[y]
            means = groups.mean() if kind_of(part[y]) == NUMBER else groups.count()
            return go.Bar(x=means.index, y=means.to_numpy(), name=name, marker={"color": colour})
        part = part.sort_values(x) if self.drawn.value == "Lines" else part
        marker = {"color": colour, "size": 8, "opacity": 0.75}
        mode = DRAWN[self.drawn.value]
        return go.Scatter(x=part[x], y=part[y], mode=mode, name=name, marker=marker, line={"color": colour, "width": 2})


def written(frame: pd.DataFrame) -> str:
    """Write a table; all that is in it is text, whatever it looks like."""
    numbers = [kind_of(frame[name]) == NUMBER for name in frame.columns]
    kinds = [' class="number"' if number else "" for number in numbers]
    head = "".join(
        f"<th scope='col'{kind}>{html.escape(name)}</th>" for name, kind in zip(frame.columns, kinds, strict=True)
    )
    rows = "".join(
        "<tr>" + "".join(f"<td{kind}>{cell(value)}</td>" for value, kind in zip(row, kinds, strict=True)) + "</tr>"
        for row in frame.itertuples(index=False, name=None)
    )
    return f"<div class='scroll' tabindex='0'><table><thead><tr>{head}</tr></thead>{rows}</table></div>"


def cell(value: Any) -> str:
    """Write what is in a cell."""
    text = shown(value)
    return html.escape(text[:200]) if text else "<span class='none'>–</span>"


def rest(others: list[Rest]) -> str:
    """Write what is no table, and why."""
    items = "".join(f"<li>{html.escape(one.title)}<span>{html.escape(one.why)}</span></li>" for one in others)
    return f"<ul class='rest'>{items}</ul>"
