"""What a notebook says that it needs, in a ``requirements.txt`` or ``pyproject.toml`` beside it: names and versions.

It comes from a stranger and is handed to an installer, so only packages of the site's index can be named: no option, no
other file, address or folder. All else is refused with its line.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from posixpath import dirname, join

from vaas.errors import Invalid
from vaas.packages import normal
from vaas.prose import clean_text

__all__ = ["FILES", "Requirement", "Requirements", "read_requirements", "requirements_path"]

#: The files that say it, the first that is there counts.
FILES = ("requirements.txt", "pyproject.toml")
#: Ours, which every environment has: nobody else's package of this name.
OURS = frozenset({"vaas"})
_REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?) ?"
    r"(?P<extras>\[[A-Za-z0-9._, -]{0,300}\])? ?"
    r"(?P<versions>\(?[<>=!~][<>=!~, A-Za-z0-9.*+!_-]{0,300}\)?)? ?"
    r"(?P<marker>; ?\(?(?:python|os|sys|platform|implementation|extra)[a-z_]* ?(?:[<>=!~]|in |not in )"
    r"[A-Za-z0-9_ .'\"<>=!~()-]{1,500})?"
)
_HASHES = re.compile(r" --hash[= ]\S+")
_COMMENT = re.compile(r"(?:^|\s)#.*$")
#: Of one file: bytes and requirements.
_MOST_BYTES, _MOST = 200_000, 1_000
_MOST_LINE = 1_000
#: How a refused line begins or what is in it → why it is refused.
_REFUSED = (
    (re.compile(r"-(?:r|c|-requirement|-constraint)\b", re.I), "names another file. Write its lines here instead"),
    (re.compile(r"-(?:e|-editable)\b", re.I), "asks for a folder. Name a package and its version instead"),
    (re.compile(r"-"), "is an option, and only packages count here. Take it out"),
    (re.compile(r".*(?:://|@|\bfile:|\bgit\+)"), "names an address or a file. Name a package and its version instead"),
    (re.compile(r"[./~\\]|.*[/\\]|.*\.(?:whl|zip|gz)$"), "names a file. Name a package and its version instead"),
)


@dataclass(frozen=True)
class Requirement:
    """One line: the package's name as indexes compare it, what is asked of it, and where that stands."""

    name: str
    text: str
    line: int


@dataclass(frozen=True)
class Requirements:
    """What is asked for in one file; ``python`` is which Python it is for, as the file writes it, or ""."""

    path: str
    asked: tuple[Requirement, ...]
    python: str = ""

    @property
    def file(self) -> str:
        """The file's name."""
        return self.path.rpartition("/")[2]

    def digest(self, *also: str) -> str:
        """Return what is another one when something else is asked for, or ``also`` is something else."""
        said = [sorted(each.text for each in self.asked), self.python, list(also)]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()

    def where(self, name: str) -> str:
        """Return where that package is asked for, in words; "" if it is not."""
        found = [each for each in self.asked if each.name == normal(name)]
        places = (f"line {each.line} of {self.file}" if each.line else self.file for each in found)
        said = ", ".join(f"{place} (“{each.text}”)" for place, each in zip(places, found, strict=True))
        return f"L{said[1:]}" if said.startswith("line ") else said


def requirements_path(paths: Collection[str], notebook: str) -> str:
    """Return which of the paths says what the notebook needs: beside it, else at the top; "" if none does."""
    places = dict.fromkeys((dirname(notebook), ""))
    wanted = (join(place, name) for place in places for name in FILES)
    return next((path for path in wanted if path in paths), "")


def read_requirements(data: bytes, *, path: str) -> Requirements:
    """Return what the file asks for; nothing of a ``pyproject.toml`` without dependencies.

    Raises
    ------
    Invalid
        It cannot be read, or asks for what is not taken; the message names the line.
    """
    file = path.rpartition("/")[2]
    if len(data) > _MOST_BYTES:
        raise Invalid(f"{file} is larger than {_MOST_BYTES // 1000} kB. Name only what the notebook imports.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Invalid(f"{file} is no text in UTF-8. Save it as one.") from error
    lines, python = _of_project(text, file=file) if file.endswith(".toml") else (_lines(text), "")
    asked = [found for number, line in lines if (found := _requirement(line, number, file=file)) is not None]
    if len(asked) > _MOST:
        raise Invalid(f"{file} asks for more than {_MOST} packages. Name only what the notebook imports.")
    return Requirements(path, tuple(asked), python)


def _lines(text: str) -> Iterable[tuple[int, str]]:
    """Yield the lines that say something, those that go on put together, with their numbers."""
    waiting, first = "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        first = first if waiting else number
        if line.endswith("\\"):
            waiting += line[:-1] + " "
            continue
        whole = _COMMENT.sub("", waiting + line).strip()
        waiting = ""
        if whole:
            yield first, whole
    if last := _COMMENT.sub("", waiting).strip():
        yield first, last


def _of_project(text: str, *, file: str) -> tuple[Iterable[tuple[int, str]], str]:
    """Return the dependencies of a project, and the Python that it is for; nothing of it is ever built."""
    try:
        project = tomllib.loads(text).get("project", {})
        asked, python = project.get("dependencies", []), project.get("requires-python", "")
        dynamic = project.get("dynamic", [])
    except (tomllib.TOMLDecodeError, AttributeError, RecursionError) as error:
        raise Invalid(f"{file} cannot be read: {str(error)[:200]}.") from error
    if "dependencies" in dynamic:
        raise Invalid(f"{file} has its dependencies made by a program, which is not run here. List them in it.")
    usable = isinstance(asked, list) and all(isinstance(each, str) for each in asked) and isinstance(python, str)
    if not usable or not re.fullmatch(r"[<>=!~,\s0-9.*]{0,100}", python):
        raise Invalid(f"“dependencies” in {file} is no list of packages, or “requires-python” no version.")
    return [(0, line.strip()) for line in asked if line.strip()], " ".join(python.split())


def _requirement(line: str, number: int, *, file: str) -> Requirement | None:
    """Return what the line asks for; None for what is there anyway."""
    # Hashes are ours to say: of what the site's index has now.
    text = _HASHES.sub("", " ".join(line.split()))
    found = _REQUIREMENT.fullmatch(text) if len(text) <= _MOST_LINE else None
    if found is None:
        place = f"Line {number} of {file}" if number else file
        why = next((why for begins, why in _REFUSED if begins.match(text)), "cannot be read. Write it like “pandas>=2”")
        raise Invalid(f"{place} (“{clean_text(text[:80])}”) {why}.")
    name = normal(found["name"])
    if name in OURS:
        return None
    extras, versions = "".join((found["extras"] or "").split()), "".join((found["versions"] or "").strip("()").split())
    marker = f" ; {found['marker'].lstrip('; ')}" if found["marker"] else ""
    return Requirement(name, f"{name}{extras}{versions}{marker}".strip(), number)
