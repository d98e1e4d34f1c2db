"""The operators that ATen is mapped to, by name. Everything in this package that computes goes through :func:`call`."""

from __future__ import annotations

from typing import Any

from portkernel.ops import find


def call(name: str, *args: Any, **kwargs: Any) -> Any:
    """The operator ``name`` of these arguments. Raises what it raises."""
    return find(name)(*args, **kwargs)
