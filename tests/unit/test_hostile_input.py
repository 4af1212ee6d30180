"""Input that was made to keep us busy is read like any other: its result is there, and soon.

Each case runs in a process of its own that is ended when it takes far too long, so that none can hang the tests.
"""

from __future__ import annotations

import json
import subprocess
import sys
import unicodedata
from typing import Any

import pytest

from vaas.prose import clean_text

#: What takes minutes or hours is meant, not a slow machine: each of these takes a few seconds at most.
PATIENCE = 20

PREPARE = """
import json, random, sys
from tests.notebooks import code, markdown, notebook
from vaas.files import FileIndex
from vaas.notebook import compare, parse, suggest_files
from vaas.prose import images
from vaas.questions import first_question
from vaas.source import Source, read_python
from vaas.stores.multistatus import parse_multistatus

def read(*cells):
    return parse(notebook(*cells), name="lesson.ipynb")

def named(prefix, sources):
    return read(*({**code(source), "id": f"{prefix}{i}"} for i, source in enumerate(sources)))

def show(value):
    print(json.dumps(value))
"""


def result(script: str) -> Any:
    """Return what the script shows."""
    done = subprocess.run(
        [sys.executable, "-c", PREPARE + script], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "heading",
    [
        '"# " + "![" * 45_000',
        '"# " + "[" * 90_000',
        '"# " + "*a " * 30_000',
        '"# x" + " " * 90_000 + "x"',
        '"# x" + " #" * 45_000 + "x"',
        '"# " + "<" * 90_000',
        '"![" * 45_000 + "\\n==="',
        '"# &#" + "1" * 90_000 + ";"',
        '"##### " + "\\n##### ".join(["![" * 240] * 2_000)',
    ],
)
def test_a_heading_without_end_is_a_title_that_was_cut(heading: str) -> None:
    title = result(f"show(read(markdown({heading})).title)")
    assert 0 < len(title) <= 122


def test_a_heading_without_end_keeps_its_beginning() -> None:
    assert result("""show(read(markdown("# Lakes " + "![" * 45_000)).title)""") == "Lakes …"


def test_pictures_that_fill_a_heading_or_a_cell_do_not_hide_the_title() -> None:
    picture = "![logo](data:image/png;base64,' + 'A' * 3_000_000 + ')"
    assert result(f"show(read(markdown('# {picture} Lakes')).title)") == "Lakes"
    assert result(f"show(read(markdown('{picture}'), markdown('# Lakes')).title)") == "Lakes"
    link = "[Lakes](https://example.org/' + 'a' * 3_000 + ')"
    assert result(f"show(read(markdown('# {link} of Europe')).title)") == "Lakes of Europe"


@pytest.mark.parametrize(
    "above",
    [
        '"# x\\n" * 200_000',
        '"\\n" * 200_000 + " " * 200_000 + "\\n\\n"',
        '"\\n\\n".join(["``" * 900] * 99) + "\\n\\n"',
    ],
)
def test_the_description_is_found_below_anything(above: str) -> None:
    assert result(f"show(read(markdown({above}), markdown('Lakes and rivers.')).description)") in {
        "Lakes and rivers.",
        "",  # too far below to be looked for
    }


def test_a_description_without_end_is_cut() -> None:
    text = result("""show(read(markdown("Lakes " + "*a [" * 50_000)).description)""")
    assert text.startswith("Lakes *a [") and len(text) <= 302


@pytest.mark.parametrize("text", ["![](", "![", "![](a", "![]( ", "src ", "src= "])
def test_pictures_without_end_are_looked_for_and_those_before_are_found(text: str) -> None:
    found = result(f"""
found = read(markdown("![map](map.png)\\n\\n" + {text!r} * (200_000 // {len(text)})))
show([found.page_files, found.page_addresses, sorted(suggest_files(found, ["map.png"]))])
""")
    assert [found[0][0], *found[1:]] == [["map.png", 1], [], ["map.png"]]


@pytest.mark.parametrize(
    "line",
    [
        '" " * 200_000',
        '"\\t" * 200_000 + "?"',
        '"a " * 100_000 + "!"',
        '"x = " + " " * 200_000 + "y ls"',
        '"a" * 200_000 + "?" * 3',
        '"a = b = " * 25_000',
        '"\\n" * 200_000',
        '"from " + "a" * 200_000',
        '"from a" + " " * 200_000 + "x"',
        '"import " + " " * 200_000 + ":"',
        '"from a." * 25_000',
        '"\\"" * 99_999 + "\\n" + "\'" * 99_999',
    ],
)
def test_lines_that_cannot_be_parsed_do_not_hide_the_imports_before_them(line: str) -> None:
    found = result(f"""
found = read_python("import numpy as np\\nfrom plotly.express import bar\\n?!\\n(\\n" + {line})
show(sorted(found.imports | found.optional))
""")
    assert {"numpy", "plotly"} <= set(found)


def test_long_lines_for_the_shell_are_still_understood() -> None:
    found = result("""
found = read_python("!ls " + "a.csv " * 50_000 + "\\nx = !ls " + "b " * 50_000 + "\\nimport numpy")
show([sorted(found.imports), len(found.strings)])
""")
    assert found == [["numpy"], 2]


