"""Samples of operators that arrange elements: views, copies, joins, and arrays made from nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from ...catalog import exact, rounding, sample
from ...dtypes import DType
from .elementwise import working
from .sample import Array, Maker, Sample, sample_of

Case = tuple[str, tuple[Any, ...], dict[str, Any]]
"""Label, what follows the array, keywords."""


def _moved(
    function: Callable[..., Any],
    shape: tuple[int, ...],
    cases: tuple[Case, ...],
    dtype: DType,
    rng: np.random.Generator,
) -> Iterator[Sample]:
    """NumPy's ``function`` of an array, plain, transposed, strided and empty."""
    for label, rest, options in cases:
        plain = sample(rng, shape, dtype)
        wide = sample(rng, (*shape[:-1], 3 * shape[-1]), dtype)
        turned = np.asfortranarray(sample(rng, shape, dtype))
        for layout, x in (("", plain), ("strided", wide[..., ::-3]), ("transposed", turned)):
            yield sample_of(
                f"{label}{', ' if layout else ''}{layout}", (x, *rest), options,
                lambda x=x, rest=rest, options=options: function(exact(x), *rest, **options), None, layout,
            )  # fmt: skip


_VIEWS: dict[str, tuple[Callable[..., Any], tuple[int, ...], tuple[Case, ...]]] = {
    "transpose": (np.transpose, (3, 4, 5), (("reversed", (), {}), ("order", ((1, 2, 0),), {}))),
    "transposed_copy": (np.transpose, (3, 4, 5), (("reversed", (), {}), ("order", ((1, 2, 0),), {}))),
    "swapaxes": (np.swapaxes, (3, 4, 5), (("outer", (0, 2), {}),)),
    "moveaxis": (np.moveaxis, (3, 4, 5), (("one", (0, -1), {}), ("two", ((0, 1), (2, 0)), {}))),
    "squeeze": (np.squeeze, (3, 1, 5), (("all", (), {}), ("one", (1,), {}))),
    "expand_dims": (np.expand_dims, (3, 5), (("front", (0,), {}), ("two", ((0, -1),), {}))),
    "broadcast_to": (np.broadcast_to, (3, 1, 5), (("rows", ((2, 3, 4, 5),), {}),)),
    "reshape": (np.reshape, (4, 6, 5), (("flat", ((-1,),), {}), ("split", ((2, 2, 3, 10),), {}))),
    "ravel": (np.ravel, (3, 4, 5), (("all", (), {}),)),
    "split": (np.split, (6, 5), (("sections", (3,), {}), ("indices", ([1, 4],), {}))),
    "tril": (np.tril, (3, 9, 7), (("main", (), {}), ("below", (-2,), {}))),
    "triu": (np.triu, (3, 9, 7), (("main", (), {}), ("above", (2,), {}))),
    "pad": (
        np.pad, (5, 7),
        (("all", (2,), {}), ("edge", (((1, 0), (0, 3)),), {"mode": "edge"}), ("reflect", ((1, 2),), {"mode": "reflect"})),
    ),
}  # fmt: skip


def _joined(
    function: Callable[..., Any], axes: tuple[int, ...], dtype: DType, rng: np.random.Generator
) -> Iterator[Sample]:
    for axis in axes:
        for layout in ("", "transposed"):
            shape = (5, 5)
            arrays = [sample(rng, shape, dtype) for _ in range(3)]
            arrays = [x.T for x in arrays] if layout else arrays
            yield sample_of(
                f"axis {axis}{', ' if layout else ''}{layout}", (arrays, axis), {},
                lambda arrays=arrays, axis=axis: function([exact(x) for x in arrays], axis), None, layout,
            )  # fmt: skip


def _full(name: str, dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    value = {"full": 3, "zeros": 0, "ones": 1}[name]
    given = (value,) if name == "full" else ()
    for shape in ((7, 65), (), (0, 3)):
        yield sample_of(
            str(shape), (shape, *given, dtype.name), {}, lambda shape=shape: np.full(shape, float(dtype.np.type(value))), None,
            "empty" if 0 in shape else "",
        )  # fmt: skip


def _full_like(name: str, dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    value = {"full_like": 3, "zeros_like": 0, "ones_like": 1}[name]
    given = (value,) if name == "full_like" else ()
    for x in (sample(rng, (7, 65), dtype), sample(rng, (3, 5), dtype).T):
        yield sample_of(str(x.shape), (x, *given), {}, lambda x=x: np.full(x.shape, float(dtype.np.type(value))))


def _arange(dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    for label, given in (("stop", (65,)), ("step", (3, 40, 5)), ("none", (4, 4))):

        def reference(given: tuple[int, ...] = given) -> Array:
            return np.arange(*given).astype(np.float64)

        yield sample_of(
            label, given, {"dtype": dtype.name}, reference,
            lambda want: 4 * working(dtype).eps * np.abs(want) + rounding(want, dtype)
            if dtype.is_float else np.zeros(want.shape),
            "empty" if label == "none" else "",
        )  # fmt: skip


MAKERS: dict[str, Maker] = {
    **{name: partial(_moved, *facts) for name, facts in _VIEWS.items()},
    "concatenate": partial(_joined, np.concatenate, (0, 1)),
    "cat": partial(_joined, np.concatenate, (0, 1)),
    "stack": partial(_joined, np.stack, (0, 2)),
    **{name: partial(_full, name) for name in ("full", "zeros", "ones")},
    **{name: partial(_full_like, name) for name in ("full_like", "zeros_like", "ones_like")},
    "arange": _arange,
}
