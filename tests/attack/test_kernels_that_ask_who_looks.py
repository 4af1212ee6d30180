"""Apps that want to know their visitors and may not, and what is said of one visitor to the kernel of another."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.notebooks import notebook
from tests.service.portal_stub import PortalStub, Visitor, running

pytestmark = [pytest.mark.attack, pytest.mark.app]

#: All that a kernel can read of itself and of what it was started with.
PRY = """
import os, pathlib, sys
import vaas
from vaas.runtime import asking
found = [repr(vaas.visitor()), repr(asking.facts()), repr(dict(os.environ)), repr(sys.argv)]
# Not what is mounted there: this very repository may be.
own = [path for path in pathlib.Path("/tmp").rglob("*") if path.lstat().st_dev == os.stat("/tmp").st_dev]
for place in ("/proc/self/environ", "/proc/self/cmdline", *sorted(map(str, own))):
    try:
        found.append(pathlib.Path(place).read_bytes().decode("latin-1"))
    except OSError:
        pass
# The notebook is among what it finds, and must not find its own words.
print("pried", "elbakatsimnu"[::-1] in "".join(found), len(found) > 4)
"""


@pytest.mark.parametrize(("portal_says", "ticket_says"), [(False, True), (True, False), (False, False)])
async def test_an_app_that_may_not_know_finds_its_visitors_name_nowhere(
    tmp_path: Path, portal_says: bool, ticket_says: bool
) -> None:
    files = {"lesson.ipynb": notebook(PRY)}
    async with (
        PortalStub(files, knows_visitor=portal_says).served() as portal,
        running(portal, folder=tmp_path) as app,
    ):
        bob = Visitor(app, portal=portal)
        await bob.enter(portal.ticket(user="unmistakable-bob", known=ticket_says, groups=("unmistakable-group",)))
        assert "pried False True" in (await bob.page()).html
