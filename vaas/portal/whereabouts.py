"""In which of a person's stores a file lies that was found: by its place, which is no other's."""

from __future__ import annotations

from vaas.model import User
from vaas.stores.base import Store, StoreSource

__all__ = ["store_of"]


def store_of(stores: StoreSource, user: User, *, record: str, path: str) -> Store | None:
    """Return the person's own store in which the file of that record lies, as its id says; None without just one.

    Stores of one person may have the same id, and then another file than the one that was found may have this path.
    """
    fitting = [place.store for place in stores.places(user) if record == f"file:{place.id}/{path}"]
    return fitting[0] if len(fitting) == 1 else None
