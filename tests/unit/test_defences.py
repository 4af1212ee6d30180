"""The table of defences is complete: every attack has one that it fails without, and each can still be taken out."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attack.proof import Defence, read

ROOT = Path(__file__).parents[2]
ALL = read()


def attacks() -> Iterator[str]:
    """Yield the tests of every module that is marked as an attack, by the source alone."""
    for path in sorted([*(ROOT / "tests" / "attack").glob("test_*.py"), *(ROOT / "e2e").glob("test_*.py")]):
        tree = ast.parse(path.read_text())
        whole = any(isinstance(node, ast.Assign) and "mark.attack" in ast.unparse(node) for node in tree.body)
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                marks = [ast.unparse(mark) for mark in node.decorator_list]
                expected = any("xfail" in mark for mark in marks)
                if (whole or any("mark.attack" in mark for mark in marks)) and not expected:
                    yield f"{path.relative_to(ROOT)}::{node.name}"


@pytest.mark.parametrize("defence", ALL, ids=lambda defence: defence.name)
def test_it_can_be_taken_out(defence: Defence) -> None:
    assert defence.edits
    for edit in defence.edits:
        assert edit.count(ROOT) == 1, f"{edit.file} holds this {edit.count(ROOT)} times: {edit.find}"
        assert edit.find != edit.replace


def test_every_attack_has_a_defence_that_it_fails_without() -> None:
    named = {test.partition("[")[0] for defence in ALL for test in defence.tests}
    assert named == set(attacks())


def test_no_defence_stands_twice() -> None:
    assert len({defence.name for defence in ALL}) == len(ALL)
