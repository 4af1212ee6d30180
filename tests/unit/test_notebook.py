"""Reading notebooks: what they say about themselves, what should travel with them, and what changed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.notebooks import code, markdown, notebook
from vaas.errors import Invalid
from vaas.notebook import MAX_CELLS, CellChange, Notebook, compare, parse, suggest_files
from vaas.source import outside_hosts, parse_python


def read(*cells: object, name: str = "lesson.ipynb", **options: object) -> Notebook:
    return parse(notebook(*cells, **options), name=name)  # type: ignore[arg-type]


class TestParsing:
    def test_cells_are_counted_from_one_and_keep_their_kind_source_and_tags(self) -> None:
        found = read(markdown("# Title"), code("x = 1", tags=["parameters"]), {"cell_type": "raw", "source": "r"})
        assert [(cell.index, cell.kind, cell.source) for cell in found.cells] == [
            (1, "markdown", "# Title"),
            (2, "code", "x = 1"),
            (3, "raw", "r"),
        ]
        assert found.cells[1].tags == ("parameters",)
        assert found.has_parameters

    def test_a_source_may_be_a_list_of_lines(self) -> None:
        assert read({"cell_type": "code", "source": ["x = 1\n", "y = 2"]}).cells[0].source == "x = 1\ny = 2"

    def test_kernel_language_and_the_wishes_for_voila_come_from_the_metadata(self) -> None:
        found = read(kernel="ir", language="R", metadata={"voila": {"template": "gridstack", "theme": "dark"}})
        assert (found.kernel, found.language, found.template, found.theme) == ("ir", "r", "gridstack", "dark")

    def test_a_notebook_without_metadata_is_python(self) -> None:
        found = read("x = 1", kernel="")
        assert (found.kernel, found.language) == ("", "python")

    def test_metadata_of_the_wrong_type_counts_as_none(self) -> None:
        document = {"nbformat": 4, "metadata": {"kernelspec": [], "voila": "x"}, "cells": [
            {"cell_type": "code", "source": 7, "metadata": None, "outputs": {}},
        ]}  # fmt: skip
        found = parse(json.dumps(document).encode())
        assert found.kernel == found.template == found.cells[0].source == ""

    def test_format_3_is_read(self) -> None:
        sheet = {"cells": [
            {"cell_type": "heading", "level": 2, "source": "Old but good"},
            {"cell_type": "code", "input": "x = 1", "language": "python", "outputs": []},
        ]}  # fmt: skip
        found = parse(json.dumps({"nbformat": 3, "metadata": {"name": ""}, "worksheets": [sheet]}).encode())
        assert found.title == "Old but good"
        assert found.code[0].source == "x = 1"

    @pytest.mark.parametrize(
        ("data", "said"),
        [
            (b"", "not JSON"),
            (b"\x89PNG\r\n", "not JSON"),
            (b"<html>", "not JSON"),
            (b"[1, 2]", "not what Jupyter writes"),
            (b'{"cells": []}', "not what Jupyter writes"),
            (b'{"nbformat": "4"}', "not what Jupyter writes"),
            (b'{"nbformat": 2}', "format 2"),
            (b'{"nbformat": 5, "cells": []}', "format 5"),
            (b'{"nbformat": 4}', "no list of cells"),
            (b'{"nbformat": 4, "cells": ["x"]}', "Cell 1 of the notebook is damaged"),
            (b'{"nbformat": 4, "cells": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too deep"),
            (b'{"nbformat": 4, "cells": [' + b"{}," * MAX_CELLS + b"{}]}", "cells"),
            (b" " * 64_000_001, "larger than 64 MB"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_what_is_no_notebook_is_refused_in_words(self, data: bytes, said: str) -> None:
        with pytest.raises(Invalid, match=said):
            parse(data)

    def test_saved_outputs_are_kept_as_text(self) -> None:
        outputs = [
            {"output_type": "stream", "name": "stdout", "text": ["a\n", "b"]},
            {"output_type": "display_data", "data": {"text/html": "<b>c</b>", "image/png": "iVBOR"}, "metadata": {}},
        ]
        assert read(code("x", outputs=outputs)).cells[0].outputs == ("a\nb", "<b>c</b>")


class TestTitleAndDescription:
    @pytest.mark.parametrize(
        ("text", "title"),
        [
            ("# Sea ice\ntext", "Sea ice"),
            ("intro\n\n### **Sea** _ice_ in `2024` ###", "Sea ice in 2024"),
            ("Sea ice\n=======\n", "Sea ice"),
            ("<h1 align=center>Sea &amp; ice</h1>", "Sea & ice"),
            ("# [Sea ice](https://example.org) ![logo](x.png)", "Sea ice"),
            ("```\n# not this\n```\n# This", "This"),
            ("no heading at all", "lesson"),
            ("#no heading either", "lesson"),
            ("###### Content under CC-BY\n# Sea ice", "Sea ice"),
            ("<h5>By Ada</h5>\n\nSea ice\n-------", "Sea ice"),
            ("###### Only this", "Only this"),
            # What has no words that anybody sees is no title.
            ("# ![logo](x.png)\n\n# Sea ice", "Sea ice"),
            ("# \u200b\n\ntext", "lesson"),
        ],
    )
    def test_the_title_is_the_first_heading_else_the_files_name(self, text: str, title: str) -> None:
        assert read("x = 1", markdown(text)).title == title

    def test_a_notebook_without_a_name_is_untitled(self) -> None:
        assert parse(notebook()).title == "Untitled"

    @pytest.mark.parametrize(
        ("text", "description"),
        [
            ("# Title\nHow the ice *melts*,\nyear by year.\n\nMore.", "How the ice melts, year by year."),
            ("# Title\n\n- a list\n- of things\n\n| a | b |\n\n![x](y.png)\n\nProse.", "Prose."),
            ("$$e=mc^2$$\n\n> quoted\n\n1. one\n\nSee [here](https://example.org).", "See here."),
            ("# Title", ""),
            ("a_variable_name and 2 * 3 * 4", "a_variable_name and 2 * 3 * 4"),
        ],
    )
    def test_the_description_is_the_first_prose(self, text: str, description: str) -> None:
        assert read(markdown(text)).description == description

    def test_long_prose_is_cut_between_words(self) -> None:
        found = read(markdown("wordy " * 100)).description
        assert len(found) <= 302
        assert found.endswith("wordy …")


class TestImports:
    @pytest.mark.parametrize(
        ("source", "names"),
        [
            ("import pandas as pd, numpy.linalg", {"pandas", "numpy"}),
            ("from sklearn.svm import SVC\nfrom . import x", {"sklearn"}),
            ("%matplotlib inline\nimport pandas", {"pandas"}),
            ("!pip install foo\nimport pandas\nfiles = !ls\npandas?", {"pandas"}),
            ("%%time\nimport pandas", {"pandas"}),
            ("%%bash\nimport pandas", set()),
            ("if x:\n    %time y = 1\n    import pandas", {"pandas"}),
            ("import importlib\nimportlib.import_module('scipy.stats')", {"importlib", "scipy"}),
            ("try:\n    import ujson as json\nexcept ImportError:\n    import json", set()),
            ("with suppress(ImportError):\n    import ujson", set()),
            ("if TYPE_CHECKING:\n    import pandas", set()),
            ("s = '''\n%matplotlib\nimport no\n'''\nimport pandas", {"pandas"}),
            ("await load()\nimport pandas", {"pandas"}),
            ("import pandas\nthis is no python", set()),
            ("x = '\\d'\nimport re", {"re"}),
            ("(" * 5_000, set()),
            ("import os\0", set()),
        ],
    )
    def test_modules_that_it_cannot_do_without(self, source: str, names: set[str]) -> None:
        assert read(source).imports == names

    def test_other_languages_import_nothing_that_we_know(self) -> None:
        assert read("library(ggplot2)\nimport x", kernel="ir", language="R").imports == frozenset()


class TestAddresses:
    def test_hosts_in_strings_are_told_with_their_first_cell(self) -> None:
        found = read(
            "x = 1", "get('https://api.example.org/v1')", "f'http://api.example.org/{x}', 'wss://b.example.org'"
        )
        assert found.addresses == (("api.example.org", 2), ("b.example.org", 3))

    @pytest.mark.parametrize(
        "source",
        [
            "# see https://example.org/",
            "'''Documented at https://example.org.'''",
            "'http://localhost:8000/ http://127.0.0.1/ http://[::1]/'",
            "x = '<svg xmlns=\"http://www.w3.org/2000/svg\">'",
            "f'https://{host}/x'",
            "x = 'https://'",
        ],
    )
    def test_what_is_not_fetched_from_outside_does_not_count(self, source: str) -> None:
        assert read(source).addresses == ()

    def test_pictures_in_the_text_are_loaded_and_links_are_not(self) -> None:
        found = read(markdown("[a](https://a.example.org) ![b](https://b.example.org/x.png)"))
        assert found.page_addresses == (("b.example.org", 1),)

    def test_pictures_beside_the_notebook_are_files_that_it_shows(self) -> None:
        shown = "![](a%20b.png) <img src='images/c.svg?x#y'> ![](a%20b.png)"
        elsewhere = "![](https://b.example.org/x.png) ![](attachment:d.png) ![](/e.png) ![](data:image/png;base64,AA)"
        assert read(markdown(f"{shown}\n{elsewhere}\n```\n![](f.png)\n```")).page_files == (
            ("a b.png", 1),
            ("images/c.svg", 1),
        )

    def test_damaged_addresses_are_passed_over(self) -> None:
        assert list(outside_hosts("http://[::1/ https://a..b/ https://ok.example.org, http://1.2.3.4:80")) == [
            "ok.example.org",
            "1.2.3.4",
        ]


AVAILABLE = (
    "lesson.ipynb", "README.md", "gap.csv", "data/ice.csv", "data/2019.csv", "data/2020.csv", "img/logo.png",
    "img/a b.png", "helpers.py", "lib/__init__.py", "lib/plots.py", "lib/style.json", "src/deep.py", "geo/a.shp",
    "geo/a.dbf", "geo/a.shx", "other.py", "secrets.env",
)  # fmt: skip


class TestSuggestedFiles:
    @pytest.mark.parametrize(
        ("source", "files"),
        [
            ("pd.read_csv('gap.csv')", {"gap.csv"}),
            ("pd.read_csv('./data/ice.csv')", {"data/ice.csv"}),
            ("pd.read_csv(Path('x') / 'ice.csv')", {"data/ice.csv"}),
            ("open(os.path.join(base, 'ice.csv'))", {"data/ice.csv"}),
            ("[pd.read_csv(f'data/{year}.csv') for year in years]", {"data/ice.csv", "data/2019.csv", "data/2020.csv"}),
            ("glob.glob('data/20*.csv')", {"data/2019.csv", "data/2020.csv"}),
            ("os.listdir('data')", {"data/ice.csv", "data/2019.csv", "data/2020.csv"}),
            ("HTML('<img src=\"img/logo.png\">')", {"img/logo.png"}),
            ("geopandas.read_file('geo/a.shp')", {"geo/a.shp", "geo/a.dbf", "geo/a.shx"}),
            ("import helpers", {"helpers.py"}),
            ("from lib.plots import draw", {"lib/__init__.py", "lib/plots.py"}),
            ("sys.path.insert(0, 'src')\nimport deep", {"src/deep.py"}),
            ("%run helpers.py", {"helpers.py"}),
            ("!head gap.csv", {"gap.csv"}),
            ("import deep", set()),
            ("df['data']; x = 'lib'", set()),
            ("open('https://example.org/gap.csv')", set()),
            ("open('/etc/gap.csv'); open('lesson.ipynb')", set()),
        ],
    )
    def test_what_the_source_names_should_travel(self, source: str, files: set[str]) -> None:
        assert suggest_files(read(source), AVAILABLE) == files

    def test_pictures_in_the_text_travel(self) -> None:
        cells = markdown("![logo](img/logo.png)"), markdown('<img src="img/a%20b.png" width=20>')
        assert suggest_files(read(*cells), AVAILABLE) == {"img/logo.png", "img/a b.png"}

    def test_modules_bring_what_they_need_in_turn(self) -> None:
        sources = {"helpers.py": "from lib import plots", "lib/plots.py": "here / 'style.json'", "other.py": ""}
        found = suggest_files(read("import helpers"), AVAILABLE, sources=sources)
        assert found == {"helpers.py", "lib/__init__.py", "lib/plots.py", "lib/style.json"}

    def test_modules_that_import_each_other_end(self) -> None:
        sources = {"a.py": "import b", "b.py": "import a"}
        assert suggest_files(read("import a"), sources, sources=sources) == {"a.py", "b.py"}

    def test_strings_of_other_languages_count_too(self) -> None:
        found = read("read.csv(\"gap.csv\") # 'x'", kernel="ir", language="R")
        assert suggest_files(found, AVAILABLE) == {"gap.csv"}


class TestComparing:
    def test_the_same_cells_have_no_changes_whatever_their_outputs(self) -> None:
        saved = {"output_type": "stream", "name": "stdout", "text": "1"}
        assert compare(read("print(1)"), read(code("print(1)", outputs=[saved]))) == []

    def test_a_changed_cell_shows_its_lines(self) -> None:
        changes = compare(read("import a", "x = 1\ny = 2\nz = 3"), read("import a", "x = 1\ny = 5\nz = 3"))
        lines = ((" ", "x = 1"), ("-", "y = 2"), ("+", "y = 5"), (" ", "z = 3"))
        assert changes == [CellChange(change="changed", kind="code", old=2, new=2, lines=lines)]

    def test_added_and_removed_cells_are_told_in_order(self) -> None:
        old = parse(notebook(*(dict(code(s), id=s) for s in ("import a", "gone = 1", "last()"))))
        new = parse(notebook(*(dict(code(s), id=s) for s in ("import a", "last()", "quite_other(thing)"))))
        told = [(change.change, change.old, change.new) for change in compare(old, new)]
        assert told == [("removed", 2, None), ("added", None, 3)]

    def test_a_cell_of_another_kind_is_another_cell(self) -> None:
        told = [change.change for change in compare(read(markdown("x")), read(code("x")))]
        assert sorted(told) == ["added", "removed"]

    def test_lines_far_from_a_change_are_left_out(self) -> None:
        before = [f"line_{i} = {i}" for i in range(40)]
        after = ["first", *before[1:-1], "last"]
        (change,) = compare(read("\n".join(before)), read("\n".join(after)))
        assert [sign for sign, _ in change.lines] == ["-", "+", " ", " ", " ", "…", " ", " ", " ", "-", "+"]

    def test_endless_cells_are_not_compared_line_by_line(self) -> None:
        (change,) = compare(read("x\n" * 3_000), read("x\n" * 3_001 + "y"))
        assert [sign for sign, _ in change.lines] == ["…"]


def test_reading_needs_nothing_but_the_standard_library() -> None:
    script = (
        "import sys, vaas.notebook; print([m for m in ('tornado','nbformat','IPython','yaml') if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


class _Farewell:
    """Becomes garbage that lets other threads have their turn as it goes."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        time.sleep(0)


def test_many_threads_may_read_source_at_once() -> None:
    lines = [f"def f{n}(a, b=[{n}, (1, {{2: 'x'}})]):\n    return [a[x].y for x in a if x and b]" for n in range(20)]

    def once(_: int) -> bool:
        _Farewell()
        return parse_python("\n".join(lines))[0] is not None

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(once, range(200)))
