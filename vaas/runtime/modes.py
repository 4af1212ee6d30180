"""How an app opens, *instant*, *warm* or *cold*, and in words for its author why, and how to get better."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Mode", "Verdict", "advice"]

#: "instant": each visit is a fork of a kernel that ran the notebook. "warm": it gets such a kernel for itself, of a few
#: that are kept ready. "cold": the notebook runs when somebody comes. "preparing": it is not known yet.
Mode = Literal["instant", "warm", "cold", "preparing"]

#: So many files and bytes are copied for each fork; with more, it would no longer be instant.
_MOST_FILES, _MOST_BYTES = 500, 50_000_000
#: Without a sandbox a fork has another folder than its template, so what lies there cannot be found again.
_OWN_FILES = 0
_MOST_SAID = 10
_LONGEST = 200

#: kind of hindrance → what its author can do.
_ADVICE: Mapping[str, str] = {
    "threads": "Start threads in a callback, or in a function that is given to vaas.on_visit().",
    "polars": "Import polars in a callback, or in a function that is given to vaas.on_visit(), not before.",
    "tasks": "Start tasks and timers in a callback, or in a function that is given to vaas.on_visit().",
    "processes": "Wait for processes to end (joblib: n_jobs=1), or start them in a callback.",
    "connections": "Close connections after use, or open them in a function that is given to vaas.on_visit().",
    "databases": "Close it, and open it in a function that is given to vaas.on_visit().",
    "files": "Close files after writing (with open(…) as file), or open them in a function that is given to "
    "vaas.on_visit().",
    "memory": "Read files into memory instead of mapping them for writing.",
    "devices": "Use the graphics processor in callbacks only.",
    "kernel": "Notebooks in the Python of this site open at once.",
    "space": "Keep large data in variables instead of in temporary files.",
}
#: What a function of the author's that is given to ``vaas.on_visit`` makes good.
_MADE_GOOD = frozenset({"connections", "databases", "files"})


@dataclass(frozen=True)
class Verdict:
    """What stands in the way of forks: (kind, what was found) each; nothing: they may be made."""

    hindrances: tuple[tuple[str, str], ...] = ()
    #: Whether something of the author's runs when a visit begins.
    hooked: bool = False

    @classmethod
    def of(cls, said: Mapping[str, Any], *, sandboxed: bool) -> Verdict:
        """Return the verdict on what a frozen kernel says of itself."""
        told = Counter((str(each["kind"]), str(each["text"])[:_LONGEST]) for each in said["hindrances"])
        found = [(kind, text if times == 1 else f"{text} ({times} times)") for (kind, text), times in told.items()]
        found = found[:_MOST_SAID]
        if said["hooked"]:
            found = [each for each in found if each[0] not in _MADE_GOOD]
        files, size = said["kept"]
        if files > (_MOST_FILES if sandboxed else _OWN_FILES) or size > _MOST_BYTES:
            much = f"{size / 1e6:.1f} MB in temporary files" if size > _MOST_BYTES else f"{files} temporary files"
            found.append(("space", f"the notebook keeps {much}"))
        return cls(tuple(found), bool(said["hooked"]))

    @classmethod
    def of_another_kernel(cls, name: str) -> Verdict:
        """Return the verdict on a kernel that is none of ours."""
        return cls((("kernel", f"the notebook runs in the kernel “{name[:_LONGEST]}”, which cannot be copied"),))


def advice(hindrances: Iterable[tuple[str, str]]) -> list[str]:
    """Return sentences for the author: what was found, and what to do about each kind."""
    said = []
    for kind in dict.fromkeys(kind for kind, _ in hindrances):
        texts = [text for each, text in hindrances if each == kind]
        said.append(f"{'; '.join(texts)}. {_ADVICE.get(kind, '')}".strip())
    return [line[:1].upper() + line[1:] for line in said]
