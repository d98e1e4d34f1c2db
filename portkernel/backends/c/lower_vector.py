"""Which loops of the CPU schedule run over vectors."""

from __future__ import annotations

from collections.abc import Iterable

from ...ir import Store, Value
from .state import State


def lanes_for(s: State, shape: tuple[int, ...], roots: Iterable[Value], store: Store | None = None) -> int:
    """How many neighbours along the last dimension of ``shape`` to compute at once."""
    return 1
