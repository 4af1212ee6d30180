"""The draft of a run's result while the data that the run was given are copied into it: it is no whole one before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vaas.events import while_wanted
from vaas.launching import Run
from vaas.model import Draft, Snapshot, User
from vaas.portal.run_belongings import Belongings

__all__ = ["MEND", "RESTARTED", "begun", "completed", "lacks"]

RESTARTED = "The portal was restarted while the data of the result were copied. Nothing of them was kept."
#: What to do about data that cannot be copied.
MEND = "Mend what is said here and check again: copying begins anew. Or repeat the run, and publish that result."
#: In the progress of a draft: the run whose data it lacks.
_RUN = "run"


def begun(run_id: str) -> Mapping[str, Any]:
    """Return the progress of a draft that lacks the data of this run; none of one that lacks nothing."""
    return {"stage": "copying", "text": "Looking for the result’s data", "percent": 0, _RUN: run_id} if run_id else {}


def lacks(draft: Draft) -> str:
    """Return the id of the run whose data are still to be copied into the draft, "" if none are."""
    return str(draft.progress.get(_RUN, ""))


async def completed(
    belongings: Belongings, user: User, draft: Draft, *, told: Callable[[Mapping[str, Any]], bool]
) -> Snapshot | None:
    """Return the draft's files with copies of the data; None when it was thrown away meanwhile.

    ``told`` hears the draft's progress, and tells whether there still is one. Raises as :meth:`Belongings.gather`.
    """
    said = [begun(lacks(draft))]

    def heard(words: str, percent: int) -> None:
        said.append({**said[0], "text": words, "percent": percent})

    run: Run = belongings.run(user, lacks(draft))
    return await while_wanted(belongings.gather(user, run, told=heard), lambda: told(said[-1]))
