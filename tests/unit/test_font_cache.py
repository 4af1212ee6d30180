"""Who draws with matplotlib, and so needs the list of the system's fonts."""

from __future__ import annotations

from pathlib import Path

import pytest

from vaas.runtime.caches import draws


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.ipynb", "import matplotlib.pyplot as plt", True),
        ("a.ipynb", "table.plot(x='year')", True),
        ("a.ipynb", "table.hist()", True),
        ("helper.py", "from pylab import *", True),
        ("a.ipynb", "import plotly.express as px", False),
        ("notes.txt", "matplotlib", False),
        ("data.csv", "matplotlib", False),
    ],
)
def test_an_app_draws_whose_code_names_it(tmp_path: Path, name: str, text: str, *, expected: bool) -> None:
    (tmp_path / "sub.py").mkdir()
    (tmp_path / name).write_text(text)
    assert draws(tmp_path) is expected
