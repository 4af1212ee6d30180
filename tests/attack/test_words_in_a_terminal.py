"""What a notebook's check says, which is whatever the notebook likes, in the terminal of who publishes it."""

from __future__ import annotations

import shlex

import pytest

from vaas.cli_publish import _print_closed, _print_opens, _print_report, _told

pytestmark = pytest.mark.attack
#: Names the window, moves up, and turns the direction of what follows.
ODD = "\x1b]0;pwned\x07\x1b[2A\x9b1m\u202eword"


def test_no_word_of_a_check_moves_the_terminal_of_who_publishes(capsys: pytest.CaptureFixture[str]) -> None:
    _print_report(
        {
            "ok": True,
            "problems": [{"kind": ODD, "text": ODD, "fix": ODD}],
            "errors": [{"cell": 1, "name": ODD, "message": ODD, "traceback": f"{ODD}\n{ODD}"}],
            "missing_files": [{"path": ODD, "cell": 1}],
            "hints": [{"kind": ODD, "text": ODD, "fix": ODD}],
            "addresses": [{"host": ODD, "how": "in the page", "cell": 1}],
            "secrets": [{"cell": 1, "kind": ODD, "file": ODD}],
        }
    )
    _print_opens({"mode": "cold", "why": [ODD]})
    said = capsys.readouterr()
    assert said.out.count("word") == 13 and said.err == ""
    assert all(letter.isprintable() or letter == "\n" for letter in said.out)
    assert _told({"stage": "running", "cell": 2, "cells": 5}) == "Checking: code cell 2 of 5"


@pytest.mark.parametrize("host", ["$(touch pwned)", "`id`.org", 'a.org" --access everyone "', "a.org;id", "a.org\nid"])
def test_no_host_of_a_check_is_a_command_in_the_line_that_is_copied(
    capsys: pytest.CaptureFixture[str], host: str
) -> None:
    found = [{"host": name, "how": "connects", "cell": 1} for name in (host, "data.example.org")]
    _print_closed({"addresses": found}, ["b.org"])
    line = capsys.readouterr().out.strip()
    assert shlex.split(line.partition("allow it: ")[2]) == ["--network", "b.org data.example.org"]
    assert "$" not in line and "`" not in line
    _print_closed({"addresses": found[:1]}, ["b.org"])
    assert capsys.readouterr().out == ""
