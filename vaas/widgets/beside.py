"""Questions that may take seconds: asked beside the kernel's loop, which answers other things meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Beside"]

Ask = Callable[[], Any]
Take = Callable[["Future[Any]"], None]


@dataclass(frozen=True, eq=False)
class _Question:
    """What is asked, who takes the answer, and where: on that loop, as part of what was answered when it began."""

    ask: Ask
    take: Take
    loop: asyncio.AbstractEventLoop
    context: Context = field(default_factory=copy_context)
    answer: Future[Any] = field(default_factory=Future)


class Beside:
    """Asks one thing after the other, each instead of the one before: whose answer nobody waits for is thrown away.

    There is no thread before the first question, so a template has none. Asking cannot be broken off: what was given
    up goes on until it is answered, and beside it there are few others. What comes then waits, and only the newest.

    Parameters
    ----------
    at_once:
        How many threads there are at most.
    """

    def __init__(self, *, at_once: int = 2) -> None:
        self._at_once, self._running = at_once, 0
        self._wanted: _Question | None = None
        self._waiting: _Question | None = None

    def ask(self, ask: Ask, take: Take, *, here: bool = False) -> None:
        """Have ``ask`` called in a thread, and ``take`` on this loop with how that ended, unless it is given up before.

        ``here``: it is asked in place, since it takes no time; so it is where no loop runs, and nobody is kept waiting.
        """
        self.give_up()
        loop = None if here else _loop()
        if loop is None:
            take(_asked(ask, Future()))
            return
        self._wanted = self._waiting = _Question(ask, take, loop)
        self._go_on()

    def give_up(self) -> None:
        """Want no answer any more; no-op where none is awaited."""
        self._wanted = self._waiting = None

    def _go_on(self) -> None:
        if self._waiting is None or self._running >= self._at_once:
            return
        question, self._waiting = self._waiting, None
        self._running += 1
        # One that ends with the process: a pool's threads would have it wait for their answers.
        threading.Thread(target=self._work, args=(question,), name="vaas-beside", daemon=True).start()

    def _work(self, question: _Question) -> None:
        _asked(question.ask, question.answer)
        with suppress(RuntimeError):  # the loop has ended meanwhile
            question.loop.call_soon_threadsafe(self._end, question, context=question.context)

    def _end(self, question: _Question) -> None:
        self._running -= 1
        self._go_on()
        if question is self._wanted:
            self._wanted = None
            question.take(question.answer)


def _loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _asked(ask: Ask, answer: Future[Any]) -> Future[Any]:
    """Return the answer once it holds what asking returned or raised."""
    try:
        answer.set_result(ask())
    except Exception as error:
        answer.set_exception(error)
    return answer
