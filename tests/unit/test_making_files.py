"""The folders of environments: what may stay in them, how large they are, and which go."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vaas.environments import files
from vaas.environments.base import Made
from vaas.environments.explaining import explain
from vaas.errors import Invalid, StorageFull, TooLarge, Unavailable
from vaas.requirements import read_requirements

ASKED = read_requirements(b"pandas>=2,<3\nnumpy<1.20\ntiny", path="requirements.txt")


def environment(folder: Path, name: str, *, last: float, size: int = 1000) -> str:
    digest = name * 64
    (folder / digest / "bin").mkdir(parents=True)
    (folder / digest / "data").write_bytes(b"x" * size)
    files.note(folder, Made(digest, "3.11", size))
    os.utime(folder / f"{digest}.json", (last, last))
    return digest


def test_what_was_not_used_for_long_goes_and_what_is_kept_stays(tmp_path: Path) -> None:
    old, kept, new = (environment(tmp_path, name, last=last) for name, last in (("a", 10), ("b", 10), ("c", 100)))
    assert files.clear(tmp_path, keep={kept}, older=50, most=10**9) == 1
    assert not (tmp_path / old).exists() and files.noted(tmp_path, old) is None
    assert files.noted(tmp_path, kept) == Made(kept, "3.11", 1000) and (tmp_path / new).exists()


def test_where_there_is_too_much_the_oldest_go_first_and_what_was_fetched_last(tmp_path: Path) -> None:
    (tmp_path / files.CACHE).mkdir(parents=True)
    (tmp_path / files.CACHE / "wheel").write_bytes(b"x" * 3000)
    first, second, kept = (environment(tmp_path, name, last=last) for name, last in (("a", 90), ("b", 95), ("c", 1)))
    assert files.clear(tmp_path, keep={kept}, older=50, most=5600) == 1
    assert not (tmp_path / first).exists() and (tmp_path / second).exists() and (tmp_path / files.CACHE).exists()
    assert files.clear(tmp_path, keep={kept}, older=50, most=10) == 1
    assert (tmp_path / kept).exists() and not (tmp_path / files.CACHE).exists()


def test_what_a_portal_left_half_made_goes_after_a_day(tmp_path: Path) -> None:
    new, left = (tmp_path / files.WORKSHOP / name for name in ("0a", "0b"))
    for folder in (new, left, tmp_path / files.CACHE):
        folder.mkdir(parents=True, exist_ok=True)
    for folder in (left, tmp_path / files.CACHE):
        os.utime(folder, (1, 1))
    assert files.clear(tmp_path, keep=(), older=50, most=10**9) == 0
    assert sorted(path.name for path in (tmp_path / files.WORKSHOP).iterdir()) == ["0a", "cache"]


def test_what_is_there_by_two_names_counts_once(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"x" * 1000)
    os.link(tmp_path / "one", tmp_path / "two")
    assert files.size_of(tmp_path) == 1000
    assert files.size_of(tmp_path, since=(tmp_path / "one").stat().st_ctime + 10) == 0


def test_everybody_may_read_a_new_environment(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir(mode=0o700)
    (tmp_path / "lib" / "tiny.py").write_text("x")
    (tmp_path / "lib" / "tiny.py").chmod(0o600)
    assert files.look_over(tmp_path) == 1
    assert (tmp_path / "lib").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "lib" / "tiny.py").stat().st_mode & 0o777 == 0o644


@pytest.mark.attack
def test_what_leads_out_of_an_environment_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / "share").mkdir()
    (tmp_path / "inside").write_text("x")
    (tmp_path / "share" / "fine").symlink_to("../inside")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to("/usr/bin/python3")
    files.look_over(tmp_path)
    (tmp_path / "share" / "secrets").symlink_to("/etc")
    with pytest.raises(Invalid, match="secrets"):
        files.look_over(tmp_path)
    (tmp_path / "share" / "secrets").unlink()
    (tmp_path / "share" / "bin").mkdir()
    (tmp_path / "share" / "bin" / "hidden").symlink_to("/etc")
    with pytest.raises(Invalid, match="hidden"):
        files.look_over(tmp_path)
    (tmp_path / "share" / "bin" / "hidden").unlink()
    os.mkfifo(tmp_path / "share" / "pipe")
    with pytest.raises(Invalid, match="pipe"):
        files.look_over(tmp_path)


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        ("error: failed\n  cause: error sending request for url (http://x/simple/)", Unavailable, "does not answer"),
        ("error: Failed to write: No space left on device (os error 28)", StorageFull, "disk is full"),
        ("error: File too large (os error 27)", TooLarge, "larger than this site"),
        ("error: Hash mismatch for `tiny==1.0`", Invalid, "not what it was when it was locked"),
        ("thread 'main' panicked at https://user:password@index/", Unavailable, "could not be made"),
        (
            "error: No solution found\n  cause: Because antlr4==4.9.3 has no usable wheels and tiny depends on it, we "
            "can conclude that your requirements are unsatisfiable.\n\nhint: Wheels are required for `antlr4` because",
            Invalid,
            "requirements.txt leads to “antlr4”: “antlr4” is not there ready-made",
        ),
        (
            "error: No solution found\n  cause: Because pandas depends on numpy>=1.21\n         And because you "
            "require pandas>=2,<3 and numpy<1.20, we can conclude that your requirements are unsatisfiable.",
            Invalid,
            "line 1 of requirements.txt (“pandas>=2,<3”), line 2 of requirements.txt (“numpy<1.20”). Because pandas "
            "depends on numpy>=1.21 And because pandas>=2,<3 and numpy<1.20 was asked for, that cannot be.",
        ),
    ],
)  # fmt: skip
def test_what_the_installer_says_is_put_plainly(said: str, kind: type[Exception], words: str) -> None:
    found = explain(said, ASKED, core=("ipykernel",))
    assert type(found) is kind and words in found.message, found.message
    assert "password" not in found.message + found.log_message and "unsatisfiable" not in found.message
