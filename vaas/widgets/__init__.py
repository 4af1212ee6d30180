"""Views for notebooks, made with ipyvuetify: the discovery dashboard. They run in the app environment."""

from __future__ import annotations

__all__: list[str] = []
