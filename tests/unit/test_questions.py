"""Where a notebook first needs to know of its visit, found by reading."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.notebooks import code, markdown, notebook
from vaas.notebook import parse
from vaas.questions import Question, first_question, takes_basket

EXAMPLES = sorted((Path(__file__).parents[2] / "dashboards/examples").rglob("*.ipynb"))
#: It asks for its visitor's basket.
TABLES = next(path for path in EXAMPLES if path.stem == "my-tables")


def question(*cells: str) -> Question | None:
    return first_question(parse(notebook(*cells), name="lesson.ipynb"))


ASKING = [
    "import vaas\nthings = vaas.basket()",
    "from vaas import basket\nbasket()",
    "from voila.utils import get_query_string\nget_query_string()",
    "from voila.utils import get_query_string as gq\nq = gq()",
    "import voila.utils\nvoila.utils.get_query_string()",
    "import voila.utils as vu\nvu.wait_for_request()",
    "from voila import utils\nutils.wait_for_request()",
    "from voila.utils import *\nget_query_string()",
    "import vaas\nvaas.visitor()",
    "import vaas\nfound = vaas.search('tides')",
    "from vaas import client\nclient.here().me()",
    "from vaas.client import *\nhere()",
    "import vaas as portal\nwho = portal.visitor().name",
    "from vaas import visitor as who\nprint(who())",
    "import vaas\nwho = vaas.visitor\nwho()",
    "import os\nos.environ['QUERY_STRING']",
    "import os\nos.environ.get('QUERY_STRING', '')",
    "import os as system\nsystem.getenv('VOILA_REQUEST_URL')",
    "from os import environ as env\nenv.get('SERVER_NAME')",
    "from os import getenv\ngetenv('QUERY_STRING')",
    "import os\nenv = os.environ\nenv['QUERY_STRING']",
    "import os\nif 'QUERY_STRING' in os.environ: pass",
    "import os\nos.environb[b'QUERY_STRING']",
    "from vois.vuetify import app\na = app.app(title='x')",
    "from vois.vuetify.app import app\na = app(title='x')",
    "import vois.vuetify.app as va\nva.app()",
    "import vois.vuetify\nvois.vuetify.app.app()",
    "from vois.vuetify import *\napp.app()",
    "from vois.vuetify import queryStrings\nqueryStrings.readParameters()",
    "from vois.vuetify import app\nclass Mine(app.app): pass\nMine()",
    "something.urlParameter('tab')",
    "%matplotlib inline\nimport vaas\nvaas.visitor()",
    "%%time\nimport vaas\nvaas.visitor()",
    "!echo $QUERY_STRING",
    "q = %env QUERY_STRING",
    "import vaas\n[vaas.visitor() for _ in range(1)]",
    "import vaas\ntry:\n    x = vaas.visitor()\nexcept Exception:\n    pass",
    "import vaas\nf = lambda: vaas.visitor()\nf()",
    "import vaas\ndef f():\n    return vaas.visitor()\ndef g():\n    return f()\ng()",
    "def f():\n    from vaas import visitor\n    return visitor()\nf()",
    "import vaas\nclass A:\n    def __init__(self): self.v = vaas.visitor()\nA()",
    "import vaas\nclass A:\n    def show(self): return vaas.visitor()\na = A()\na.show()",
    "import vaas\ndef f(x=vaas.visitor()): pass",
    "import vaas\nfrom ipywidgets import interact\n@interact(x=3)\ndef f(x): print(vaas.visitor())",
    "import vaas\nfrom ipywidgets import interact\ndef f(x): print(vaas.visitor())\ninteract(f, x=3)",
    "import vaas\nlist(map(lambda x: vaas.visitor(), [1]))",
    "this is ( not Python: get_query_string()",
    "async def f():\n    import vaas\n    return vaas.visitor()\nawait f()",
]
SILENT = [
    "x = 1",
    "from voila.utils import get_query_string",
    "import vaas",
    "import vaas\n@vaas.on_visit\ndef reopen(who): print(who.name)",
    "from vaas.client import here\n@vaas.on_visit\ndef begin(who): show(here().me())\nbox.observe(lambda _: here())",
    "import vaas\nvaas.on_visit(lambda who: who.name)",
    "import vaas\ndef f(): return vaas.visitor()",
    "import vaas\nbutton.on_click(lambda _: vaas.visitor())",
    "import vaas\ndef f(): return vaas.visitor()\nslider.observe(f)",
    "import os\nos.environ['HOME'], os.getenv('SERVER_SOFTWARE')",
    "import os\nenv = dict(os.environ)",
    "import os\nos.environ['QUERY_STRING'] = ''",
    "from flask import app\napp.app()",
    "def visitor(): return 1\nvisitor()",
    "def get_query_string(): return ''\nget_query_string()",
    "from vaas import visitor\ndef visitor(): return 1\nvisitor()",
    "# get_query_string()",
    "print('QUERY_STRING')",
    "%%bash\nls",
    "def f(): return f()\nf()",
    "f = f\nf()",
    "this is ( not Python",
]


@pytest.mark.parametrize("source", ASKING)
def test_a_cell_that_asks_is_found(source: str) -> None:
    found = question("x = 1", source, "import vaas\nvaas.visitor()")
    assert found is not None
    assert found.cell == 2
    assert found.why.startswith("it ")


@pytest.mark.parametrize("source", SILENT)
def test_a_cell_that_does_not_ask_is_passed_over(source: str) -> None:
    assert question("x = 1", source) is None
    found = question(source, "import vaas", "vaas.visitor()")
    assert found == Question(3, "it calls visitor()")


def test_what_is_defined_counts_where_it_is_called_first() -> None:
    found = question("from vaas import visitor as who", "def greet():\n    return who().name", "x = 1", "greet()")
    assert found == Question(4, "it calls who(), in greet")


def test_cells_are_counted_with_those_of_text() -> None:
    data = notebook(markdown("# Title"), code(""), code("import vaas"), markdown("x"), code("vaas.visitor()"))
    assert first_question(parse(data, name="n.ipynb")) == Question(5, "it calls visitor()")


def test_a_tag_says_it_in_any_language() -> None:
    for language in ("python", "R"):
        data = notebook("x <- 1", code("y <- 2", tags=["visit"]), language=language)
        assert first_question(parse(data, name="n.ipynb")) == Question(2, "it has the tag “visit”")


def test_a_cell_that_is_skipped_asks_for_nothing() -> None:
    data = notebook(code("import vaas\nvaas.visitor()", tags=["skip-execution"]))
    assert first_question(parse(data, name="n.ipynb")) is None


def test_another_language_is_not_read_as_python() -> None:
    assert first_question(parse(notebook("get_query_string()", language="R"), name="n.ipynb")) is None


@pytest.mark.parametrize("path", [path for path in EXAMPLES if path != TABLES], ids=lambda path: path.stem)
def test_the_examples_are_read(path: Path) -> None:
    """None of them asks by itself, and one that asks in the end is found behind all of its cells."""
    parsed = parse(path.read_bytes(), name=path.name)
    assert first_question(parsed) is None
    cells = [code(cell.source) if cell.kind == "code" else markdown(cell.source) for cell in parsed.cells]
    more = parse(notebook(*cells, "import vaas\nprint(vaas.visitor())"), name=path.name)
    assert first_question(more) == Question(len(cells) + 1, "it calls visitor()")


def test_the_example_that_takes_a_basket_asks_in_its_last_cell() -> None:
    parsed = parse(TABLES.read_bytes(), name=TABLES.name)
    assert first_question(parsed) == Question(len(parsed.cells), "it calls basket()")
    assert takes_basket(parsed)
