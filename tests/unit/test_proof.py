"""What takes defences out: it says which are proven, keeps that, and its environments import the copied code."""

from __future__ import annotations

import subprocess
import sys
import venv
from dataclasses import replace
from pathlib import Path

import pytest

from tests.attack.proof import Defence, Edit, Record, controls, tried, unproven
from tests.attack.workshop import NotRun, Workshop, environment

TEST = "tests/test_door.py::test_it_is_shut"
DOOR = Defence("the door", (Edit("vaas/door.py", "shut = True", "shut = False"),), (TEST,))


class Small(Workshop):
    """A workshop without environments, in which a door has one test."""

    def __init__(
        self, folder: Path, *, test: str = "from vaas.door import shut\ndef test_it_is_shut(): assert shut"
    ) -> None:
        self.folder, self.code, self._whole = folder, folder / "code", folder / "whole"
        for name, text in {"vaas/__init__.py": "", "vaas/door.py": "shut = True", "tests/test_door.py": test}.items():
            (self._whole / name).parent.mkdir(exist_ok=True, parents=True)
            (self._whole / name).write_text(text)
        (self._whole / "hub_service").mkdir()

    def _program(self, name: str) -> Path:
        return Path(sys.executable)


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return Record(tmp_path / "results" / "record.json")


def test_a_defence_is_proven_by_an_attack_that_gets_through(tmp_path: Path, record: Record) -> None:
    assert tried(DOOR, workshop=Small(tmp_path / "0"), record=record)


def test_an_attack_that_is_held_out_proves_nothing(
    tmp_path: Path, record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    idle = replace(DOOR, edits=(Edit("vaas/door.py", "shut = True", "shut = 1"),))
    assert not tried(idle, workshop=Small(tmp_path / "0"), record=record)
    assert "HELD OUT     test_it_is_shut" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("test", "said"),
    [
        ("import pytest\ndef test_it_is_shut(): pytest.skip('no key')", "skipped      test_it_is_shut"),
        ("def test_it_is_shut(no_such_fixture): pass", "error        test_it_is_shut"),
        ("def test_another(): pass", "missing      test_it_is_shut"),
        ("import nothing_of_this_name", "missing      test_it_is_shut"),
    ],
)
def test_a_test_that_attacks_nothing_proves_nothing(
    tmp_path: Path, record: Record, capsys: pytest.CaptureFixture[str], test: str, said: str
) -> None:
    for defence in (DOOR, *controls([DOOR])):
        assert not tried(defence, workshop=Small(tmp_path / defence.name[:3], test=test), record=record)
        assert said in capsys.readouterr().out


def test_a_defence_that_is_not_where_the_table_says_is_named(
    tmp_path: Path, record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = replace(DOOR, edits=(Edit("vaas/door.py", "locked = True", ""),))
    assert not tried(gone, workshop=Small(tmp_path / "0"), record=record)
    assert "vaas/door.py holds this 0 times: locked = True" in capsys.readouterr().out


def test_what_does_not_end_is_killed_and_named(
    tmp_path: Path, record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    endless = "import threading\ndef test_it_is_shut(): threading.Event().wait()"
    place = Small(tmp_path / "0", test=endless)
    place.patience, place.patience_each = 0, 0
    assert not tried(DOOR, workshop=place, record=record)
    assert "HUNG" in capsys.readouterr().out


def test_with_all_defences_no_attack_may_get_through(tmp_path: Path, record: Record) -> None:
    (control,) = controls([DOOR, DOOR])
    assert control.tests == (TEST,)
    assert tried(control, workshop=Small(tmp_path / "0"), record=record)
    open_ = "def test_it_is_shut(): assert False"
    assert not tried(control, workshop=Small(tmp_path / "1", test=open_), record=record)


def test_what_is_proven_is_kept_until_something_of_it_is_another(tmp_path: Path) -> None:
    place, path = Small(tmp_path / "0"), tmp_path / "record.json"
    root = place.renew()
    assert unproven([DOOR], [place], Record(path, root=root)) == []
    place.renew()
    assert Record(path, root=root).holds(DOOR)
    assert not Record(path, root=root).holds(replace(DOOR, tests=(TEST, TEST)))
    (root / "vaas" / "door.py").write_text("shut = True  # and locked")
    assert not Record(path, root=root).holds(DOOR)
    place.renew()
    (root / "tests" / "test_door.py").write_text("def test_it_is_shut(): pass")
    assert not Record(path, root=root).holds(DOOR)


def test_what_is_not_proven_is_not_kept(tmp_path: Path) -> None:
    place, path = Small(tmp_path / "0", test="def test_it_is_shut(): pass"), tmp_path / "record.json"
    root = place.renew()
    assert unproven([DOOR], [place], Record(path, root=root)) == [DOOR]
    assert not Record(path, root=root).holds(DOOR)


@pytest.mark.parametrize("link", [False, True])
def test_an_environment_imports_the_copy_and_the_real_one_stays_as_it_is(tmp_path: Path, link: bool) -> None:
    real, place, code = tmp_path / "real", tmp_path / "place", tmp_path / "code"
    venv.create(real, symlinks=True)
    (packages,) = real.glob("lib/python3*/site-packages")
    for root in (tmp_path / "original", code):
        (root / "vaas").mkdir(parents=True)
        (root / "vaas" / "__init__.py").touch()
    (packages / "__editable__.vaas-1.pth").write_text(f"{tmp_path / 'original'}\n")
    script = real / "bin" / "where"
    script.write_text(f"#!{real}/bin/python\nimport vaas; print(vaas.__file__)\n")
    script.chmod(0o755)
    environment(real, place, code=code, link=link)

    def where(folder: Path) -> str:
        return subprocess.run([folder / "bin" / "where"], env={}, capture_output=True, text=True, check=True).stdout

    assert where(place) == f"{code}/vaas/__init__.py\n"
    assert where(real) == f"{tmp_path}/original/vaas/__init__.py\n"


def test_a_workshop_whose_environments_import_other_code_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotRun, match="imports other code than the copy"):
        Small(tmp_path / "0").see_that_the_copy_is_imported()
