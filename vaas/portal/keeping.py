"""What the verbs about baskets, saved searches and requests share: who may keep something, and in which words."""

from __future__ import annotations

from vaas.errors import Invalid, SignInNeeded
from vaas.model import User, Visitor
from vaas.prose import clean_text

__all__ = ["one_line", "person_of"]


def person_of(visitor: Visitor) -> User:
    """Return the person. Raises SignInNeeded: nobody's baskets could not be told apart."""
    if visitor.user is None:
        raise SignInNeeded("Sign in to keep baskets and searches, and to ask for access.")
    return visitor.user


def one_line(text: str, *, most: int, what: str, field: str) -> str:
    """Return the text as one clean line. Raises Invalid when nothing is left of it, or more than ``most``."""
    line = " ".join(clean_text(text).split())
    if not line:
        raise Invalid(f"Give {what} a name.", field=field)
    if len(line) > most:
        raise Invalid(f"The name is longer than {most} characters. Choose a shorter one.", field=field)
    return line
