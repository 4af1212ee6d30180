"""People as accounts of the system: as whom something of theirs runs on a cluster, and that nobody becomes another."""

from __future__ import annotations

import pwd
import re
from collections.abc import Sequence

from vaas.errors import Forbidden
from vaas.slug import is_account

__all__ = ["LEAST_UID", "account_of", "as_account"]

#: Accounts below belong to the system itself (root, daemons); no person's work runs as one.
LEAST_UID = 1000
#: "nobody", who is no person either.
_NOBODY = 65534
#: What every shell, every batch system and every option parser takes for a mere name.
_NAME = re.compile(r"[a-z_][a-z0-9_.-]{0,31}")


def account_of(name: str, *, least_uid: int = LEAST_UID) -> pwd.struct_passwd:
    """Return the system's account of a person.

    Raises
    ------
    Forbidden
        There is none, it is the system's own, or the name could mean something else to a program that reads it.
    """
    try:
        entry = pwd.getpwnam(name) if _NAME.fullmatch(name) and not is_account(name) else None
    except KeyError:
        entry = None
    if entry is None or entry.pw_uid < least_uid or entry.pw_uid == _NOBODY:
        log_message = f"{name!r} is no account of the system's people (a plain name, uid {least_uid} or above)."
        raise Forbidden("You have no account on the cluster. Ask those who run this site.", log_message=log_message)
    return entry


def as_account(prefix: Sequence[str], name: str) -> list[str]:
    """Return the prefix of a command with the account's name for ``{owner}``; ``name`` is one that exists."""
    return [part.replace("{owner}", name) for part in prefix]
