"""Slugs and ids: names that are safe in addresses, Hub account names and file names."""

from __future__ import annotations

import re
import unicodedata

from vaas.errors import Invalid

__all__ = ["ACCOUNT_PREFIX", "account_of", "check_slug", "is_account", "slugify"]

#: Every Hub account that runs an app is called this and the app's id.
ACCOUNT_PREFIX = "app-"
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,58}[a-z0-9])?")
_ACCOUNT = re.compile(r"app-[a-z0-9]{12}")


def slugify(title: str) -> str:
    """Return a slug for ``title``: ASCII, lower case, hyphens, at most 48 characters; "app" if nothing is left."""
    ascii_title = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_title).strip("-")[:48].strip("-") or "app"


def check_slug(text: str) -> str:
    """Return ``text`` if it can be an app's slug.

    Raises
    ------
    Invalid
        It holds something else than a–z, 0–9 and inner hyphens, or is longer than 60 characters.
    """
    if not _SLUG.fullmatch(text):
        raise Invalid(
            "An address may hold small letters, digits and hyphens between them, up to 60 characters.", field="slug"
        )
    return text


def account_of(app_id: str) -> str:
    """Return the name of the Hub account that runs the app with this id."""
    return ACCOUNT_PREFIX + app_id


def is_account(name: str) -> bool:
    """Tell whether ``name`` is that of an app's account (and so of no person)."""
    return _ACCOUNT.fullmatch(name) is not None
