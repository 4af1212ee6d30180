"""The data folder is made, taken again, and refused when it is not ours to take."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from hub_service.data_folder import FORMAT, ensure_folder
from vaas.errors import Invalid


def test_a_new_folder_is_made_with_its_parts(tmp_path: Path) -> None:
    ensure_folder(tmp_path / "a" / "data")
    assert {path.name for path in (tmp_path / "a" / "data").iterdir()} == {"logs", "run", "secrets", "vaas.json"}
    assert (tmp_path / "a" / "data" / "secrets").stat().st_mode & 0o077 == 0


def test_it_is_taken_again_as_it_is(tmp_path: Path) -> None:
    ensure_folder(tmp_path)
    (tmp_path / "content").mkdir()
    ensure_folder(tmp_path)
    assert (tmp_path / "content").is_dir()


def test_nobody_else_on_the_machine_may_look_into_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        ensure_folder(tmp_path / "new")
        (tmp_path / "old").mkdir(mode=0o777)
        ensure_folder(tmp_path / "old")
    finally:
        os.umask(before)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("new", "old")] == [0o700, 0o700]


def test_a_folder_that_is_refused_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    tmp_path.chmod(0o755)
    with pytest.raises(Invalid):
        ensure_folder(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_nothing_in_it_says_where_it_lies(tmp_path: Path) -> None:
    ensure_folder(tmp_path)
    assert all(str(tmp_path) not in path.read_text() for path in tmp_path.rglob("*") if path.is_file())


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(Invalid, match="holds other things"):
        ensure_folder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(Invalid, match="is a file"):
        ensure_folder(tmp_path / "data")


def test_a_folder_below_a_file_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Invalid, match="cannot be written"):
        ensure_folder(tmp_path / "file" / "data")


def test_a_folder_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    ensure_folder(tmp_path)
    (tmp_path / "vaas.json").write_text(json.dumps({"format": FORMAT + 1}))
    with pytest.raises(Invalid, match="newer VaaS"):
        ensure_folder(tmp_path)


def test_a_damaged_mark_is_named(tmp_path: Path) -> None:
    ensure_folder(tmp_path)
    (tmp_path / "vaas.json").write_text("")
    with pytest.raises(Invalid, match="vaas.json is damaged"):
        ensure_folder(tmp_path)
