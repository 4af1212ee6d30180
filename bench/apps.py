"""The apps that are measured, each as a notebook and as the same app written for Panel.

"plots": a heading, a card of ipyvuetify with a label, a slider whose callback changes the label, and a plotly figure
over a pandas table. "table" makes a table of 200 MB as well, of which the label shows a value. For Panel, the card, the
slider and the label are its own, and the table is in its cache, so that its sessions share it as its authors advise.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.notebooks import markdown, notebook

__all__ = ["LAST_ROW", "App", "kept", "plots", "simple", "table"]

#: Rows that the slider can name.
LAST_ROW = 299
_IMPORTS = (
    "import ipyvuetify as v\nimport ipywidgets as widgets\nimport pandas as pd\nimport plotly.graph_objects as go"
)
_FIGURE = (
    f"table = pd.DataFrame({{'x': range({LAST_ROW + 1})}})\ntable['y'] = (table.x / 10) ** 2\n"
    "figure = go.FigureWidget(go.Scatter(x=table.x, y=table.y))"
)
_SHOWN = (
    f"slider = widgets.IntSlider(value=0, min=0, max={LAST_ROW}, description='row')\n"
    "label = widgets.Label('row 0')\n\n"
    "def change(event):\n    label.value = say(event.new)\n\n"
    "slider.observe(change, 'value')\n"
    "card = v.Card(children=[v.CardTitle(children=['Measured']), v.CardText(children=[label])])\n"
    "widgets.VBox([card, slider, figure])"
)
_SIMPLE = (
    f"import ipywidgets as widgets\nslider, label = widgets.IntSlider(max={LAST_ROW}), widgets.Label('row 0')\n"
    "slider.observe(lambda event: setattr(label, 'value', f'row {event.new}'), 'value')\n"
    "widgets.VBox([slider, label])"
)
_SAY = "def say(row):\n    return f'row {row}'"
_SAY_BIG = "def say(row):\n    return f'row {row}: {big.iat[row, 0]:.6f}'"
_PANEL = """
import pandas as pd
import panel as pn
import plotly.graph_objects as go

pn.extension("plotly")
table = pd.DataFrame({{"x": range({rows})}})
table["y"] = (table.x / 10) ** 2
figure = go.Figure(go.Scatter(x=table.x, y=table.y))
{big}
{say}

slider = pn.widgets.IntSlider(name="row", value=0, start=0, end={rows} - 1)
label = pn.widgets.StaticText(value="row 0")
slider.param.watch(lambda event: setattr(label, "value", say(event.new)), "value")
pn.Column("# Measured", pn.Card(label, title="Measured"), slider, pn.pane.Plotly(figure)).servable()
"""


@dataclass(frozen=True)
class App:
    """One app, for Jupyter and for Panel."""

    name: str
    notebook: bytes
    panel: str


def plots() -> App:
    """Return the app without much data."""
    document = notebook(markdown("# Measured"), _IMPORTS, _FIGURE, _SAY, _SHOWN)
    return App("plots", document, _PANEL.format(rows=LAST_ROW + 1, big="", say=_SAY))


def simple() -> App:
    """Return the slider and the label alone."""
    return App("simple", notebook(_SIMPLE), "")


def kept() -> App:
    """Return the same with a thread, so that it is kept ready instead of forked."""
    thread = "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()"
    return App("kept", notebook(thread, _SIMPLE), "")


def table(*, megabytes: int = 200) -> App:
    """Return the app with a table of so many megabytes."""
    made = f"pd.DataFrame(np.random.default_rng(1).random(({megabytes * 1_000_000 // 8 // 25}, 25)))"
    big = f"import numpy as np\nbig = {made}"
    load = f"import numpy as np\n@pn.cache\ndef load():\n    return {made}"
    document = notebook(markdown("# Measured"), _IMPORTS, _FIGURE, big, _SAY_BIG, _SHOWN)
    return App("table", document, _PANEL.format(rows=LAST_ROW + 1, big=f"{load}\nbig = load()", say=_SAY_BIG))
