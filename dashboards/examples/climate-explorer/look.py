"""The look of the app: vois' own settings, the style sheet, and the pieces that every page is made of.

Import this before anything else of vois: its modules read their settings once, when they are imported.
"""

from __future__ import annotations

import base64
from pathlib import Path

import ipyvuetify as v
import ipywidgets as w
import plotly.graph_objects as go
import plotly.io as pio
from vois.vuetify import settings

HERE = Path(__file__).parent
BAR = "#0d3b52"
WARM, COLD, LEAF, SUN = "#e0533d", "#3b8fd1", "#2aa37f", "#e9a23b"

settings.dark_mode = False  # the page's theme decides, see style.css
settings.color_first = BAR
settings.color_second = "#2b7fa3"
settings.button_rounded = True

# vois shows plotly's charts in whatever way plotly prefers; this way needs no second copy of plotly in the page.
pio.renderers.default = "plotly_mimetype"

_DRAWING = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64"><g fill="none" stroke="#fff" stroke-width="4">
<circle cx="32" cy="32" r="26"/><path d="M6 32h52M32 6c17 16 17 36 0 52M32 6c-17 16-17 36 0 52"/></g>
<circle cx="32" cy="32" r="7" fill="#ffd166"/></svg>"""
#: A logo of our own as part of the page; vois' default one would be fetched from another site.
LOGO = "data:image/svg+xml;base64," + base64.b64encode(_DRAWING.encode()).decode()


def style() -> w.HTML:
    """The app's style sheet, as something that can be displayed."""
    return w.HTML(f"<style>{(HERE / 'style.css').read_text(encoding='utf-8')}</style>", layout=w.Layout(display="none"))


def figure(height: int, *, left: int = 48) -> go.FigureWidget:
    """An empty chart that fits its box, lets fingers scroll past and leaves its colours to the page."""
    layout = go.Layout(
        template="none",
        height=height,
        autosize=True,
        dragmode=False,
        showlegend=False,
        hovermode="x unified",
        bargap=0.12,
        margin={"l": left, "r": 8, "t": 10, "b": 34},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"size": 13, "color": "#7b8798"},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )
    chart = go.FigureWidget(layout=layout)
    chart.update_xaxes(fixedrange=True, zeroline=False, gridcolor="rgba(128,140,160,.25)")
    chart.update_yaxes(fixedrange=True, zeroline=False, gridcolor="rgba(128,140,160,.25)")
    chart._config = {"displayModeBar": False, "responsive": True}
    return chart


def block(name: str, *children: object) -> v.Html:
    """A box of the page with a class of the style sheet."""
    return v.Html(tag="div", class_=name, children=list(children))


def heading(title: str, lead: str) -> v.Html:
    """A page's title and the sentence below it."""
    return block("head", v.Html(tag="h1", children=[title]), v.Html(tag="p", class_="lead", children=[lead]))


def panel(title: str, lead: str, *children: object) -> w.VBox:
    """A titled card with a chart or something else in it."""
    text = w.HTML(f"<h2>{title}</h2><p>{lead}</p>")
    return w.VBox([w.VBox([text, *children]).add_class("panel")]).add_class("ex")
