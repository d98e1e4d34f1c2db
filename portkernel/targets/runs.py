"""What was executed on a target: read from recorded coverage reports, never from a profile."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ProfileError
from .detection import target_of_device

FORMAT = "portkernel-coverage-1"
_RAN = ("native", "emulated", "wrong", "degraded")
"""States of cells whose kernels were launched on the device."""


@dataclass(frozen=True, slots=True)
class Executed:
    """What a recorded run launched on a device that is a target: cells by state, and where it was."""

    target: str
    device: str
    driver: str
    backend: str
    date: str
    commit: str
    cells: Mapping[str, int]

    def __str__(self) -> str:
        counts = ", ".join(f"{n} {state}" for state, n in self.cells.items())
        return f"{self.date}: {self.device} by {self.backend} ({self.driver}): {counts}" + (
            f"; commit {self.commit[:10]}" if self.commit else ""
        )


def recorded(file: Path) -> tuple[Executed, ...]:
    """What the coverage report in ``file`` shows as executed, by target. Raises :class:`~portkernel.errors.ProfileError`."""
    try:
        document: Any = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ProfileError(f"{file.name}: expected a coverage report as JSON, got: {error}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ProfileError(
            f"{file.name}: format: expected {FORMAT}", hint="portkernel coverage --format json writes it"
        )
    try:
        return tuple(_executed(document))
    except (KeyError, TypeError) as error:
        raise ProfileError(f"{file.name}: expected a whole coverage report, got one without {error}") from None


def _executed(document: Any) -> Iterator[Executed]:
    for column in document["columns"]:
        target = target_of_device(column["name"]) if column["kind"] == "device" else ""
        if not target:
            continue
        cells: dict[str, int] = {}
        for cell in document["cells"]:
            if cell["column"] == column["id"] and cell["state"] in _RAN and cell.get("launches"):
                cells[cell["state"]] = cells.get(cell["state"], 0) + 1
        if cells:
            where = document["made"]
            yield Executed(
                target, column["name"], column["driver"], column["backend"], where["date"], where["commit"], cells
            )
