"""What a kernel's process knows of the visit that it runs for, and which of that its notebook has asked for.

What a template asked for decides which visits may have a fork of it: :func:`vaas.facts.fits`.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from vaas.facts import ASPECTS, BASKET, EMPTY, PORTAL, QUERY, VISITOR, VISITOR_VARIABLE, Facts, Query, Way

__all__ = [
    "Beginning",
    "Hook",
    "Visitor",
    "asked",
    "begin",
    "begun",
    "facts",
    "handed",
    "hooked",
    "in_app",
    "install",
    "note",
    "on_visit",
    "visitor",
    "way",
]

#: As names come from os.environ and from os.environb.
_ASPECTS: dict[Any, str] = dict(ASPECTS) | {name.encode(): aspect for name, aspect in ASPECTS.items()}


class Visitor:
    """Who is looking, as far as the app may know. It cannot be changed, and holds nothing itself: reading it asks.

    So one that was taken in a template tells of the visit in each fork.
    """

    __slots__ = ()

    @property
    def name(self) -> str | None:
        """The signed-in visitor's name; None for nobody in particular, and for everybody unless the app may know."""
        note(VISITOR)
        return facts().name

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that the visitor is in, in alphabetical order; () unless the app may know."""
        note(VISITOR)
        return facts().groups

    @property
    def signed_in(self) -> bool:
        """Whether the app knows who it is."""
        return self.name is not None

    @property
    def query(self) -> Query:
        """The parameters of the address."""
        note(QUERY)
        try:
            return Query(facts().query)
        except ValueError:
            return Query("")

    def __repr__(self) -> str:
        return f"Visitor(name={self.name!r}, groups={self.groups!r}, query={self.query!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Visitor)  # a process has one

    def __hash__(self) -> int:
        return hash(Visitor)


Hook = TypeVar("Hook", bound=Callable[[Visitor], object])


@dataclass
class _Here:
    """This process: what it knows, what was asked of it, and who wants to hear when a visit begins."""

    #: None in a process that is no app's: what its environment says, as it says it.
    facts: Facts | None = None
    begun: bool = True
    asked: set[str] = field(default_factory=set)
    hooks: list[Callable[[Visitor], object]] = field(default_factory=list)


_here = _Here()


def note(aspect: str) -> None:
    """Keep that the notebook has asked for this."""
    _here.asked.add(aspect)


def asked() -> frozenset[str]:
    """Return what the notebook has asked for so far; who runs it cell by cell sees by it which cell did."""
    return frozenset(_here.asked)


def facts() -> Facts:
    """Return what is known, without asking for it."""
    return Facts.from_environ(os.environ) if _here.facts is None else _here.facts


def visitor() -> Visitor:
    """Return who is looking; what code reads of it counts as asked for."""
    return Visitor()


def begun() -> bool:
    """Tell whether there is a visit; a template's has not begun."""
    return _here.begun


def in_app() -> bool:
    """Tell whether this is the kernel of an app."""
    return _here.facts is not None


def way() -> Way | None:
    """Return how to ask the portal as the visitor, None where the app may not; it counts as asked for."""
    note(PORTAL)
    return facts().way


def handed() -> Way | None:
    """Return how to ask the portal for what the visitor handed over, None where that is nothing; it counts as asked."""
    note(BASKET)
    return facts().way


def on_visit(function: Hook) -> Hook:
    """Have the function called with the visitor when a visit begins; at once where it has begun already."""
    if _here.begun:
        function(visitor())
    else:
        _here.hooks.append(function)
    return function


def hooked() -> bool:
    """Tell whether a function waits for a visit to begin: the author opens again what a fork does not survive."""
    return bool(_here.hooks)


@dataclass(frozen=True)
class Beginning:
    """How a visit began: with what the author's functions failed, each as name and traceback, and how long they took.

    It is 0 seconds where there was none.
    """

    failed: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0


def begin(facts: Facts) -> Beginning:
    """Begin a visit in this process: know its facts, set its variables, call who asked to be called.

    Where a function fails, the others are called all the same.
    """
    _know(facts)
    _here.begun = True
    hooks, _here.hooks = _here.hooks, []
    began, failed = time.monotonic(), []
    for hook in hooks:
        try:
            hook(visitor())
        except Exception as error:
            failed.append((type(error).__name__, "".join(traceback.format_exception(error))))
    return Beginning(tuple(failed), time.monotonic() - began if hooks else 0.0)


def install(*, template: bool = False) -> None:
    """Know what the environment says, and notice who reads it from there; a template waits for :func:`begin`."""
    found = EMPTY if template else Facts.from_environ(os.environ)
    os.environ.pop(VISITOR_VARIABLE, None)
    _know(found)
    _here.begun = not template
    _watch(os.environ)
    _watch(os.environb)
    _here.asked.clear()


def _know(facts: Facts) -> None:
    """Take the facts on: variables of the visit before would tell of somebody else."""
    variables = facts.variables
    for name in [name for name in os.environ if name in _ASPECTS and name not in variables]:
        del os.environ[name]
    os.environ.update(variables)
    _here.facts = facts


if TYPE_CHECKING:
    _Environ = MutableMapping[Any, Any]
else:
    _Environ = type(os.environ)


class _Watched(_Environ):
    """The environment, noticing who reads a variable of the visit.

    Who copies all of it, as for another process, asks for nothing: a copy reads every variable in the order in
    which they are listed. Those of the visit are listed last, so that no single read looks like one.
    """

    #: What a copy that is under way reads next, the next one last.
    _due: list[Any] = []

    def __getitem__(self, name: Any) -> Any:
        if self._due and self._due[-1] == name:
            self._due.pop()
        else:
            self._due = []
            if name in _ASPECTS:
                note(_ASPECTS[name])
        return super().__getitem__(name)

    def __iter__(self) -> Iterator[Any]:
        names = list(super().__iter__())
        names.sort(key=_ASPECTS.__contains__)
        self._due = names[::-1]
        return iter(names)


def _watch(environ: Any) -> None:
    """Make this very object watched: others hold it already."""
    environ.__class__ = _Watched
