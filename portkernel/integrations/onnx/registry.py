"""The table of ONNX operators: (domain, operator, range of versions) to a function over ``pk.ops``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

Function = Callable[..., Any]


class Work(Enum):
    """What a node's function does."""

    KERNELS = "kernels"
    """Computes with kernels: a node with elements to compute and no launch is a mistake."""
    VIEW = "view"
    """Shapes, strides and names: another look at memory, a list, a constant. Nothing is computed."""
    CONTROL = "control"
    """Runs subgraphs, whose nodes count for themselves."""


@dataclass(frozen=True, slots=True)
class Implementation:
    """``run`` takes the node's inputs by position (None where left out) and its attributes by name.

    ``wants_node`` says that it also takes ``node``, a :class:`.executor.Node`. ``since`` and ``until`` are the opset
    versions of the operator's definition, both included.
    """

    op_type: str
    domain: str
    since: int
    until: int
    run: Function
    work: Work
    wants_node: bool


TABLE: dict[tuple[str, str], list[Implementation]] = {}
LATEST = 1 << 30


def operator(
    *names: str, since: int = 1, until: int = LATEST, work: Work = Work.KERNELS, domain: str = "", node: bool = False
) -> Callable[[Function], Function]:
    """Register a function for the operators called ``names``, whose definitions date from ``since`` to ``until``."""

    def register(function: Function) -> Function:
        for name in names:
            TABLE.setdefault((domain, name), []).append(
                Implementation(name, domain, since, until, function, work, node)
            )
        return function

    return register


def find(domain: str, op_type: str, version: int) -> Implementation | None:
    """The implementation of an operator as its definition of opset ``version`` has it; None if there is none."""
    from . import operators  # noqa: F401  # fills the table

    for found in TABLE.get((domain, op_type), ()):
        if found.since <= version <= found.until:
            return found
    return None
