"""The libraries that apps use work in forks, or it is found that they do not."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.service.visiting import Visiting, serving

pytestmark = pytest.mark.app

#: How long a callback may take, in seconds: a fork that hangs takes forever.
PATIENCE = 40.0


@dataclass(frozen=True)
class Case:
    """What the notebook does before it is forked; what a callback does in each visit, with what has to come out."""

    cell: str
    callback: str
    wanted: Any


INSTANT = {
    "numpy": Case(
        # Multiplied by threads of OpenBLAS.
        """
import numpy as np
a = np.random.default_rng(1).random((600, 600))
b = a @ a
""",
        "result = [bool(np.allclose(a @ a, b)), round(float(np.linalg.svd(np.eye(300))[1].sum()))]",
        [True, 300],
    ),
    "pandas": Case(
        """
import pandas as pd
t = pd.DataFrame({"k": list("abab") * 999, "v": range(3996)})
t.to_csv("/tmp/t.csv")
text = pd.read_csv("/tmp/t.csv").k.astype("string")
""",
        "result = [int(t.groupby('k').v.sum()['a']), len(pd.read_csv('/tmp/t.csv')), int((text == 'b').sum())]",
        [3990006, 3996, 1998],
    ),
    "plotly": Case(
        """
import plotly.graph_objects as go, plotly.express as px
figure = go.Figure(go.Scatter(y=[1, 2, 3]))
live = go.FigureWidget(figure)
display(figure, live)
""",
        "live.data[0].y = [4, 5]; live.layout.title = 'x'; result = [list(live.data[0].y), len(px.bar(y=[1]).data)]",
        [[4, 5], 1],
    ),
    "bqplot": Case(
        """
import bqplot, numpy as np
scales = {"x": bqplot.LinearScale(), "y": bqplot.LinearScale()}
line = bqplot.Lines(x=np.arange(9), y=np.arange(9), scales=scales)
display(bqplot.Figure(marks=[line]))
""",
        "line.y = np.arange(9) * 2; result = int(line.y.sum())",
        72,
    ),
    "ipympl": Case(
        """
import ipympl, matplotlib
matplotlib.use("module://ipympl.backend_nbagg")
import matplotlib.pyplot as plt
figure, axes = plt.subplots()
(drawn,) = axes.plot([1, 2])
display(figure.canvas)
""",
        "drawn.set_ydata([3, 9]); figure.canvas.draw(); figure.savefig('/tmp/f.png')\n"
        "result = open('/tmp/f.png', 'rb').read(4).hex()",
        "89504e47",
    ),
    "ipyleaflet": Case(
        """
import ipyleaflet
map = ipyleaflet.Map(center=(1, 2))
map.add(ipyleaflet.GeoJSON(data={"type": "FeatureCollection", "features": []}))
display(map)
""",
        "map.add(ipyleaflet.Marker(location=(3, 4))); map.zoom = 7; result = [len(map.layers), map.zoom]",
        [3, 7],
    ),
    "ipyvuetify": Case(
        """
import ipyvuetify as v
button = v.Btn(children=["a"])
button.on_event("click", lambda *_: None)
display(button)
""",
        "button.children = ['b', v.Icon(children=['mdi-home'])]; result = len(button.children)",
        2,
    ),
    "vois": Case(
        """
from vois.vuetify import app, toggle
from vois.geo import Map
made, map, chosen = app.app(title="Waves"), Map.Map(), []
choice = toggle.toggle(0, ["a", "b"], onchange=chosen.append)
""",
        "choice.value = 1; map.zoom = 5; made.snackbar('said'); result = [choice.value, map.zoom]",
        [1, 5],
    ),
    "scikit-learn": Case(
        """
import numpy as np
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsClassifier
x = np.arange(4000.0).reshape(-1, 2)
y = x[:, 0] > 2000
model, means = LinearRegression().fit(x, x[:, 0]), KMeans(3, n_init=1).fit(x)
""",
        """
again = KMeans(4, n_init=1).fit(x)
forest = RandomForestClassifier(9, n_jobs=2).fit(x, y)
near = KNeighborsClassifier().fit(x, y).predict(x)
result = [len(set(again.labels_)), round(float(model.predict(x[:1])[0])), float(forest.score(x, y)) > 0.99]
result += [bool((near == y).mean() > 0.9), len(means.predict(x))]
""",
        [4, 0, True, True, 2000],
    ),
    "sqlite": Case(
        """
import sqlite3
base = sqlite3.connect(":memory:")
base.execute("create table t (a)")
base.execute("insert into t values (1)")
base.commit()
made = sqlite3.connect("/tmp/t.db")
made.execute("create table t as select 7 as a")
made.commit()
made.close()
read = sqlite3.connect("file:/tmp/t.db?mode=ro", uri=True)
read.execute("select * from t").fetchall()
""",
        """
base.execute("insert into t values (2)")
own = sqlite3.connect("/tmp/t.db")
own.execute("insert into t values (8)")
own.commit()
result = [each.execute("select sum(a) from t").fetchone()[0] for each in (base, own)]
""",
        [3, 15],
    ),
    "parquet read without threads": Case(
        """
