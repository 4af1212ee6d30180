"""What is inside files: the port, and the readers that are kept apart from everything else."""

from __future__ import annotations

__all__: list[str] = []
