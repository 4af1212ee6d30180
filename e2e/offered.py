"""The file of a site that offers one place, for the tests in which that place fails."""

from __future__ import annotations

__all__ = ["offered"]

_FILE = """
[[size]]
id = "small"
title = "Small"
cores = 1
memory = "2 GB"
[[environment]]
id = "apps"
title = "As in apps"
kind = "python"
[[facility]]
environments = ["apps"]
sizes = ["small"]
"""


def offered(facility: str) -> str:
    """Return the file; ``facility`` are the lines that say which place it is."""
    return f"{_FILE}{facility}\n"
