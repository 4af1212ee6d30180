"""Reading a notebook's parameters in the launch environment: nothing is executed, and nothing takes long."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.notebooks import code, notebook
from tests.run_parts import lab_python
from vaas.errors import Invalid, Unavailable
from vaas.executors.inspecting import Inspector
from vaas.lab.assigning import LANGUAGES

pytestmark = pytest.mark.app


@pytest.fixture
def inspect() -> Inspector:
    return Inspector(lab_python(), environ={"PATH": os.environ["PATH"]})


def parameters(source: str, **said: str) -> bytes:
    return notebook("before = 1", code(source, tags=["parameters"]), "after = 1", **said)


async def test_names_types_defaults_and_help(inspect: Inspector) -> None:
    source = """
# Not a parameter
years: int = 3  # how many
rate = 0.5
names = ["a",
         "b"]  # who
deep: Path = Path("data/x.csv")  # data: the table
made = compute()
text = 'it''s'
"""
    found = await inspect(parameters(source))
    assert [(each["name"], each["type"], each["default"], each["help"], each["is"]) for each in found] == [
        ("years", "int", 3, "how many", True),
        ("rate", "", 0.5, "", True),
        ("names", "", ["a", "b"], "who", True),
        ("deep", "Path", "data/x.csv", "data: the table", True),
        ("made", "", None, "", False),
        ("text", "", "its", "", True),
    ]


@pytest.mark.parametrize(("kernel", "language", "sign"), [("ir", "R", "<-"), ("julia-1.10", "julia", "=")])
async def test_those_of_r_and_julia(inspect: Inspector, kernel: str, language: str, sign: str) -> None:
    source = """
