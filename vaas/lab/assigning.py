"""Parameters as they are written in languages that papermill writes, and does not read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

__all__ = ["LANGUAGES", "Language", "assigned"]

_TEXT = r""" "(?:[^"\\]|\\.)*+" | '(?:[^'\\]|\\.)*+' """
#: What is a text, or else: within a text nothing is a sign of a language.
_PART = re.compile(rf"({_TEXT}) | ((?:(?!{_TEXT}).)++)", re.VERBOSE)
_NUMBER = re.compile(r"(-?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)[LlfFdDmM]?")
#: Words that are values, in whatever case the language writes them.
_WORDS = {"true": "True", "false": "False", "null": "None", "nothing": "None", "none": "None", "nan": "None"}


@dataclass(frozen=True)
class Language:
    """How a language gives a name a value.

    Parameters
    ----------
    begins:
        What may stand before the name, as a regular expression.
    note:
        What begins a comment.
    whole:
        The type of what has no point in it, where that is no whole number.
    bare:
        Whether texts need no quotes.
    list:
        How a list is written, as a regular expression with its members in a group.
    between:
        What stands between them, as a regular expression.
    quote:
        How a quotation mark is written within a text, where that is not with a backslash; "{0}" stands for the mark.
    """

    begins: str = ""
    note: str = "#"
    whole: str = "None"
    bare: bool = False
    list: str = r"\[(.*)\]"
    between: str = ","
    quote: str = ""

    @property
    def line(self) -> re.Pattern[str]:
        """Match name, value and comment of a line; a sign in a text begins no comment."""
        typed = r"(?:\s*+::?\s*+[A-Za-z][\w.\[\]<>]*+)?"
        value = rf"((?:{_TEXT}|(?!{re.escape(self.note)})[^\"'])++)"
        return re.compile(
            rf"\s*+(?:{self.begins})([A-Za-z_]\w{{0,99}}){typed}\s*+(?:<-|=(?![=~]))\s*+{value}"
            rf"(?:{re.escape(self.note)}(.*))?\Z",
            re.VERBOSE,
        )


_R = Language(whole="float", list=r"(?:c|list)\((.*)\)")
_SCALA = Language(r"va[lr]\s++", "//", list=r"(?:Seq|List|Vector|Array)\((.*)\)")
#: By what papermill calls the language, or its kernel.
LANGUAGES = {
    **{"R": _R, "sparkrkernel": _R, "scala": _SCALA, "sparkkernel": _SCALA},
    "julia": Language(),
    "bash": Language(r"(?:export\s++|declare\s++)?", bare=True, list=r"\((.*)\)", between=r"\s+"),
    "matlab": Language("", "%", list=r"[\[{](.*)[\]}]", between=r"[,;\s]+", quote="{0}{0}"),
    ".net-csharp": Language(r"[A-Za-z][\w<>\[\]]*+\s++", "//", list=r"new\s*\w*\s*\[\]\s*\{(.*)\}"),
    ".net-fsharp": Language(r"let\s++(?:mutable\s++)?", "//", list=r"\[(.*)\]", between=";"),
    ".net-powershell": Language(r"(?:\[[\w.]++\]\s*+)?\$", list=r"@\((.*)\)", quote="`{0}"),
}


def assigned(lines: Iterable[str], language: Language) -> Iterator[tuple[str, str, str, str]]:
    """Yield name, type, value as Python writes it, and comment of each parameter in the lines.

    The type is "None" where the value has it; what Python cannot write is as it is.
    """
    pattern = language.line
    for line in lines:
        if found := pattern.match(line):
            text = found[2].strip().rstrip(";").strip()
            whole = language.whole if re.fullmatch(r"-?\d+", text) else "None"
            yield found[1], whole, _written(text, language), (found[3] or "").strip()


def _written(text: str, language: Language) -> str:
    if members := re.fullmatch(language.list, text, re.DOTALL):
        return f"[{', '.join(_value(each, language) for each in _members(members[1], language.between))}]"
    return _value(text, language)


def _value(text: str, language: Language) -> str:
    if number := _NUMBER.fullmatch(text):
        return number[1]
    if language.quote and text[:1] in {"'", '"'}:
        mark = text[0]
        return f"{mark}{text[1:-1].replace(language.quote.format(mark), chr(92) + mark)}{mark}"
    word = _WORDS.get(text.removeprefix("$").lower())
    if word is None and language.bare and not text.startswith(("'", '"')):
        return repr(text) if re.fullmatch(r"[\w./:@%+-]+", text) else text
    return word or text


def _members(text: str, between: str) -> Iterator[str]:
    """Yield what stands between the signs, none of which is within a text."""
    member = ""
    for found in _PART.finditer(text):
        first, *others = [found[0]] if found[1] else re.split(between, found[0])
        member += first
        for other in others:
            yield from filter(None, [member.strip()])
            member = other
    yield from filter(None, [member.strip()])