import pandas as pd, pyarrow.parquet as pq
pd.DataFrame({"a": range(9999), "s": ["x"] * 9999}).to_parquet("/tmp/t.parquet")
t = pq.ParquetFile("/tmp/t.parquet").read(use_threads=False).to_pandas(use_threads=False)
""",
        """
result = [int(t.a.sum()), len(pd.read_parquet("/tmp/t.parquet"))]
""",
        [49985001, 9999],
    ),
    "polars from a visit's beginning on": Case(
        """
import vaas
@vaas.on_visit
def read(visitor):
    global pl, t
    import polars as pl
    t = pl.DataFrame({"k": list("abab") * 999, "v": range(3996)})
""",
        """
result = int(t.lazy().filter(pl.col("k") == "a").group_by("k").agg(pl.col("v").sum()).collect()["v"][0])
""",
        3990006,
    ),
}
PARQUET = """
import pandas as pd
pd.DataFrame({"a": range(9999), "s": ["x"] * 9999}).to_parquet("/tmp/t.parquet", row_group_size=1000)
t = pd.read_parquet("/tmp/t.parquet")
"""
INSTANT["Arrow's threads"] = Case(
    PARQUET,
    """
read = [pd.read_parquet("/tmp/t.parquet", filters=[("a", "<", 5000)]) for _ in range(9)]
result = [len(read[-1]), int(pd.read_parquet("/tmp/t.parquet").a.sum()), t.s.str.upper().iloc[7]]
""",
    [5000, 49985001, "X"],
)
#: Their threads do not survive a fork, or cannot be told from such.
WARM = {
    "polars": Case(
        """
import polars as pl
t = pl.DataFrame({"k": list("abab") * 999, "v": range(3996)})
t.write_csv("/tmp/t.csv")
s = t.group_by("k").agg(pl.col("v").sum()).sort("k")
""",
        """
sums = t.lazy().filter(pl.col("k") == "a").group_by("k").agg(pl.col("v").sum()).collect()
result = [sums["v"][0], len(pl.read_csv("/tmp/t.csv"))]
""",
        [3990006, 3996],
    ),
    "pyarrow": Case(
        """
import pyarrow as pa, pyarrow.csv, pyarrow.compute as pc, pyarrow.parquet as pq
t = pa.table({"a": list(range(9999)), "b": ["x"] * 9999})
pq.write_table(t, "/tmp/t.parquet")
pa.csv.write_csv(t, "/tmp/t.csv")
seen = pq.read_table("/tmp/t.parquet").num_rows + pa.csv.read_csv("/tmp/t.csv").num_rows
""",
        """
read = pq.read_table("/tmp/t.parquet").num_rows, pa.csv.read_csv("/tmp/t.csv").num_rows
result = [*read, pc.sum(t["a"]).as_py()]
""",
        [9999, 9999, 49985001],
    ),
}


async def answers(visits: list[Visiting], case: Case) -> list[Any]:
    return list(await asyncio.wait_for(asyncio.gather(*(visit.do(case.callback) for visit in visits)), PATIENCE))


BIG = """
text = ipywidgets.Textarea("x" * 1_000_000)
picture = ipywidgets.Image(value=bytes(1_000_000))
display(text, picture)
"""


@pytest.mark.parametrize("name", INSTANT)
async def test_a_library_works_in_a_fork(tmp_path: Path, name: str) -> None:
    case = INSTANT[name]
    async with serving(tmp_path, "from IPython.display import display\n" + case.cell) as site:
        visits = [await site.visit(), *await asyncio.gather(site.visit(), site.visit())]
        ran = {await visit.do("result = RAN[1]") for visit in visits}
        said = site.app.text()
        assert await answers(visits, case) == [case.wanted] * 3, said
        assert len(ran) == 1, said


@pytest.mark.parametrize("name", WARM)
async def test_a_library_whose_threads_do_not_survive_is_found_and_works(tmp_path: Path, name: str) -> None:
    case = WARM[name]
    async with serving(tmp_path, case.cell, limits={"warm": 2}) as site:
        visits = [await site.visit(), *await asyncio.gather(site.visit(), site.visit())]
        assert await answers(visits, case) == [case.wanted] * 3, site.app.text()
        assert "Visits are no forks: Threads of compiled libraries run: " in site.app.text()
        assert ("Import polars in a callback" in site.app.text()) is (name == "polars")


async def test_arrow_s_threads_hide_no_others(tmp_path: Path) -> None:
    async with serving(
        tmp_path, PARQUET, "import _thread, time; _thread.start_new_thread(time.sleep, (9999,))"
    ) as site:
        await site.visit()
        assert "Visits are no forks: Threads of compiled libraries run: 1. Start" in site.app.text()


@pytest.mark.parametrize("question", ["", "from voila.utils import get_query_string; get_query_string()"])
async def test_large_messages_leave_nothing_in_the_way(tmp_path: Path, question: str) -> None:
    async with serving(tmp_path, "from IPython.display import display", question, BIG) as site:
        visits = await asyncio.gather(site.visit(), site.visit())
        assert len({await visit.do("result = RAN[1]") for visit in visits}) == 1, site.app.text()
        sent = "picture.value = bytes(2_000_000); result = 1"
        assert [await visit.do(sent) for visit in visits] == [1, 1]
