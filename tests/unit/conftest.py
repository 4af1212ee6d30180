"""The portal over HTTP, for every unit test that asks for it."""

from __future__ import annotations

from tests.unit.test_handlers import site

__all__ = ["site"]
