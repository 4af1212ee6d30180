"""What the launcher tells who runs inside, and becoming the system user of a launch, for good."""

from __future__ import annotations

import os

__all__ = ["SHARED_AT", "UID", "become"]

#: The variable that says whom to become.
UID = "VAAS_LAUNCH_UID"
#: The variable that says where shared folders are seen; empty: nowhere.
SHARED_AT = "VAAS_LAUNCH_SHARED"


def become(uid: int) -> None:
    """Give every right of root up (capabilities(7)) and become this user; 0: nothing to give up, stay who one is."""
    if uid == 0:
        return
    import ctypes  # only here: most have nothing to give up

    system = ctypes.CDLL(None, use_errno=True)
    for right in range(64):
        system.prctl(24, right, 0, 0, 0)  # PR_CAPBSET_DROP; an unknown one is an error and no matter
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
