"""The operator sets that percentages are of, and which of our operators serve their members.

The sets are data that ``tools/write_sets.py`` takes from PyTorch's tags and ONNX's schemas; a test compares them with the
installed packages. Who serves what is read from the integrations' own tables, where their packages are installed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.resources import files
from importlib.util import find_spec


@dataclass(frozen=True, slots=True)
class OperatorSet:
    """A set of operators: ``what`` they are, with version, and their names."""

    key: str
    what: str
    names: frozenset[str]


@cache
def sets() -> dict[str, OperatorSet]:
    """The known sets by key."""
    assert __package__ is not None
    read = json.loads(files(__package__).joinpath("sets.json").read_text(encoding="utf-8"))
    return {key: OperatorSet(key, found["what"], frozenset(found["names"])) for key, found in read.items()}


@cache
def aten_by_operator() -> dict[str, tuple[str, ...]] | None:
    """Core ATen overloads by the operator of ours that computes them; None without PyTorch."""
    if find_spec("torch") is None:
        return None
    table = import_module("portkernel.integrations.torch.aten").TABLE
    core = sets()["aten-core"].names
    found: dict[str, list[str]] = {}
    for overload, rule in table.items():
        space, _, base = overload._schema.name.partition("::")  # others beside aten have operators of the same names
        name = f"{base}.{overload._schema.overload_name or 'default'}"
        if space == "aten" and name in core:
            found.setdefault(rule.operator, []).append(name)
    return {name: tuple(sorted(overloads)) for name, overloads in found.items()}


@cache
def onnx_implemented() -> frozenset[str] | None:
    """The ONNX operators that the integration implements in some version; None without the onnx package."""
    if find_spec("onnx") is None:
        return None
    registry = import_module("portkernel.integrations.onnx.registry")
    import_module("portkernel.integrations.onnx.operators")
    return frozenset(name for domain, name in registry.TABLE if not domain) & sets()["onnx"].names
