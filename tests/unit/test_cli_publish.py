"""`vaas publish`: what it sends, and what it says when there is nothing sensible to send."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from tests.notebooks import write_notebook
from vaas.cli_publish import _told, add_publish, run_publish


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    add_publish(parser)
    # Port 9 answers nobody: whatever gets so far fails as well, but in other words.
    return run_publish(parser.parse_args([*words, "--url", "http://127.0.0.1:9/services/vaas/"]))


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAAS_TOKEN", "secret")


@pytest.mark.parametrize("missing", ["none.ipynb", "none"])
def test_a_path_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], missing: str) -> None:
    assert run(str(tmp_path / missing)) == 2
    assert missing in capsys.readouterr().err


def test_what_is_included_has_to_be_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lesson = write_notebook(tmp_path / "lesson.ipynb", "x")
    assert run(str(lesson), "--include", str(tmp_path / "waves.csv")) == 2
    assert "waves.csv" in capsys.readouterr().err


def test_what_is_included_lies_beside_the_notebook(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lesson = write_notebook(tmp_path / "course" / "lesson.ipynb", "x")
    (tmp_path / "outside.csv").write_text("1")
    (tmp_path / "course" / "link.csv").symlink_to(tmp_path / "outside.csv")
    for include in (tmp_path / "outside.csv", tmp_path / "course" / "link.csv"):
        assert run(str(lesson), "--include", str(include)) == 2
        said = capsys.readouterr().err
        assert include.name in said and "Traceback" not in said


def test_what_says_which_packages_a_notebook_needs_is_sent_along(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lesson = write_notebook(tmp_path / "course" / "lesson.ipynb", "x")
    (tmp_path / "secret").write_text("x")
    (tmp_path / "course" / "requirements.txt").write_text("tiny")
    (tmp_path / "course" / "pyproject.toml").symlink_to(tmp_path / "secret")
    run(str(lesson))
    assert capsys.readouterr().out == "Sending 2 files…\n"


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        ({}, "Checking…"),
        ({"stage": "environment", "text": "Making its environment: fetching 3 packages"},
         "Making its environment: fetching 3 packages…"),
        ({"stage": "running", "cell": 2, "cells": 5}, "Checking: code cell 2 of 5"),
    ],
)  # fmt: skip
def test_how_far_a_check_is_is_one_line(progress: dict[str, Any], line: str) -> None:
    assert _told(progress) == line


@pytest.mark.parametrize("network", ["https://example.org/data", "all example.org", "example.org:0"])
def test_what_is_no_host_is_said_before_anything_is_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], network: str
) -> None:
    assert run(str(write_notebook(tmp_path / "lesson.ipynb", "x")), "--network", network) == 2
    said = capsys.readouterr()
    assert said.out == "" and "example.org" in said.err or "all" in said.err


@pytest.mark.parametrize(("option", "value"), [("--access", "foo"), ("--slug", "Bad Slug!")])
def test_what_cannot_be_published_is_said_before_anything_is_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    assert run(str(write_notebook(tmp_path / "lesson.ipynb", "x")), option, value) == 2
    said = capsys.readouterr()
    assert said.out == "" and ("“foo” is nobody" in said.err or "small letters" in said.err)


def test_a_token_file_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lesson = write_notebook(tmp_path / "lesson.ipynb", "x")
    assert run(str(lesson), "--token-file", str(tmp_path / "none")) == 2
    assert capsys.readouterr().err == (
        f"vaas publish: The file of the token, {tmp_path / 'none'}, cannot be read: No such file or directory.\n"
    )


def test_another_kind_of_file_is_no_notebook(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("x")
    assert run(str(tmp_path / "notes.txt")) == 2
    assert "notes.txt" in capsys.readouterr().err


def test_without_a_token_it_says_where_to_get_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VAAS_TOKEN")
    assert run(str(write_notebook(tmp_path / "lesson.ipynb", "x"))) == 2
    assert "/hub/token" in capsys.readouterr().err


def test_a_portal_that_does_not_answer_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(write_notebook(tmp_path / "lesson.ipynb", "x"))) == 2
    said = capsys.readouterr().err
    assert said.startswith("vaas publish: ") and said.count("\n") == 1