# n = 1
n <- 1
years <- 3L  # how many # of them
rate <- -0.5
colour <- "#ff0000"  # 'red'
said <- 'it is "so", 5L'
deep <- TRUE
names <- c("a", "b")
made <- compute(3)
if (x == 1) print(x)
years == 4
"""
    if language == "julia":
        source = source.replace("3L ", "3 ").replace('c("a", "b")', '["a", "b"]')
    found = await inspect(parameters(source.replace("<-", sign), kernel=kernel, language=language))
    assert [each["type"] for each in found][:2] == (["float", ""] if language == "R" else ["", ""])
    assert [(each["name"], each["default"], each["help"], each["is"]) for each in found] == [
        ("n", 1, "", True),
        ("years", 3, "how many # of them", True),
        ("rate", -0.5, "", True),
        ("colour", "#ff0000", "'red'", True),
        ("said", 'it is "so", 5L', "", True),
        ("deep", True, "", True),
        ("names", ["a", "b"], "", True),
        ("made", None, "", False),
    ]


VALUES = {
    "n": 3,
    "big": -12,
    "rate": -0.5,
    "said": 'it is "so", # 5L; % a/b',
    "plain": "tides",
    "deep": True,
    "flat": False,
    "names": ["a", "b; c, d"],
    "numbers": [1, 2],
}


@pytest.mark.parametrize("kernel", [*LANGUAGES])
async def test_what_papermill_writes_in_a_language_is_read_in_it(inspect: Inspector, kernel: str) -> None:
    found = await inspect(parameters(written(kernel), kernel=kernel, language="of that kernel"))
    assert {each["name"]: each["default"] for each in found} == VALUES


def written(kernel: str) -> str:
    """Return the values as papermill writes them for this kernel, by the Python that has it."""
    code = "import json, sys; from papermill.translators import papermill_translators as known; "
    code += f"print(known.find_translator({kernel!r}, '').codify(json.load(sys.stdin)))"
    asked = [str(lab_python()), "-c", code]
    return subprocess.run(asked, input=json.dumps(VALUES), capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("kernel", "line", "name", "default", "help"),
    [
        ("bash", "export FILE=data/tides.csv  # where", "FILE", "data/tides.csv", "where"),
        ("scala", "val years: Int = 10 // how many", "years", 10, "how many"),
        ("bash", "SIZE=10M", "SIZE", "10M", ""),
        ("bash", "VERSION=1.10", "VERSION", "1.10", ""),
        ("bash", "URL=http://x/#part # where", "URL", "http://x/#part", "where"),
        ("bash", "COMPRESSION=none", "COMPRESSION", "none", ""),
        ("bash", "FLAG=TRUE", "FLAG", "TRUE", ""),
        ("bash", "deep=true", "deep", True, ""),
        ("bash", r"path='C:\new'", "path", r"C:\new", ""),
        ("matlab", "names = {'a', 'b'}; % who", "names", ["a", "b"], "who"),
        ("matlab", r"path = 'C:\temp';", "path", r"C:\temp", ""),
        ("matlab", "said = 'it''s';", "said", "it's", ""),
        (".net-csharp", "double rate = 0.5f; // a year", "rate", 0.5, "a year"),
        (".net-fsharp", "let mutable rate = 1e-3 // a year", "rate", 0.001, "a year"),
        (".net-powershell", "[int]$n = 3 # how many", "n", 3, "how many"),
        (".net-powershell", '$path = "C:\\" # where', "path", "C:\\", "where"),
        ("julia", "n::Int = 3 # how many", "n", 3, "how many"),
        ("julia", "n = 3 # n is how many, n = 4\nnn = n * 2\nn == 3\n# n = 5", "n", 3, "n is how many, n = 4"),
    ],
)
async def test_what_people_write_in_a_language_is_read(
    inspect: Inspector, kernel: str, line: str, name: str, default: object, help: str
) -> None:
    found = (await inspect(parameters(line, kernel=kernel, language="of that kernel")))[0]
    assert (found["name"], found["default"], found["help"], found["is"]) == (name, default, help, True)


@pytest.mark.parametrize(
    ("kernel", "line"),
    [
        ("bash", 'data="$HOME/data"'),
        ("bash", "day=$(date)"),
        ("julia", 'path = "$(root)/x"'),
        ("julia", "wait = 5m"),
        ("matlab", "m = [1 2; 3 4];"),
        ("matlab", "row = [1 2 3];"),
        ("scala", "val numbers = Array(1, 2)"),
        (".net-powershell", '$path = "$env:HOME/x"'),
        (".net-powershell", '$path = "a""b"'),
        (".net-powershell", '$path = "a`tb"'),
        ("bash", "x=$true"),
        ("bash", "x='a''b'"),
        ("ir", "x <- list(a = 1)"),
        ("ir", "x <- 5\nif (y) {\n  x <- 6\n}"),
        ("ir", "if (y) {\n  x <- 6\n}"),
        ("ir", "x <- 5\n7 -> x"),
        ("bash", "x=5\n((x+=1))"),
    ],
)
async def test_of_what_may_be_more_than_it_looks_like_nothing_is_known(
    inspect: Inspector, kernel: str, line: str
) -> None:
    (found,) = await inspect(parameters(line, kernel=kernel, language="R" if kernel == "ir" else "of that kernel"))
    assert (found["default"], found["is"]) == (None, False)


@pytest.mark.parametrize("line", ["$global:n = 5", "$env:X = 5"])
async def test_a_variable_of_another_scope_is_no_parameter(inspect: Inspector, line: str) -> None:
    assert await inspect(parameters(line, kernel=".net-powershell", language="of that kernel")) == []


@pytest.mark.parametrize(
    ("kernel", "line"),
    [
        *((".net-csharp", "double r = 1;"), (".net-csharp", "float r = 1f;"), (".net-csharp", "var r = 1d;")),
        *(("scala", "val r: Double = 1"), ("scala", "val r = 1D"), ("matlab", "r = 1;"), ("julia", "r::Float64 = 1")),
    ],
)
async def test_what_is_declared_to_have_a_point_gets_one(inspect: Inspector, kernel: str, line: str) -> None:
    (found,) = await inspect(parameters(line, kernel=kernel, language="of that kernel"))
    assert (found["type"], found["default"]) == ("float", 1)


async def test_notebooks_without_parameters_and_in_other_languages_have_none(inspect: Inspector) -> None:
    assert await inspect(notebook("x = 1")) == []
    assert await inspect(parameters("x = 1", kernel="odd", language="klingon")) == []


@pytest.mark.attack
@pytest.mark.parametrize(
    "source",
    [
        "x = " + " " * 40_000 + "#" + " #" * 20_000,
        "x" + "[" * 100_000 + " = 1",
        "x: " + "a " * 20_000 + "= 1",
        "\n".join(f"x{n} = '" + " #" * 900 for n in range(2_000)),
        "x = " + "(" * 50_000,
        "x = " + "-" * 50_000 + "1",
        "x = " + "9" * 40_000,
        "x = {" + "'a': [" * 5_000,
        "x = __import__('os').system('touch /tmp/never')",
        "__class__ = 1\nx.y = 2\n1 = 3\nlambda: 0 = 4",
        "x = '\ud800'",
        "\n".join(f"x{n} <- " + "'a' " * 450 for n in range(25)),
        "\n".join(f"x{n} <- '" + "\\\\" * 900 for n in range(25)),
        "\n".join(f"x{n} = " + " " * 1990 + '"' for n in range(25)),
    ],
)
@pytest.mark.parametrize(
    ("kernel", "language"), [("python3", "python"), ("ir", "R"), ("bash", "bash"), (".net-powershell", "pwsh")]
)
async def test_hostile_cells_take_no_time_and_run_nothing(
    inspect: Inspector, source: str, kernel: str, language: str
) -> None:
    began = time.monotonic()
    data = notebook(code(source, tags=["parameters"]), kernel=kernel, language=language)
    try:
        found = await inspect(data)
    except Invalid:
        found = []
    assert time.monotonic() - began < 20
    assert len(json.dumps(found)) < 1_000_000 and not Path("/tmp/never").exists()
    assert all(str(each["name"]).isidentifier() for each in found)


async def test_what_is_no_notebook_is_said(inspect: Inspector) -> None:
    for data in (b"", b"{}", b"[" * 100_000, b'{"nbformat": 4, "cells": 3}'):
        with pytest.raises(Invalid):
            await inspect(data)


async def test_a_process_that_hangs_or_is_none_is_said(tmp_path: Path) -> None:
    slow = tmp_path / "python"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    with pytest.raises(Invalid, match="too long"):
        await Inspector(slow, environ={"PATH": os.environ["PATH"]}, seconds=0.2)(b"{}")
    with pytest.raises(Unavailable):
        await Inspector(tmp_path / "none")(b"{}")
