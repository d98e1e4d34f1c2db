"""Elementary functions in Triton's own primitives."""

from __future__ import annotations

FUNCTIONS: dict[str, str] = {}
