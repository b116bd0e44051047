"""Shapes of health."""

from __future__ import annotations

from typing import Literal

from web.schemas.base import Out


class Part(Out):
    """One thing that the service leans on: how it is, how long the look took, and why it is not well."""

    state: Literal["ok", "degraded", "down"]
    took_ms: float
    reason: str | None = None


class Health(Out):
    """Whether this process can answer: `down` where it cannot, `degraded` where something works less well."""

    status: Literal["ok", "degraded", "down"]
    parts: dict[str, Part]


class Alive(Out):
    """The process answers."""

    status: Literal["ok"]
