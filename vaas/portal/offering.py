"""What fits: what an app, a notebook or a basket needs against what the site offers, the best first."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vaas.content import Content
from vaas.errors import Forbidden, Invalid, Unavailable, VaasError
from vaas.keeping import Thing
from vaas.launching import Environment, Facility, Offering
from vaas.model import Snapshot, User
from vaas.notebook import Notebook, parse
from vaas.packages import normal, package_of
from vaas.portal.choices import Choice
from vaas.portal.things import Held
from vaas.readers import format_of, name_of, way_to, ways
from vaas.served import read_served, served_file
from vaas.source import read_python

__all__ = [
    "CONTAINERS",
    "ELSEWHERE",
    "Needs",
    "choices",
    "chosen",
    "closed",
    "lacking",
    "modules_in",
    "needs_of",
    "needs_of_snapshot",
    "stands_against",
    "suggested",
    "unread",
    "working_on",
]

#: Where data lies that lies in no store of ours.
ELSEWHERE = "elsewhere"
#: The kinds of facilities at which containers run.
CONTAINERS = ("docker", "kubernetes")
#: The kind of environments that are an app's own, and of those that are of containers.
_OWN, _IMAGE = "lock", "image"
#: What is chosen, as people call it.
_ASKED = {"facility": "place", "environment": "environment", "size": "size"}
#: What can be imported where there is no GPU as well is not among them.
_GPU = frozenset({"cudf", "cugraph", "cuml", "cupy", "cupyx", "cuspatial", "pycuda", "tensorrt", "triton"})
#: Bytes of modules that are read for what they import.
_MOST_OWN = 2_000_000
#: What counts as missing where nobody knows: more than nothing, less than one that is known to be.
_PERHAPS = 0.5


@dataclass(frozen=True)
class Needs:
    """What something needs to run.

    Parameters
    ----------
    language:
        The notebook's; "" where there is none, so that any will do.
    modules, optional:
        What its code imports, by top-level names: what must be there, and what it can do without. Neither what is of
        the language itself nor modules of its own.
    data:
        Where what it works on lies, "home", "shared" or "elsewhere", and how many bytes.
    unsized:
        Where something of it lies of which nobody knows how large it is.
    memory:
        How many bytes it took when it was run for its check; 0: that is not known.
    environment:
        The id of the site's environment that it was published with, "" for none.
    formats:
        Of what it works on, the formats that take a package to be read.
    """

    language: str = "python"
    modules: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    data: Mapping[str, int] = field(default_factory=dict)
    unsized: frozenset[str] = frozenset()
    memory: int = 0
    environment: str = ""
    formats: frozenset[str] = frozenset()

    @property
    def gpu(self) -> bool:
        """Whether it imports what works with a GPU alone."""
        return not self.modules.isdisjoint(_GPU)


def needs_of(
    book: Notebook | None,
    *,
    own: Mapping[str, str] | None = None,
    held: Iterable[Held] = (),
    report: Mapping[str, Any] | None = None,
) -> Needs:
    """Return what a notebook needs, or nothing but data.

    Parameters
    ----------
    own:
        The Python files that come along, path → source: what it imports of these is not missing, and what they
        import in their turn is needed, too.
    held:
        What it is to work on.
    report:
        What the check of the app's version said.
    """
    peak = (report or {}).get("peak_bytes", 0)
    memory = int(peak) if isinstance(peak, int | float) and peak > 0 else 0
    needs = Needs(book.language if book else "", memory=memory)
    if book is not None and book.language == "python":
        modules, optional = _imports(book, own or {})
        needs = replace(needs, modules=modules, optional=optional - modules)
    things = [each.thing for each in held if each.state == "there"]
    if needs.language in {"", "python"}:
        needs = replace(needs, formats=frozenset(filter(None, map(_format, things))))
    return working_on(needs, ((_store(thing.access), thing.size) for thing in things))


def working_on(needs: Needs, data: Iterable[tuple[str, int | None]]) -> Needs:
    """Return the needs of who works on this, too: each by the id of its store, "" elsewhere, and how large it is."""
    sizes, unsized = dict(needs.data), set(needs.unsized)
    for store, size in data:
        place = _place(store)
        sizes[place] = sizes.get(place, 0) + (size or 0)
        unsized |= {place} if size is None else set()
    return replace(needs, data=sizes, unsized=frozenset(unsized))


def needs_of_snapshot(
    content: Content, snapshot: Snapshot, *, held: Iterable[Held] = (), report: Mapping[str, Any] | None = None
) -> Needs:
    """Return what a version of an app needs, by its files as they are kept. What cannot be read needs nothing."""
    served = served_file(snapshot)
    try:
        own = {
            path: content.read(sha256).decode("utf-8", "replace") if sha256 else "" for path, sha256 in _own(snapshot)
        }
        digest = next(each.sha256 for each in snapshot.files if each.path == snapshot.notebook)
        book = parse(content.read(digest), name=snapshot.notebook)
        id = read_served(content.read(served.sha256).decode("utf-8", "replace")).id if served else ""
    except (VaasError, StopIteration, RecursionError):
        return replace(needs_of(None, held=held, report=report), language=Needs.language)
    return replace(needs_of(book, own=own, held=held, report=report), environment=id)


def _own(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """Yield the Python files with their hash, the small ones first; "" for those that are more than anybody writes."""
    left = _MOST_OWN
    for each in sorted(snapshot.files, key=lambda file: (file.size, file.path)):
        if each.path.endswith(".py"):
            left -= each.size
            yield each.path, each.sha256 if left >= 0 else ""


def choices(offering: Offering, needs: Needs, user: User, *, batch: bool = False) -> tuple[Choice, ...]:
    """Return every way to run it, those that can be chosen first, and the best of these at their beginning.

    Better is a place that answers, then what lacks fewer packages and readers of the data, is what an app was published
    with, has the GPU and the memory that it takes, and lies where the data lies; among equals the order of the site
    counts. ``batch`` asks for a run, else it is a launch.
    """
    found = list(_all(offering, needs, user, batch=batch))
    order = {id(each): place for place, each in enumerate(found)}
    return tuple(sorted(found, key=lambda each: (*_worth(each, needs), order[id(each)])))


def suggested(found: Iterable[Choice]) -> Choice | None:
    """Return the first that can be chosen, None where nothing can."""
    return next((each for each in found if each.possible), None)


def chosen(found: Sequence[Choice], *, facility: str = "", environment: str = "", size: str = "") -> Choice:
    """Return what fits what was chosen, the best of it; "" where nothing was.

    Raises
    ------
    Invalid, Forbidden
        It is not offered, or not to them; ``field`` says which of it.
    Unavailable
        Nothing is offered at all.
    """
    if not found:
        raise Unavailable("There is no place for it here. Ask the people who run this portal.")
    left = found
    for name, wanted in (("facility", facility), ("environment", environment), ("size", size)):
        fitting = [each for each in left if wanted in {"", getattr(each, name).id}]
        if not fitting:
            raise Invalid(f"This {_ASKED[name]} is not offered here. Choose another one.", field=name)
        left = fitting
    best = suggested(left)
    if best is None:
        at, why = left[0].facility, left[0].why_not
        # What holds for all that is there is the place's.
        of = "size" if why == at.lacks_sizes.get(left[0].size.id) else "environment"
        of = "facility" if {each.why_not for each in found if each.facility == at and not each.lacked} == {why} else of
        raise Forbidden(f"“{getattr(left[0], of).title}” cannot be chosen. {why}", field=of)
    return best


def lacking(environment: Environment, needs: Needs) -> tuple[str, ...] | None:
    """Return the packages that are needed and not there, by the names to install them by; None: that is not known.

    What an app was published with lacks nothing: it was checked in it.
    """
    if environment.kind == _OWN or environment.id == needs.environment:
        return ()
    there = modules_in(environment, needs.modules) if environment.language == "python" else None
    if there is None:
        return None if needs.modules or needs.formats else ()
    return tuple(sorted({package_of(each) for each in needs.modules - there}, key=str.casefold))


def unread(environment: Environment, needs: Needs) -> tuple[str, ...]:
    """Return the formats, as people call them, that nothing in the environment reads; none where nobody knows."""
    if environment.language != "python":  # nobody knows what reads it there
        return ()
    there = modules_in(environment, {module for each in needs.formats for way in ways(each) for module in way.modules})
    return tuple(sorted(name_of(each) for each in needs.formats if way_to(each, there) is None))


def modules_in(environment: Environment, among: Collection[str]) -> frozenset[str] | None:
    """Return which of these modules are in the environment; None: nobody knows what is."""
    if environment.modules:
        return frozenset(each for each in among if each in environment.modules)
    if environment.packages:
        there = {normal(each) for each in environment.packages}
        return frozenset(each for each in among if normal(package_of(each)) in there)
    return None


def closed(facility: Facility, user: User, *, batch: bool | None = None) -> str:
    """Return why the person cannot use the facility, "" where they can; ``batch`` asks for runs, or for launches."""
    if facility.about.get("status") == "down":
        return str(facility.about.get("note") or "It is closed at the moment.")
    if facility.groups and not user.groups & set(facility.groups):
        return f"It is for members of {_either(facility.groups)}."
    if batch and not facility.batch:
        return "It takes no batch jobs."
    if batch is False and not facility.interactive:
        return "It takes batch jobs only."
    return ""


def _all(offering: Offering, needs: Needs, user: User, *, batch: bool) -> Iterator[Choice]:
    for facility in offering.facilities:
        shut = closed(facility, user, batch=batch)
        copied = sum(size for place, size in needs.data.items() if place not in facility.stores)
        unsized = any(place not in facility.stores for place in needs.unsized)
        sizes = [size for size in map(offering.size, (*facility.sizes, *facility.lacks_sizes)) if size]
        known = (*facility.environments, *facility.lacks_environments)
        for environment in filter(None, map(offering.environment, known)):
            missing, blind = lacking(environment, needs), unread(environment, needs)
            unfit = shut or _unfit(environment, facility, needs) or facility.lacks_environments.get(environment.id, "")
            for size in sizes:
                tight = 0 < size.memory < needs.memory
                why = unfit or facility.lacks_sizes.get(size.id, "")
                bare = needs.gpu and not size.gpus
                yield Choice(facility, environment, size, missing, copied, unsized, tight, why, blind, bare)


def _worth(choice: Choice, needs: Needs) -> tuple[bool | float, ...]:
    """Return what it is sorted by, the least first."""
    missing = _PERHAPS if choice.missing is None else len(choice.missing) + len(choice.unread)
    foreign = choice.environment.kind != _OWN and choice.environment.id != needs.environment
    silent = bool(choice.facility.silent)
    fits = choice.bare, choice.tight, choice.copied, choice.unsized
    # Data alone are opened in Python, unless somebody wants it otherwise.
    other = not needs.language and choice.environment.language != "python"
    return not choice.possible, choice.lacked, silent, other, missing, foreign, *fits


def stands_against(environment: Environment, places: Sequence[Facility], needs: Needs, user: User) -> str:
    """Return why an app that needs that cannot be served with it by this person; "" where nothing does.

    ``places`` are those where it is offered: whoever may use none of them may not use it for an app, either.
    """
    groups = {group for each in places for group in each.groups}
    if not places:
        return "It is offered at no place here."
    if all(each.groups for each in places) and not user.groups & groups:
        return f"It is for members of {_either(tuple(sorted(groups)))}."
    return _unusable(environment, needs)


def _unfit(environment: Environment, facility: Facility, needs: Needs) -> str:
    if environment.kind == _IMAGE and facility.kind not in CONTAINERS:
        return "It is the image of a container, and no containers run here. Choose another environment or place."
    return _unusable(environment, needs)


def _unusable(environment: Environment, needs: Needs) -> str:
    if environment.state == "broken":
        return f"It cannot be used at the moment. {environment.why}".strip()
    if needs.language and environment.language.casefold() != needs.language.casefold():
        return f"The notebook is in {_called(needs.language)}, and this runs {_called(environment.language)}."
    return ""


def _called(language: str) -> str:
    return language[:1].upper() + language[1:40]


def _either(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _store(access: Mapping[str, Any]) -> str:
    """Return the id of the store in which a thing lies, "" for elsewhere."""
    via = access.get("via")
    store = via.get("store") if access.get("how") == "store" and isinstance(via, Mapping) else None
    return store if isinstance(store, str) else ""


def _format(thing: Thing) -> str:
    """Return the format of a thing that takes a package to be read, "" for others."""
    via = thing.access.get("via")
    path = via.get("path") if isinstance(via, Mapping) else None
    said = thing.shown.get("format")
    return "" if thing.kind == "app" else format_of(str(path or ""), said if isinstance(said, str) else "")


def _place(store: str) -> str:
    """Return where what is in the store lies: "home", "shared" or "elsewhere"."""
    if store == "home":
        return "home"
    return "shared" if store.startswith("shared-") else ELSEWHERE


def _imports(book: Notebook, own: Mapping[str, str]) -> tuple[frozenset[str], frozenset[str]]:
    """Return what the notebook imports, and through it the modules that come along."""
    wanted, perhaps = set[str](), set[str]()
    for source in book.sources.values():
        wanted |= source.imports
        perhaps |= source.optional
    mine = _by_module(own)
    left, seen = dict(own), set[str]()
    while new := (wanted & mine.keys()) - seen:
        seen |= new
        for path in {path for name in new for path in mine[name]} & left.keys():
            source = read_python(left.pop(path))
            wanted |= source.imports
            perhaps |= source.optional
    known = sys.stdlib_module_names | mine.keys()
    return frozenset(wanted - known), frozenset(perhaps - known)


def _by_module(own: Mapping[str, str]) -> dict[str, set[str]]:
    """Return module → paths of its sources: a folder counts as one, wherever it lies, for the path is the code's."""
    paths: dict[str, set[str]] = {}
    for path in own:
        for name in path.removesuffix(".py").split("/"):
            paths.setdefault(name, set()).add(path)
    return paths
