"""What a sample is, and how one is written down."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...catalog import ratio
from ...dtypes import DType

Array = Any
Arrays = tuple[Array, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """``op(*args, **kwargs)``, NumPy arrays among them, with what it must give.

    ``reference()`` gives the results in float64 or exact integers, ``bound()`` the absolute error allowed for each element;
    both are tuples, of one array for an operator with one result. ``args[0]`` is not always an array: gradients of
    convolutions begin with a shape.
    """

    label: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    reference: Callable[[], Arrays]
    bound: Callable[[], Arrays]
    features: frozenset[str] = field(default=frozenset())
    """What the sample tries beyond the plain call: ``transposed``, ``strided``, ``broadcast``, ``empty``, ``groups`` …"""

    def check(self, got: Any) -> float:
        """The largest error of the results ``got`` (NumPy) as a multiple of its bound: at most 1 where all is right."""
        found = tuple(got) if isinstance(got, (tuple, list)) else (got,)
        want, bound = self.reference(), self.bound()
        if len(found) != len(want):
            return float("inf")
        return max(
            (ratio(np.asarray(g), np.asarray(w), np.asarray(b)) for g, w, b in zip(found, want, bound, strict=True)),
            default=0.0,
        )


Maker = Callable[[DType, np.random.Generator], Iterator[Sample]]


def tuple_of(found: Any) -> Arrays:
    """One result, or several, as a tuple."""
    return tuple(found) if isinstance(found, (tuple, list)) else (found,)


def exactly(want: Any) -> Arrays:
    """The bound of results that must be exact."""
    return tuple(np.zeros(np.shape(w)) for w in tuple_of(want))


def sample_of(
    label: str,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    reference: Callable[[], Any],
    bound: Callable[..., Any] | None = None,
    features: str = "",
) -> Sample:
    """A sample from functions that give one array or several; ``bound`` takes the reference's results, None is exact."""

    def bounds() -> Arrays:
        want = tuple_of(reference())
        return exactly(want) if bound is None else tuple_of(bound(*want))

    return Sample(label, args, kwargs, lambda: tuple_of(reference()), bounds, frozenset(features.split()))
