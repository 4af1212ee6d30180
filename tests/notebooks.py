"""Small notebooks for tests, made on the spot."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["code", "markdown", "notebook", "write_notebook"]


def code(source: str, *, tags: Sequence[str] = (), outputs: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Return a code cell."""
    return {
        "cell_type": "code",
        "source": source,
        "metadata": {"tags": list(tags)} if tags else {},
        "outputs": list(outputs),
        "execution_count": None,
    }


def markdown(source: str) -> dict[str, Any]:
    """Return a Markdown cell."""
    return {"cell_type": "markdown", "source": source, "metadata": {}}


def notebook(
    *cells: Mapping[str, Any] | str,
    kernel: str = "python3",
    language: str = "python",
    metadata: Mapping[str, Any] | None = None,
) -> bytes:
    """Return a notebook of format 4.5 as it lies on disk; a plain string is a code cell."""
    made = [dict(code(cell) if isinstance(cell, str) else cell) for cell in cells]
    for number, cell in enumerate(made, start=1):
        cell.setdefault("id", f"cell-{number}")
    kernelspec = {"kernelspec": {"name": kernel, "language": language, "display_name": kernel}} if kernel else {}
    document = {"nbformat": 4, "nbformat_minor": 5, "metadata": {**kernelspec, **(metadata or {})}, "cells": made}
    return json.dumps(document, indent=1).encode()


def write_notebook(path: Path, *cells: Mapping[str, Any] | str, **options: Any) -> Path:
    """Write such a notebook to ``path``, with the folders above it, and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(notebook(*cells, **options))
    return path
