"""What a notebook asks for: what is taken of a stranger's file, and with which words the rest is refused."""

from __future__ import annotations

import time

import pytest

from vaas.errors import Invalid
from vaas.requirements import Requirements, read_requirements, requirements_path


def asked(text: str, *, path: str = "requirements.txt") -> list[str]:
    return [each.text for each in read_requirements(text.encode(), path=path).asked]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pandas", ["pandas"]),
        ("Pandas >= 2, < 3  # the newest", ["pandas>=2,<3"]),
        ("numpy (>=1.20)", ["numpy>=1.20"]),
        ("\tnumpy \t  >=  1.20", ["numpy>=1.20"]),
        ("scikit_learn[extra, more]~=1.5 ; python_version < '3.13'",
         ["scikit-learn[extra,more]~=1.5 ; python_version < '3.13'"]),
        ("# nothing\n\n   \n", []),
        ("tiny==1.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\nother", ["tiny==1.0", "other"]),
        ("\ufefftiny\r\nother\r\n", ["tiny", "other"]),
        ("a==1.*\nb===1.0-local\nc!=2", ["a==1.*", "b===1.0-local", "c!=2"]),
        # Ours is there anyway, and nobody else's takes its place.
        ("vaas==99\ntiny", ["tiny"]),
    ],
)  # fmt: skip
def test_packages_and_versions_are_taken(text: str, expected: list[str]) -> None:
    assert asked(text) == expected


def test_a_requirement_knows_its_line_and_its_name() -> None:
    found = read_requirements(b"# first\nScikit.Learn>1\n\ntiny\n", path="course/requirements.txt")
    assert [(each.name, each.line) for each in found.asked] == [("scikit-learn", 2), ("tiny", 4)]
    assert found.where("scikit_learn") == "Line 2 of requirements.txt (“scikit-learn>1”)"
    assert found.where("pandas") == ""


def test_the_dependencies_of_a_project_are_taken_and_nothing_of_it_is_run() -> None:
    text = '[project]\nname = "x"\nrequires-python = ">= 3.10"\ndependencies = ["pandas>2", "vaas"]\n'
    found = read_requirements(text.encode(), path="pyproject.toml")
    assert [each.text for each in found.asked] == ["pandas>2"] and found.python == ">= 3.10"
    assert found.where("pandas") == "pyproject.toml (“pandas>2”)"
    assert asked("[tool.ruff]\nline-length = 120\n", path="pyproject.toml") == []


@pytest.mark.parametrize(
    "text",
    [
        '[project]\ndynamic = ["dependencies"]',
        '[project]\ndependencies = "pandas"',
        "[project]\ndependencies = [1]",
        '[project]\ndependencies = ["x @ file:///etc/passwd"]',
        '[project]\ndependencies = []\nrequires-python = "$(id)"',
        "[project",
        "project = 3",
    ],
)
def test_a_project_that_says_it_otherwise_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="pyproject.toml"):
        asked(text, path="pyproject.toml")


def test_what_is_no_text_or_too_much_is_refused() -> None:
    for data in (b"\xff\xfe\x00", b"a" * 300_000, b"".join(b"p%d\n" % n for n in range(1_001))):
        with pytest.raises(Invalid, match=r"requirements\.txt"):
            read_requirements(data, path="requirements.txt")


def test_a_line_takes_no_longer_to_read_than_in_proportion_to_its_length() -> None:
    began = time.monotonic()
    for line in (
        "a" + " " * 190_000 + "!",
        "a[" + "," * 190_000,
        "x" * 190_000 + "@",
        "a;" + "(" * 190_000,
        "\\\n" * 90_000,
    ):
        with pytest.raises(Invalid):
            asked(line + "$")
    assert time.monotonic() - began < 2


def test_the_file_beside_the_notebook_counts_before_the_one_at_the_top() -> None:
    paths = {"requirements.txt", "course/pyproject.toml", "course/lesson.ipynb", "lesson.ipynb"}
    assert requirements_path(paths, "course/lesson.ipynb") == "course/pyproject.toml"
    assert requirements_path(paths, "lesson.ipynb") == "requirements.txt"
    assert requirements_path(paths - {"requirements.txt"}, "lesson.ipynb") == ""


def test_the_digest_is_of_what_is_asked_and_of_what_is_added() -> None:
    one, same, other = (read_requirements(text, path="requirements.txt") for text in (b"a\nb", b"b # x\na", b"a"))
    assert one.digest("core==1") == same.digest("core==1")
    assert len({each.digest(core) for each in (one, other) for core in ("core==1", "core==2")}) == 4
    assert Requirements("p", one.asked, ">=3").digest() != one.digest()
