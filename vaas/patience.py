"""How long who waits for whom, in seconds: each longer than whom they ask, so that what is slow is told as slow.

If one gave up first, a portal that is busy would be called one that is away.
"""

from __future__ import annotations

__all__ = ["KERNEL", "LOOKING", "SERVER"]

#: The portal, for what is inside a file, with the wait until it is its turn.
LOOKING = 20.0
#: An app server, for the portal's answer to a question of a visit's.
SERVER = 25.0
#: A kernel or a script, for any answer.
KERNEL = 30.0
