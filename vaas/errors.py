"""The error tree: each message is for the person who reads it and says what to do.

VaasError
├── NotFound        it does not exist, or the asker may not know that it does
├── SignInNeeded    nobody is signed in, and signing in could help
│   └── UnknownToken    a token was sent, and nobody has it
├── Forbidden       the asker sees it, but may not do this with it
│   └── WeakToken       a token was sent that may do less than its owner
├── Invalid         what was sent cannot be used as it is
├── Conflict        somebody else changed it, or the name is taken
├── TooLarge        over a configured limit
├── StorageFull     the disk or the quota is full
├── Unreadable      a file is broken, hostile or of a kind that is not read: there is nothing to tell of it
├── Unavailable     another system (Hub, store, peer) does not answer or refuses
└── CheckFailed     the notebook failed its check and "publish anyway" was not said
"""

from __future__ import annotations

__all__ = [
    "CheckFailed",
    "Conflict",
    "Forbidden",
    "Invalid",
    "NotFound",
    "SignInNeeded",
    "StorageFull",
    "TooLarge",
    "Unavailable",
    "UnknownToken",
    "Unreadable",
    "VaasError",
    "WeakToken",
]


class VaasError(Exception):
    """Say what went wrong and what to do, in words for the person who asked.

    Parameters
    ----------
    message:
        Shown to the person. Never holds a secret, a path of the server or a traceback.
    log_message:
        What the operator reads in the log; the message itself by default.
    field:
        The name of what was wrong in what was sent, so that a form can say it there.
    """

    def __init__(self, message: str, *, log_message: str = "", field: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.log_message = log_message or message
        self.field = field


class NotFound(VaasError):
    """It does not exist, or the asker may not know that it does."""


class SignInNeeded(VaasError):
    """Nobody is signed in, and signing in could help."""


class UnknownToken(SignInNeeded):
    """A token was sent that nobody has, or not any more."""


class Forbidden(VaasError):
    """The asker sees it, but may not do this with it."""


class WeakToken(Forbidden):
    """A token was sent that may do less than its owner, such as that of a server."""


class Invalid(VaasError):
    """What was sent cannot be used as it is."""


class Conflict(VaasError):
    """Somebody else changed it meanwhile, or the name is taken."""


class TooLarge(VaasError):
    """It is over a configured limit."""


class StorageFull(VaasError):
    """The disk or the quota is full."""


class Unreadable(VaasError):
    """It cannot be told what is in a file: it is broken, hostile, too large or of a kind that is not read."""


class Unavailable(VaasError):
    """Another system does not answer, or refuses."""


class CheckFailed(VaasError):
    """The notebook failed its check and nobody said "publish anyway"."""
