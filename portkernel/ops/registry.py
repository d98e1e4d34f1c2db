"""The operators by name: those of the table, and those that users register."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from types import MappingProxyType

from ..errors import UnknownOperatorError
from .operator import Operator
from .table import rows


@cache
def table() -> dict[str, Operator]:
    """The registry itself; :func:`operators` is how others see it."""
    return {row.name: Operator(row) for row in rows()}


def operators() -> Mapping[str, Operator]:
    """Every operator by name, those that users registered last. The mapping follows later registrations."""
    return MappingProxyType(table())


def find(name: Operator | str) -> Operator:
    """The operator called ``name``, or which ``name`` is. Raises :class:`~portkernel.errors.UnknownOperatorError`.

    >>> find("softmax").follows
    'portkernel'
    """
    if isinstance(name, Operator):
        return name
    found = table().get(name) if isinstance(name, str) else None
    if found is None:
        near = get_close_matches(str(name), table(), n=3)
        raise UnknownOperatorError(
            f"find(): name: expected an operator of portkernel.ops, got {name!r}",
            hint=f"did you mean {' or '.join(near)}?" if near else "dir(portkernel.ops) lists them",
        )
    return found
