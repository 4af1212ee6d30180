"""What an installer says when it fails, in words for who wrote the requirements, with the line that is meant."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from vaas.errors import Invalid, StorageFull, TooLarge, Unavailable, VaasError
from vaas.prose import clean_text
from vaas.requirements import Requirements

__all__ = ["explain"]

_NAME = r"([A-Za-z0-9][A-Za-z0-9._-]*)"
_UNREACHABLE = re.compile(
    r"error sending request|failed to fetch|could not connect|connection refused|dns error|timed out|network"
    r"|HTTP status server error|failed to download|tls handshake",
    re.I,
)
#: What a terminal would show in colour, and who asks an index with which password.
_COLOURS, _SECRET = re.compile(r"\x1b\[[0-9;]*m"), re.compile(r"://[^/@\s]{1,500}@")
_FULL = re.compile(r"No space left on device|os error 28|Disk quota exceeded", re.I)
_LARGE = re.compile(r"File too large|os error 27", re.I)
#: What the resolver says → how we put it.
_PLAIN = (
    (r"^Because you require .+?,? we can conclude that your requirements are unsatisfiable\.$", ""),
    (
        r"\byou require (.+?),? we can conclude that your requirements are unsatisfiable\.",
        r"\1 was asked for, that cannot be.",
    ),
    (r"\bwe can conclude that\b", "it follows that"),
    (r"\bthe package registry\b", "the index of packages"),
    (r"\bhas no usable wheels\b", "is not there ready-made for this system"),
    (r"\bhave no usable wheels\b", "are not there ready-made for this system"),
    (r"\s+", " "),
)
_MOST = 600


def explain(said: str, asked: Requirements | None, *, core: Sequence[str] = ()) -> VaasError:
    """Return the error that ``said``, an installer's last words, means for the person who asked."""
    text = clean_text(_SECRET.sub("://", _COLOURS.sub("", said[-20_000:]))).strip()
    if _FULL.search(text):
        return StorageFull("The portal's disk is full. Nothing was changed; tell the people who run it.")
    if _LARGE.search(text):
        return TooLarge("A package is larger than this site lets environments be. Ask for a smaller one.")
    file = asked.file if asked else "the lock"
    for pattern, meant in _MEANINGS:
        if found := re.search(pattern, text):
            where = (asked.where(found[1]) if asked else "") or f"{file} leads to “{found[1]}”"
            return Invalid(f"{where}{meant(found)}", log_message=text)
    if "No solution found" in text:
        told = _plainly(text)
        ours = [each for each in core if re.search(rf"\b{re.escape(each)}\b", told)]
        more = f"This site says which version of {' and '.join(ours)} there is." if ours else ""
        return Invalid(" ".join(filter(None, (_together(text, asked), told, more))), log_message=text)
    if "hash mismatch" in text.lower():
        return Invalid("A package is not what it was when it was locked, so it is not installed.", log_message=text)
    if _UNREACHABLE.search(text):
        return Unavailable("The index of packages does not answer. Try again in a moment.", log_message=text)
    return Unavailable("The environment could not be made. Tell the people who run this site.", log_message=text)


_NO_WHEEL = (
    ": “{}” is not there ready-made for this system in a version that fits, and nothing is built from source here. "
    "Ask for another version, or for another package."
)
#: How a failure reads → what follows the words for where its package is asked for.
_MEANINGS: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (
        rf"Because {_NAME} was not found in the package registry",
        lambda found: f": there is no package “{found[1]}” in the index of packages. Is it spelt like this?",
    ),
    (
        rf"Because there is no version of {_NAME}[^ ]* and you require",
        lambda found: f": there is no such version of “{found[1]}”.",
    ),
    (rf"Wheels are required for `{_NAME}`", lambda found: _NO_WHEEL.format(found[1])),
    (rf"cause: Because {_NAME}[^ ]* has no wheels with a matching", lambda found: _NO_WHEEL.format(found[1])),
    (
        rf"Couldn't parse requirement[^\n]*\n\s*cause: [^\n]*\n\s*{_NAME}",
        lambda found: " cannot be read. Write it like “pandas>=2”.",
    ),
)


def _together(text: str, asked: Requirements | None) -> str:
    """Say which lines do not go together."""
    named = re.findall(r"you require (.+?), we can conclude", " ".join(text.split()))
    names = re.findall(rf"(?:^| |,){_NAME}(?=[<>=!~\[ ,]|$)", named[-1]) if named else []
    places = [place for name in dict.fromkeys(names) if asked and (place := asked.where(name))]
    lines = [f"l{place[1:]}" if place.startswith("Line ") else place for place in places]
    file = asked.file if asked else "the lock"
    if not lines:
        return f"What {file} asks for does not go together."
    return f"This does not go together: {', '.join(lines)}."


def _plainly(text: str) -> str:
    """Return the resolver's reasons as sentences."""
    reasons = re.split(r"\n\s*hint:", text.split("cause:", 1)[-1])[0].strip()
    for pattern, put in _PLAIN:
        reasons = re.sub(pattern, put, reasons)
    return f"{reasons[:_MOST].strip()}{'…' if len(reasons) > _MOST else ''}"
