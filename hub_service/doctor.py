"""``vaas doctor``: looks at everything that a portal needs, says in a line for each how it is, and changes nothing."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from textwrap import wrap

from hub_service import doctor_kept, doctor_programs, doctor_variables
from hub_service.checks import BAD, OK, WARN, Check, looked
from hub_service.doctor_case import Case
from hub_service.needs import SAID
from hub_service.settings import Settings
from vaas.errors import Invalid

__all__ = ["doctor", "examine"]

_WORDS: Mapping[str, str] = {OK: "well", WARN: "look", BAD: "bad"}
_WIDTH = 100
#: In the order of what stands on what.
_LOOKS = (*doctor_variables.LOOKS, *doctor_programs.LOOKS, *doctor_kept.LOOKS)


def doctor(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Look at all of it; 0 when nothing is broken, else 1."""
    # The lines say it: what the portal would write into its log as well is not for the terminal.
    logging.getLogger("vaas").addHandler(logging.NullHandler())
    found = []
    for check in examine(environ):
        found.append(check)
        if not args.json:
            print(_line(check), flush=True)
    bad, weak = (sum(check.state == state for check in found) for state in (BAD, WARN))
    if args.json:
        print(json.dumps({"well": not bad, "checks": [asdict(check) for check in found]}, indent=2))
    else:
        print(f"\n{_said(bad, weak)}")
    return 1 if bad else 0


def examine(environ: Mapping[str, str]) -> Iterator[Check]:
    """Look at one after the other. What is said comes first: the rest stands on it."""
    try:
        settings = Settings.from_environ(environ)
    except Invalid as error:
        yield Check("Settings", BAD, error.message)
        return
    wrong = [each for name in SAID if (each := _said_wrong(name, settings, environ))]
    yield from _once(wrong) or [Check("Settings", OK, "What the variables and files say can be read.")]
    case = Case(settings, environ, frozenset(each.name for each in wrong))
    told = {each.text for each in wrong}
    for name, look in _LOOKS:
        if name in case.wrong:
            continue
        found = looked(name, lambda look=look: look(case))  # type: ignore[misc]
        if found.state != BAD or found.text not in told:  # several stand on the same thing
            told.add(found.text)
            yield found


def _once(wrong: Sequence[Check]) -> list[Check]:
    """Return them without what another one says in the same words."""
    return list({each.text: each for each in reversed(wrong)}.values())[::-1]


def _said_wrong(name: str, settings: Settings, environ: Mapping[str, str]) -> Check | None:
    try:
        SAID[name](settings, environ)
    except Invalid as error:
        return Check(name, BAD, error.message)
    return None


def _line(check: Check) -> str:
    head = f"{_WORDS[check.state]:<5} {check.name:<20} "
    lines = wrap(check.text, _WIDTH - len(head), break_long_words=False, break_on_hyphens=False) or [""]
    return head + f"\n{' ' * len(head)}".join(lines)


def _said(bad: int, weak: int) -> str:
    look = f"{weak} {'thing is' if weak == 1 else 'things are'} worth a look" if weak else ""
    if not bad:
        return f"All is well{f', and {look}' if look else ''}."
    return f"{bad} {'thing is' if bad == 1 else 'things are'} broken{f', and {look}' if look else ''}."
