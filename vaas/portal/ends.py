"""Why launches end, in words: what one sees in a list, why, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["ENDS", "UNTOLD", "End"]


@dataclass(frozen=True)
class End:
    """Why a launch does not run any more.

    Parameters
    ----------
    id:
        One of vaas.launching.LAUNCH_ENDS, "asked" by its person, or "untold".
    badge, why, fix:
        In two words, in a sentence, and what to do about it ("" for what is as it was wanted).
    """

    id: str
    badge: str
    why: str
    fix: str = ""


_STOPPED = "Stopped"
#: What nobody has told: whoever could was ended, too.
UNTOLD = End(
    "untold",
    "Ended",
    "It ended without a word, as when the machine or the portal is restarted.",
    "Start it again. If it ends like this once more, tell the people who run this portal.",
)
_ALL = (
    End("asked", _STOPPED, "You stopped it."),
    End(
        "time",
        "Time was up",
        "Its time was up: it ran as long as its size and its place let it.",
        "Start it again, which begins its time anew. What takes longer fits a size that lasts longer, or a run that "
        "needs nobody to watch it.",
    ),
    End(
        "memory",
        "Out of memory",
        "Its memory was full, and JupyterLab was ended.",
        "Start it again and hold less data at once, or launch it with a larger size.",
    ),
    End(
        "outside",
        _STOPPED,
        "It was stopped from outside: by the people who run this portal, by a rule of theirs for servers that nobody "
        "uses, by a batch system, or by a script with a token of yours.",
        "Start it again. If it is stopped once more while you work, ask the people who run this portal.",
    ),
    End("closed", "Shut down", "It was shut down in JupyterLab."),
    End(
        "crashed",
        "Ended",
        "JupyterLab ended with an error.",
        "Start it again. If it ends like this once more, launch it with another size or environment.",
    ),
)
#: What a launch's progress has as "ended" → that in words.
ENDS: Mapping[str, End] = {each.id: each for each in _ALL}
