"""Who draws with matplotlib, and so needs the list of the system's fonts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vaas.runtime.caches import draws


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.ipynb", "import matplotlib.pyplot as plt", True),
        ("a.ipynb", "table.plot(x='year')", True),
        ("a.ipynb", "table.hist()", True),
        ("a.ipynb", "table.boxplot()", True),
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


def test_whoever_cannot_be_looked_at_may_draw(tmp_path: Path) -> None:
    assert draws(tmp_path / "gone") is True


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    (tmp_path / "broken.py").symlink_to(tmp_path / "gone")
    assert draws(tmp_path) is False


def test_more_than_is_looked_through_may_draw(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.py").write_bytes(b"#" * 2_000_000)
    assert draws(tmp_path) is True


def test_one_file_that_is_too_long_or_too_many_may_draw(tmp_path: Path) -> None:
    for folder in ("long", "many"):
        (tmp_path / folder).mkdir()
    (tmp_path / "long" / "a.py").write_bytes(b"#" * 9_000_000)
    for number in range(1001):
        (tmp_path / "many" / f"{number}.txt").touch()
    assert draws(tmp_path / "long") is True and draws(tmp_path / "many") is True
