"""The modules that a notebook needs and that are not there, and what its author can do about it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from vaas.notebook import Notebook
from vaas.packages import package_of
from vaas.runtime.outputs import Outcome
from vaas.runtime.python import KernelPython

__all__ = ["MAKES", "missing_modules"]

#: The variable that says whether the portal makes environments: “on”, or it does not.
MAKES = "VAAS_ENVIRONMENTS"
_MOST_NAMED = 12


def missing_modules(
    notebook: Notebook,
    outcome: Outcome,
    *,
    folder: Path,
    cwd: Path,
    python: KernelPython,
    environ: Mapping[str, str] = os.environ,
) -> list[dict[str, str]]:
    """Return a problem for each module that is not there.

    Parameters
    ----------
    folder, cwd:
        Of the version's files and of the notebook, in which its own modules may be.
    python:
        The Python in which it runs.
    """
    named = _in_errors(outcome) if python.title else _wanted(notebook, outcome)
    wanted = {module: cell for module, cell in named.items() if not _is_local(module, folder, cwd)}
    problems = []
    for module, cell in wanted.items():
        if not python.title and not python.is_missing(module):
            continue
        package = package_of(module)
        told = f"“{module}”" if package == module else f"“{module}” (package {package})"
        where, fix = _words(python, package, wanted, makes=environ.get(MAKES) == "on")
        text = f"Cell {cell} needs the module {told}, which is {where}."
        fix += f", or add {module}.py if it is a file of your own."
        problems.append({"kind": "module", "text": text, "fix": fix})
    return problems


def _words(python: KernelPython, package: str, wanted: Mapping[str, int], *, makes: bool) -> tuple[str, str]:
    """Return where a package is not, and what can be done."""
    if python.title:
        more = ", or give it packages of its own by a requirements.txt that names all that it imports" * makes
        return f"not in “{python.title}”", f"Choose another environment{more}"
    if python.made is not None:
        return "not in its environment", f"Add “{package}” to what the notebook asks for"
    if makes:
        return "not installed where apps run", _asking(wanted)
    return "not installed where apps run", f"Ask for “{package}” to be installed"


def _asking(wanted: Mapping[str, int]) -> str:
    """Say what to write into a requirements.txt, which then has to name all that is imported."""
    named = sorted({package_of(module) for module in wanted if not _is_standard(module)}, key=str.lower)
    more = " and what else it imports" if len(named) > _MOST_NAMED else ""
    lines = "one line" if len(named) == 1 else f"{len(named)} lines"
    return f"Put a file requirements.txt beside it with {lines}: {', '.join(named[:_MOST_NAMED])}{more}"


def _is_standard(module: str) -> bool:
    return not KernelPython(made=Path(os.devnull)).is_missing(module)


def _wanted(notebook: Notebook, outcome: Outcome) -> dict[str, int]:
    """Return the modules that it imports, each with the first cell that does."""
    wanted: dict[str, int] = {}
    for cell, source in notebook.sources.items():
        wanted.update({module: cell for module in sorted(source.imports) if module not in wanted})
    # A local module or a library may need what the notebook does not name.
    return wanted | {module: cell for module, cell in _in_errors(outcome).items() if module not in wanted}


def _in_errors(outcome: Outcome) -> dict[str, int]:
    """Return the modules that were not found when it ran, each with the first cell that said so."""
    found = dict[str, int]()
    for error in outcome.errors:
        name = re.match(r"No module named '(\w+)'$", error["message"])
        if error["name"] == "ModuleNotFoundError" and name:
            found.setdefault(name[1], error["cell"])
    return found


def _is_local(module: str, folder: Path, cwd: Path) -> bool:
    names = (f"{module}.py", f"{module}.so", module)
    if any((place / name).exists() for place in (cwd, folder) for name in names):
        return True
    # What lies deeper is reached when the notebook extends sys.path.
    return next(folder.rglob(f"{module}.py"), None) is not None or (next(folder.rglob(f"{module}/__init__.py"), None)
                                                                    is not None)  # fmt: skip
