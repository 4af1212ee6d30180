"""The other number of a word: who searches for a river means rivers, too.

Endings alone decide, as English has them and many other languages do: what comes out may be no word at all, which
then is in no text and finds nothing.
"""

from __future__ import annotations

__all__ = ["others"]

#: Shorter words are looked for as they stand: “gas” is not many of anything.
_SHORTEST = 3
#: What ends so is one thing: glass, status, basis.
_ONE = ("ss", "us", "is")
_HISSING = ("s", "x", "z", "ch", "sh")
_VOWELS = frozenset("aeiou")


def others(word: str) -> tuple[str, ...]:
    """Return what one or many of it may be called, of a word in small letters; () where that is not known."""
    if len(word) < _SHORTEST or not word.isalpha():
        return ()
    singular = _singular(word)
    if singular:
        return singular
    if word.endswith("sis"):
        return (f"{word[:-2]}es",)
    if word.endswith("y") and word[-2] not in _VOWELS:
        return (f"{word[:-1]}ies",)
    return (f"{word}es",) if word.endswith(_HISSING) else (f"{word}s",)


def _singular(word: str) -> tuple[str, ...]:
    if len(word) <= _SHORTEST or not word.endswith("s") or word.endswith(_ONE):
        return ()
    if word.endswith("ies"):
        return (f"{word[:-3]}y", word[:-1])
    if word.endswith("ses"):
        return (word[:-1], word[:-2], f"{word[:-2]}is")
    return (word[:-1], word[:-2]) if word[:-2].endswith(_HISSING) and word.endswith("es") else (word[:-1],)