def test_ten_thousand_patterns_find_what_the_first_of_them_name() -> None:
    found = result("""
cells = [code("x = " + repr([f"data/*{c}{i}*.csv" for i in range(10_000)])) for c in "abcde"]
first = code("x = 'rivers/*.csv'")
files = ["rivers/po.csv", *(f"data/{i}.csv" for i in range(300))]
show(sorted(suggest_files(read(first, *cells), files)))
""")
    assert found == ["rivers/po.csv"]


@pytest.mark.parametrize(
    "source",
    [
        'Source(strings=tuple(f"w{i}/x.py" for i in range(400_000)))',
        'Source(strings=(" ".join(f"w{i}.py" for i in range(50_000)),) * 200)',
        'Source(imports=frozenset(f"m{i}" for i in range(20_000)), strings=tuple(f"s{i}" for i in range(20_000)))',
        'Source(strings=("*a" * 400 + ".csv",) * 10_000)',
    ],
)
def test_more_words_than_a_person_writes_name_no_file_by_accident(source: str) -> None:
    found = result(f"""
index = FileIndex([f"d{{i}}/x.py" for i in range(300)] + ["lakes.csv"])
show([sorted(index.mentioned(Source(strings=("lakes.csv",)))), sorted(index.mentioned({source}))])
""")
    assert found == [["lakes.csv"], []]


def test_many_cells_of_few_kinds_are_compared_from_their_ends() -> None:
    changes = result("""
random.seed(1)
def cells(): return ["first = 1", *(f"x = {random.randrange(7)}" for _ in range(4_900)), "last = 1"]
show([(c.change, c.old, c.new) for c in compare(named("a", cells()), named("b", cells()))])
""")
    removed, added = ({c[place] for c in changes if c[0] == kind} for kind, place in (("removed", 1), ("added", 2)))
    assert removed == added and len(removed) > 4_800 and not removed & {1, 4_902}


def test_one_change_among_thousands_of_cells_is_found() -> None:
    changes = result("""
same = [f"x = {i % 7}" for i in range(2_400)]
old, new = ["a = 1"], ["a = 1", "b = 2"]
show([(c.change, c.old, c.new) for c in compare(named("a", same + old + same), named("b", same + new + same))])
""")
    assert changes == [["added", None, 2_402]]


@pytest.mark.parametrize(
    ("count", "source"),
    [
        (300, 'f"{prefix}{i} = " + " ".join(f"{prefix}{i}w{k}" for k in range(400))'),
        (150, '" ".join(f"w{k}" for k in random.sample(range(100), 100) * 10)'),
        (150, '"\\n".join(f"w{k}" for k in random.choices(range(150), k=1_900))'),
        (600, '"x = " + str(random.randrange(7))'),
    ],
)
def test_notebooks_that_differ_throughout_are_compared_roughly(count: int, source: str) -> None:
    changes = result(f"""
random.seed(1)
def made(prefix): return named(prefix, [{source} for i in range({count})])
show([(c.change, c.old, c.new) for c in compare(made("a"), made("b"))])
""")
    kept = count - sum(c[1] is not None for c in changes)
    assert changes and kept == count - sum(c[2] is not None for c in changes)


def test_a_listing_of_nested_entries_is_the_outermost_one() -> None:
    found = result("""
entry = "<response><href>/a</href><propstat><status>HTTP/1.1 200 OK</status><prop/></propstat>"
body = '<multistatus xmlns="DAV:">' + entry * 25_000 + "</response>" * 25_000 + "</multistatus>"
show([one.parts for one in parse_multistatus(body.encode())])
""")
    assert found == [["a"]]


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        ('["\\n".join(f"def f{i}():\\n f{i+1}()\\n f{i+1}()" for i in range(300)), "f0()"]', "too deep"),
        (
            '["\\n".join(f"def f{i}(): pass" for i in range(5_000)), "\\n".join(f"f{i}()" for i in range(5_000))]',
            "too long",
        ),
        ('["f = " + "lambda: " * 80 + "0", "f()"]', ""),
        ('["x" + ".a" * 900 + "()"]', "too deep"),
        ('["class A:\\n" + "\\n".join(f" def m(self): self.m(); x{i}" for i in range(20_000)), "a.m()"]', "too deep"),
        ('["class A(A): pass\\nA()", "class B(C): pass\\nclass C(B): pass\\nB()"]', ""),
    ],
)
def test_calls_of_calls_are_followed_as_far_as_patience_goes(cells: str, why: str) -> None:
    found = result(f"found = first_question(read(*{cells}))\nshow(found.why if found else '')")
    assert why in found and bool(why) == bool(found)


def test_what_is_no_text_is_taken_out_and_nothing_else() -> None:
    every = [chr(number) for number in range(sys.maxunicode + 1)]
    odd = {c for c in every if unicodedata.category(c) in {"Cc", "Cf"} and c not in "\n\t"}
    gone = {c for c in every if clean_text(f"a{c}a") == "aa"}
    assert odd <= gone
    # What a later Unicode has made a mark of format is none that this Python knows.
    assert {unicodedata.category(c) for c in gone - odd} <= {"Cn"}
