"""VaaS: Voilà as a Service, a dashboard portal for science."""

from __future__ import annotations

# Not from typing: whoever imports this module only to know the version should wait for nothing.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import PathLike

    from vaas.client.basket import Basket
    from vaas.client.tables import Table
    from vaas.runtime.asking import Hook, Visitor

__version__ = "0.1.0"


def visitor() -> Visitor:
    """Return who is looking at the app whose notebook calls this, and with which parameters.

    ``name`` and ``groups`` are known only if the app's owner chose that it may know them; else, and outside of an app,
    the visitor is nobody: None and (). ``query`` maps the parameters of the address to their last value.
    """
    from vaas.runtime import asking

    return asking.visitor()


def on_visit(function: Hook) -> Hook:
    """Have the function called with the visitor when a visit begins, before anything else happens in it.

    An app may be made ready before anybody looks, and be copied for each visitor. What such a copy has to have for
    itself, as the connection to a database, belongs into the function. Where the visit has begun already, as in
    Jupyter, it is called at once. It can be used as a decorator.
    """
    from vaas.runtime import asking

    return asking.on_visit(function)


def refresh(every: float | None = None, *, when: Iterable[str | PathLike[str]] = ()) -> None:
    """Have this notebook run again for new visits: ``every`` so many seconds, and ``when`` one of the files changes.

    An app may be made ready before anybody looks; files that the notebook opens are noticed without being named here.
    Visits that are open stay as they are. Raises ValueError for less than ten seconds.
    """
    from vaas.runtime import sources

    sources.refresh(every, when=when)


def basket(basket: str = "") -> Basket:
    """Return the things of the basket that the visitor opened the app with; empty if it was opened without one.

    Each has ``title``, ``kind``, ``uri``, ``size``, ``checksum`` and ``format``; ``path()`` returns its file,
    ``open()`` the opened file, and ``table()`` a pandas table. Which basket it is in an app is its visitor's choice. In
    Jupyter it is that of this id, or the current one, of who has the token: see :func:`search`. Raises
    vaas.client.PortalError.
    """
    from vaas.client import basket as baskets

    return baskets.basket(basket)


def search(text: str, *, limit: int = 100) -> Table:
    """Return what the portal and its catalogs have that fits, as far as you may see it, as a table.

    ``.attrs`` of the table tells how many there are in all (``total``), how many of which kind (``facets``), and which
    catalogs did not answer (``silent``). In Jupyter ``VAAS_URL`` says which portal is asked, and ``VAAS_TOKEN`` as
    whom; in the portal's own app it is asked as the visitor. Raises vaas.client.PortalError.
    """
    from vaas.client import tables

    return tables.table(text, limit=limit)
