"""Locks: a text that names its environment, of which nothing is taken that we would not have written."""

from __future__ import annotations

from pathlib import Path

import pytest

from vaas.content import snapshot_of
from vaas.errors import Invalid
from vaas.locks import LOCK, Lock, Pin, digest_of, python_in, read_lock
from vaas.model import File

A, B = "a" * 64, "b" * 64
LOCKED = Lock("3.11", A, (Pin("tiny", "1.0", (B, A)), Pin("other", "2.0.post1", (A,))))


def test_a_lock_is_read_as_it_was_written() -> None:
    assert read_lock(LOCKED.text).text == LOCKED.text
    assert read_lock(LOCKED.text).packages == {"other": "2.0.post1", "tiny": "1.0"}
    assert (read_lock(LOCKED.text).python, read_lock(LOCKED.text).wanted) == ("3.11", A)


def test_its_name_is_what_is_in_it_and_nothing_else() -> None:
    again = Lock("3.11", A, (*reversed(LOCKED.pins),))
    assert again.digest == LOCKED.digest
    others = [Lock("3.12", A, LOCKED.pins), Lock("3.11", B, LOCKED.pins), Lock("3.11", A, LOCKED.pins[:1])]
    assert len({LOCKED.digest, *(lock.digest for lock in others)}) == 4


def test_a_snapshot_runs_in_the_environment_of_its_lock() -> None:
    files = [File("lesson.ipynb", A, 1), File(LOCK, B, 1)]
    assert digest_of(snapshot_of("lesson.ipynb", files)) == B
    assert digest_of(snapshot_of("lesson.ipynb", files[:1])) == ""
    assert digest_of(snapshot_of("lesson.ipynb", [files[0], File(f"data/{LOCK}", B, 1)])) == ""


@pytest.mark.attack
@pytest.mark.parametrize(
    "text",
    [
        "",
        "tiny==1.0 \\\n    --hash=sha256:" + A + "\n",
        LOCKED.text + "--index-url https://elsewhere.example/simple\n",
        LOCKED.text + "evil @ file:///etc/passwd\n",
        LOCKED.text + "-e .\n",
        LOCKED.text + "# also\n",
        LOCKED.text.replace("tiny==1.0", "tiny==1.0 --config-settings=x"),
        LOCKED.text.replace("tiny==1.0", "tiny>=1.0"),
        LOCKED.text.replace("tiny==1.0", "../tiny==1.0"),
        LOCKED.text.replace("3.11", "/bin/sh"),
        LOCKED.text.replace(f"    --hash=sha256:{A}", "    --hash=md5:aa", 1),
        LOCKED.text.replace("\n", "\r\n"),
        LOCKED.text * 2,
        "x" * 5_000_000,
    ],
)
def test_a_lock_that_we_would_not_have_written_is_none(text: str) -> None:
    with pytest.raises(Invalid):
        read_lock(text)


@pytest.mark.attack
def test_the_name_of_an_environment_leads_nowhere_else(tmp_path: Path) -> None:
    for folder in (tmp_path / A, tmp_path.parent / "outside", tmp_path / "x"):
        (folder / "bin").mkdir(parents=True, exist_ok=True)
        (folder / "bin" / "python").touch()
        folder.with_name(f"{folder.name}.json").touch()
    assert python_in(tmp_path, A) == tmp_path / A / "bin" / "python"
    for name in ("", "x", "../outside", f"../{tmp_path.name}/{A}", A.upper(), A + "\n", f"{A}/", B):
        assert python_in(tmp_path, name) is None
