"""E-mail about runs: to who asked for it, and to nobody else."""

from __future__ import annotations

import email
from email import policy
from pathlib import Path

import pytest

from hub_service.post import post
from tests.mail import mailbox
from tests.notebooks import notebook
from tests.portal_fixture import free_ports
from tests.portal_parts import ADA, World
from tests.run_parts import runs_of
from vaas.errors import Invalid, Unavailable
from vaas.model import Visitor

ME = Visitor(ADA)
PLAIN = {"store": "home", "path": "plain.ipynb"}


def said(port: int, **more: str) -> dict[str, str]:
    usual = {"VAAS_SMTP": f"smtp://127.0.0.1:{port}", "VAAS_SMTP_FROM": "portal@example.org"}
    return {**usual, "VAAS_SMTP_TO": "example.org, lab.example.com", **more}


async def test_who_gave_an_address_is_told(world: World, tmp_path: Path) -> None:
    world.put(ADA, "plain.ipynb", notebook("x = 1"))
    world.core.public_url = "http://vaas.localhost/services/vaas/"
    with mailbox() as box:
        running = runs_of(world, tmp_path, post=post(said(box.port)))
        title = "Tides\r\nBcc: eve@example.org\n ü"
        run = await running.start(ME, PLAIN, email="ada@lab.example.com", title=title)
        silent = await running.start(ME, PLAIN)
        for each in (run, silent):
            await running._queue._fail(each, "It failed.")
        await world.settle()
        ((to, text),) = box.letters
    letter = email.message_from_string(text, policy=policy.default)
    assert (to, letter["To"], letter["Bcc"]) == ("ada@lab.example.com", "ada@lab.example.com", None)
    assert letter["Subject"] == "“Tides Bcc: eve@example.org ü” failed."
    assert f"http://vaas.localhost/services/vaas/runs/{run.id}" in letter.get_content()


async def test_of_a_table_one_is_told_once_when_all_has_ended(world: World, tmp_path: Path) -> None:
    world.put(ADA, "plain.ipynb", notebook("x = 1"))
    world.core.public_url = "http://vaas.localhost/services/vaas/"
    with mailbox() as box:
        running = runs_of(world, tmp_path, post=post(said(box.port)))
        runs = await running.start_series(ME, PLAIN, table=[{}] * 3, email="ada@example.org", title="Tides")
        await running.cancel(ME, runs[1].id)
        for each in (runs[0], runs[2]):
            assert box.letters == []
            await running._queue._fail(each, "It failed.")
            await world.settle()
        ((_, text),) = box.letters
    letter = email.message_from_string(text, policy=policy.default)
    assert letter["Subject"] == "“Tides” has ended, all 3 runs over a table: 2 failed, 1 cancelled."
    assert f"http://vaas.localhost/services/vaas/runs/series/{runs[0].series}\n" in letter.get_content()


async def test_a_server_that_does_not_answer_harms_no_run(world: World, tmp_path: Path) -> None:
    world.put(ADA, "plain.ipynb", notebook("x = 1"))
    (port,) = free_ports(1)
    sends = post(said(port))
    assert sends is not None
    with pytest.raises(Unavailable):
        await sends.send("ada@example.org", "x", "y")
    running = runs_of(world, tmp_path, post=sends)
    run = await running.start(ME, PLAIN, email="ada@example.org")
    await running._queue._fail(run, "It failed.")
    await world.settle()
    assert running.run(ME, run.id).over


@pytest.mark.attack
@pytest.mark.parametrize(
    "address",
    [
        *("ada@elsewhere.org", "ada", "ada@example.org\nBcc: eve@example.org", "ada@example.org, eve@example.org"),
        *(
            "<ada@example.org>",
            "a b@example.org",
            "ada@example.org.evil.org",
            f"{'a' * 300}@example.org",
            "@example.org",
        ),
    ],
)
async def test_it_is_no_way_to_write_to_strangers(world: World, tmp_path: Path, address: str) -> None:
    world.put(ADA, "plain.ipynb", notebook("x = 1"))
    running = runs_of(world, tmp_path, post=post(said(25)))
    with pytest.raises(Invalid) as refused:
        await running.start(ME, PLAIN, email=address)
    assert refused.value.field == "email"


async def test_a_portal_that_sends_none_says_so(world: World, tmp_path: Path) -> None:
    world.put(ADA, "plain.ipynb", notebook("x = 1"))
    with pytest.raises(Invalid, match="sends no e-mail"):
        await runs_of(world, tmp_path).start(ME, PLAIN, email="ada@example.org")
    assert post({}) is None


def test_the_password_is_in_no_word() -> None:
    sends = post(said(25, VAAS_SMTP="smtp+starttls://ada:p%40ss@mail.example.org"))
    assert sends is not None and (sends.port, sends.username, sends.password) == (587, "ada", "p@ss")
    assert "p@ss" not in repr(sends)


@pytest.mark.parametrize(
    "more",
    [
        *({"VAAS_SMTP": "mail.example.org"}, {"VAAS_SMTP": "http://mail.example.org"}, {"VAAS_SMTP": "smtp://a:b"}),
        *({"VAAS_SMTP_FROM": ""}, {"VAAS_SMTP_FROM": "portal"}, {"VAAS_SMTP_TO": " "}, {"VAAS_SMTP": "smtp://:25"}),
    ],
)
def test_a_site_that_says_it_wrongly_is_told(more: dict[str, str]) -> None:
    with pytest.raises(Invalid, match="VAAS_SMTP"):
        post(said(25, **more))
