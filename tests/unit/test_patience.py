"""Patience: who is asked says what is slow, before who asked takes them to be away."""

from __future__ import annotations

from vaas import patience
from vaas.portal.finding import Finding


def test_each_waits_longer_than_whom_they_ask() -> None:
    # The last is a margin for the way there and back on a busy machine.
    assert patience.LOOKING + 5 <= patience.SERVER and patience.SERVER + 5 <= patience.KERNEL
    assert 2 * Finding([])._patience + 5 <= patience.SERVER
