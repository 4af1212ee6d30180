"""The part of the database port that is about launches, runs and schedules."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from vaas.launching import Launch, Run, Schedule
from vaas.model import Snapshot

__all__ = ["Launches", "Runs", "Schedules"]


class Launches(ABC):
    """Full servers that people asked for."""

    @abstractmethod
    def get(self, launch_id: str) -> Launch | None:
        """Return the launch, or None."""

    @abstractmethod
    def of(self, owner: str) -> list[Launch]:
        """Return the person's, the newest first."""

    @abstractmethod
    def save(self, launch: Launch) -> None:
        """Add or replace it."""

    @abstractmethod
    def remove(self, launch_id: str) -> None:
        """Remove it; no-op when there is none."""


class Runs(ABC):
    """Notebooks that are run once."""

    @abstractmethod
    def get(self, run_id: str) -> Run | None:
        """Return the run, or None."""

    @abstractmethod
    def of(self, owner: str, *, series: str = "", limit: int = 200) -> list[Run]:
        """Return the person's, the newest first, of one series alone when it is named; without their files."""

    @abstractmethod
    def open(self) -> list[Run]:
        """Return all that are queued or running, the oldest first; without files, values, and what was asked for.

        They are to be looked at: who goes on with one gets it whole.
        """

    @abstractmethod
    def snapshots(self) -> list[Snapshot]:
        """Return the notebooks of all that are queued or running, each once."""

    @abstractmethod
    def trim(self, owner: str, *, keep: int) -> None:
        """Remove the person's oldest that are over, but for so many."""

    @abstractmethod
    def unseen(self, owner: str, *, since: datetime) -> list[str]:
        """Return the ids of the person's that ended since and are not marked as "seen" in their progress."""

    @abstractmethod
    def save(self, run: Run) -> None:
        """Add or replace it."""

    @abstractmethod
    def move(self, run: Run, *, before: Collection[str]) -> bool:
        """Replace it if its state is one of ``before`` at this moment; return whether it was."""

    @abstractmethod
    def note(self, run_id: str, **columns: Any) -> bool:
        """Write these of one that is over, and nothing else of it; return whether there is one."""

    @abstractmethod
    def remove(self, run_id: str) -> None:
        """Remove it; no-op when there is none."""


class Schedules(ABC):
    """When runs are repeated."""

    @abstractmethod
    def get(self, schedule_id: str) -> Schedule | None:
        """Return the schedule, or None."""

    @abstractmethod
    def of(self, owner: str) -> list[Schedule]:
        """Return the person's, the newest first."""

    @abstractmethod
    def ended(self, owner: str) -> dict[str, Mapping[str, Any]]:
        """Return the person's that begin nothing any more: id → what was asked."""

    @abstractmethod
    def due(self, now: datetime) -> list[Schedule]:
        """Return those whose next time has come, the oldest first."""

    @abstractmethod
    def save(self, schedule: Schedule) -> None:
        """Add or replace it."""

    @abstractmethod
    def remove(self, schedule_id: str) -> None:
        """Remove it; no-op when there is none."""
