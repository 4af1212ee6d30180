"""The watchdog: what a kernel works on, and when a page stands still."""

from __future__ import annotations

import asyncio

import pytest

from vaas.runtime.watch import Activity, Watch


def heard(activity: Activity, *messages: str) -> bool:
    """Tell a kernel's messages, "request:state" each; return whether it is busy after them. Cells are called c…"""
    for message in messages:
        request, _, state = message.partition(":")
        kind = {"c": "execute_request", "w": "comm_msg", "k": "kernel_info_request"}[request[0]]
        activity.heard({"msg_type": kind, "msg_id": request}, state=state)
    return activity.busy


@pytest.mark.parametrize(
    ("messages", "busy"),
    [
        ([], False),
        (["c1:busy"], True),
        (["c1:busy", "c1", "c1:idle"], False),
        (["c1:busy", "k1:busy", "k1:idle"], True),
        (["k1:busy"], False),
        (["w1:busy"], True),
        (["w1:busy", "w1:idle"], False),
        (["c1:busy", "w1:busy", "w1:idle"], True),
        (["c1:busy", "c1:idle", "c1"], False),
        (["c1"], True),
        (["c1:busy", "c2:busy", "c2:idle"], False),
        (["w1:busy", "c1:busy", "c1:idle"], False),
    ],
    ids=[
        "nothing was heard",
        "a cell runs",
        "a cell ended",
        "somebody asks for the kernel's name while a cell runs",
        "somebody asks for the kernel's name",
        "a widget's message is answered",
        "a widget's message was answered",
        "a cell lets widgets speak meanwhile",
        "a thread goes on in the name of a cell that ended",
        "the word that a cell runs was lost",
        "the word that a cell ended was lost",
        "the word that a widget's message was answered was lost",
    ],
)
def test_a_kernel_is_busy_while_it_works_on_a_cell_or_a_widget(messages: list[str], busy: bool) -> None:
    assert heard(Activity(), *messages) is busy


async def stalls(watch: Watch, *, within: float) -> bool:
    """Tell whether the watch finds a stall in time."""
    try:
        await asyncio.wait_for(watch.until_stalled(), within)
    except TimeoutError:
        return False
    return True


async def test_an_idle_page_that_stands_still_is_found() -> None:
    assert await stalls(Watch(patience=0.2, idle=lambda: True), within=20)


async def test_a_busy_kernel_is_never_a_stall() -> None:
    assert not await stalls(Watch(patience=0.2, idle=lambda: False), within=0.8)


async def test_a_page_that_goes_on_is_no_stall() -> None:
    watch = Watch(patience=1.0, idle=lambda: True)

    async def go_on() -> None:
        while True:
            await asyncio.sleep(0.05)
            watch.moved()

    going = asyncio.ensure_future(go_on())
    assert not await stalls(watch, within=2)
    going.cancel()
    assert await stalls(watch, within=20)


async def test_time_in_which_the_server_was_busy_itself_does_not_count() -> None:
    now = iter(range(0, 10_000, 100))
    watch = Watch(patience=1.0, idle=lambda: True, clock=lambda: float(next(now)))
    assert not await stalls(watch, within=0.35)


def test_what_a_kernel_says_counts_unless_it_only_looks_at_a_question() -> None:
    activity = Activity()
    heard(activity, "k1:busy", "k1:idle")
    assert activity.said == 0
    # A thread of the notebook speaks in the name of whatever was asked last.
    heard(activity, "k1")
    assert activity.said == 1
    heard(activity, "w1:busy", "w1", "w1:idle")
    assert activity.said == 4
    activity.heard({}, state="")
    assert activity.said == 5


async def test_a_question_is_waited_for_until_the_kernel_is_idle_again() -> None:
    activity = Activity()
    waiting = asyncio.ensure_future(activity.until_idle_after("k1"))
    await asyncio.sleep(0)
    heard(activity, "k2:idle", "k1:busy")
    await asyncio.sleep(0)
    assert not waiting.done()
    heard(activity, "k1:idle")
    await asyncio.wait_for(waiting, 1)
