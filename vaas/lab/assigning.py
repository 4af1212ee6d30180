"""Parameters as they are written in languages that papermill writes, and does not read.

What is read is one value a line, as people write it by hand: a number, a text, a word such as "true", or a list of
these. Of what may be more than it looks like nothing is known, such as a text in which a variable is filled in.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

__all__ = ["LANGUAGES", "Language", "assigned"]

#: What is set somewhere in a line, in whichever language: before a sign, or behind an arrow.
_SET = re.compile(
    r"\b([A-Za-z_]\w*+)\s*+(?:<<?-|[-+*/%|&^.~]{0,2}=(?![=~])|\+\+|--)|->{1,2}\s*+([A-Za-z_]\w*+)|(?:\+\+|--)([A-Za-z_]\w*+)"
)
_WHOLE = re.compile(r"-?\d+")
_REAL = re.compile(r"double|float|decimal", re.IGNORECASE)
#: Words that are values, in whatever case the language writes them.
_WORDS = {"true": "True", "false": "False", "null": "None", "nothing": "None", "none": "None", "nan": "None"}
#: What Python cannot read as a value: nobody knows it.
_UNKNOWN = "?"


@dataclass(frozen=True)
class Language:
    """How a language gives a name a value; mostly by regular expressions.

    Parameters
    ----------
    begins, typed:
        What may stand before the name, and behind it.
    note:
        What begins a comment.
    suffix, real:
        What may stand behind a number, and says no more than of which kind it is; and what of it says that it has a
        point.
    whole:
        The type of what has no point in it, where that is no whole number.
    bare:
        What is a text without quotation marks; "": nothing is.
    list, between:
        How a list is written, with its members in a group, and what stands between these.
    escapes:
        How a quotation mark is written within a text, by the mark around it: behind a sign, "" for twice, None for not
        at all.
    words:
        What is a value by its name: as the language writes it, in small letters unless texts may be bare.
    fills_in:
        The signs by which something is filled in, in texts between double marks.
    """

    begins: str = ""
    note: str = "#"
    typed: str = ""
    suffix: str = ""
    real: str = "[FfDd]"
    whole: str = "None"
    bare: str = ""
    list: str = r"\[(.*)\]"
    between: str = ","
    escapes: tuple[str | None, str | None] = ("\\", "\\")
    words: Mapping[str, str] = field(default_factory=lambda: _WORDS)
    fills_in: str = ""

    @cached_property
    def text(self) -> str:
        """Match a text."""
        return "|".join(_text(mark, escape) for mark, escape in zip("\"'", self.escapes, strict=True))

    @cached_property
    def line(self) -> re.Pattern[str]:
        """Match what declares, the name, its value and the comment of a line; a sign in a text begins no comment."""
        value = rf"((?:{self.text}|(?!{self.note})[^\"'])++)"
        name = rf"({self.begins})([A-Za-z_]\w{{0,99}})({self.typed})"
        return re.compile(rf"\s*+{name}\s*+(?:<-|=(?![=~]))\s*+{value}(?:{self.note}(.*))?\Z")

    @cached_property
    def part(self) -> re.Pattern[str]:
        """Match a text, or what is none."""
        return re.compile(rf"({self.text})|(?:(?!{self.text}).)++")

    def value(self, text: str) -> str:
        """Return what Python writes for the value, or what it cannot read."""
        if number := re.fullmatch(rf"(-?(?:0|[1-9]\d*)(?:\.\d*)?(?:[eE][-+]?\d+)?){self.suffix}", text):
            return number[1] if not self.bare or _is_canonical(number[1]) else repr(text)
        if re.fullmatch(self.text, text):
            return self._said(text)
        if word := self.words.get(text if self.bare else text.lower()):
            return word
        return repr(text) if self.bare and re.fullmatch(self.bare, text) else _UNKNOWN

    def _said(self, text: str) -> str:
        """Return a text as Python writes it."""
        mark, inside = text[0], text[1:-1]
        escape = self.escapes["\"'".index(mark)]
        if mark == '"' and any(sign in inside for sign in self.fills_in):
            # What is escaped fills in nothing, but that is seldom.
            return _UNKNOWN
        if escape == "\\":
            return text if not self.bare or "\\" not in inside else _UNKNOWN
        if escape is not None:
            inside = inside.replace((escape or mark) + mark, mark)
        # What else is escaped may be anything.
        return _UNKNOWN if escape and escape in inside else repr(inside)


def _text(mark: str, escape: str | None) -> str:
    """Match a text between two of these marks."""
    if escape is None:
        return rf"{mark}[^{mark}]*+{mark}"
    if not escape:
        return rf"{mark}(?:[^{mark}]|{mark}{mark})*+{mark}"
    sign = re.escape(escape)
    return rf"{mark}(?:[^{mark}{sign}]|{sign}.)*+{mark}"


_R = Language(suffix="L?", whole="float", list=r"(?:c|list)\((.*)\)")
_TYPED = r"(?:\s*+::?\s*+[A-Za-z][\w.\[\]<>{}]*+)?"
_SCALA = Language(r"va[lr]\s++", "//", _TYPED, "[LlDd]?", list=r"(?:Seq|List)\((.*)\)")
#: By what papermill calls the language, or its kernel.
LANGUAGES = {
    **{"R": _R, "sparkrkernel": _R, "scala": _SCALA, "sparkkernel": _SCALA},
    "julia": Language(typed=_TYPED, fills_in="$"),
    "bash": Language(
        r"(?:export\s++|declare\s++)?",
        r"(?:(?<=\s)#)",
        bare=r"[\w./:@%+#-]+",
        list=r"\((.*)\)",
        between=r"\s+",
        escapes=("\\", None),
        fills_in="$`",
        words={"true": "True", "false": "False"},
    ),
    "matlab": Language("", "%", whole="float", list=r"\{(.*)\}", escapes=("", "")),
    ".net-csharp": Language(r"[A-Za-z][\w<>\[\]]*+\s++", "//", suffix="[LlFfDd]?", list=r"new\s*\w*\s*\[\]\s*\{(.*)\}"),
    ".net-fsharp": Language(r"let\s++(?:mutable\s++)?", "//", _TYPED, "[LlFf]?", between=";"),
    ".net-powershell": Language(
        r"(?:\[[\w.]++\]\s*+)?\$",
        list=r"@\((.*)\)",
        escapes=("`", ""),
        fills_in="$",
        words={"$true": "True", "$false": "False", "$null": "None"},
    ),
}


def assigned(lines: Iterable[str], language: Language) -> Iterator[tuple[str, str, str, str]]:
    """Yield name, type, value as Python writes it, and comment of each parameter in the lines.

    The type is "None" where the value has it; a value that nobody knows is none that Python can read. So is that of a
    name that another line sets, too, or that is set only under a condition.
    """
    found = [(line, language.line.match(line)) for line in lines]
    times = Counter(name for line, match in found for name in _set_in(line, match, language))
    for line, match in found:
        if match:
            declared, name, typed, value, note = match.groups(default="")
            text = value.strip().rstrip(";").strip()
            written = _written(text, language) if times[name] == 1 and line[:1].strip() else _UNKNOWN
            real = _REAL.search(declared + typed) or re.search(rf"\d{language.real}\Z", text)
            kind = "float" if real else language.whole if text == written else "None"
            yield name, kind if _WHOLE.fullmatch(written) else "None", written, note.strip()


def _set_in(line: str, match: re.Match[str] | None, language: Language) -> set[str]:
    """Return the names that a line sets; what is in its comment does not count."""
    code = line[: match.end(4)] if match else re.split(language.note, line, maxsplit=1)[0]
    names = {name for each in _SET.findall(code) for name in each if name}
    return names | ({match[2]} if match else set())


def _written(text: str, language: Language) -> str:
    if members := re.fullmatch(language.list, text):
        return f"[{', '.join(language.value(each) for each in _members(members[1], language))}]"
    return language.value(text)


def _members(text: str, language: Language) -> Iterator[str]:
    """Yield what stands between the signs, none of which is within a text."""
    member = ""
    for found in language.part.finditer(text):
        first, *others = [found[0]] if found[1] else re.split(language.between, found[0])
        member += first
        for other in others:
            yield from filter(None, [member.strip()])
            member = other
    yield from filter(None, [member.strip()])


def _is_canonical(number: str) -> bool:
    """Tell whether the number says all of the text: “1.10” may be a version."""
    return number == str(float(number) if re.search("[.eE]", number) else int(number))
