"""What is true of every operator: complete, documented, named in errors, careful before it writes."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import Any

import numpy as np
import pytest

import portkernel as pk
from portkernel import catalog
from portkernel.errors import (
    ArgumentDTypeError,
    ArgumentError,
    ArgumentShapeError,
    ArgumentTypeError,
    DeviceAssertionError,
    OverlapError,
    PortkernelError,
    UnknownBackendError,
    UnknownOperatorError,
)
from portkernel.ops.samples import samples

NAMES = sorted(pk.ops.operators())
INTEGERS = {"bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "right_shift", "invert"}
INSIDE = {"fold", "axes", "row_norm"}
"""Modules of the library whose functions serve others."""


def first(name: str) -> Any:
    return samples(name, "int32" if name in INTEGERS else "float32")[0]


def with_array(args: tuple[Any, ...], make: Any) -> tuple[Any, ...]:
    """``args`` with the first array replaced by ``make`` of it."""
    found = list(args)
    for i, arg in enumerate(found):
        if isinstance(arg, np.ndarray):
            found[i] = make(arg)
            return tuple(found)
        if isinstance(arg, list) and isinstance(arg[0], np.ndarray):
            found[i] = [make(arg[0]), *arg[1:]]
            return tuple(found)
    raise LookupError("it takes no array")


def takes_array(name: str) -> bool:
    try:
        return bool(with_array(first(name).args, lambda x: x))
    except LookupError:
        return False


TAKE_ARRAYS = [name for name in NAMES if takes_array(name)]
FILL_OUT = [n for n in NAMES if "out" in pk.ops.find(n).signature.parameters and len(first(n).reference()) == 1]
"""Those that fill one ``out``."""


def test_every_host_function_of_the_library_is_an_operator() -> None:
    library = catalog.package()
    functions = {op.function for op in pk.ops.operators().values()}
    missing = []
    for info in pkgutil.iter_modules(library.__path__):
        if info.name in INSIDE:
            continue
        module = importlib.import_module(f"{library.__name__}.{info.name}")
        for name, value in vars(module).items():
            if name.startswith("_") or not inspect.isfunction(value) or value in functions:
                continue
            backend = inspect.signature(value).parameters.get("backend")
            is_host = backend is not None and backend.kind is backend.KEYWORD_ONLY
            wrapped = name in pk.ops.operators()  # by an operator with the arguments of another library
            if is_host and value.__module__.startswith(module.__name__) and not wrapped:
                missing.append(f"{info.name}.{name}")
    assert not missing


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_follows(name: str) -> None:
    op = pk.ops.find(name)
    assert getattr(pk.ops, name) is op and name in dir(pk.ops)
    assert op.__doc__ is not None and op.__doc__.rstrip().endswith(
        f"{op.follows}." if op.follows != "portkernel" else "of its own."
    )
    assert {"backend", "device"} <= set(op.signature.parameters)
    assert op.kernels or name in {
        "transpose", "swapaxes", "moveaxis", "squeeze", "expand_dims", "broadcast_to", "split",
    }  # fmt: skip
    assert op.dtypes


@pytest.mark.parametrize("name", TAKE_ARRAYS)
def test_a_complex_array_is_refused_by_name(name: str) -> None:
    sample = first(name)
    args = with_array(sample.args, lambda x: x.astype(np.complex64))
    with pytest.raises(ArgumentDTypeError, match=rf"^{name}\(\): ([\w\[\]]+|argument \d): expected .*complex64"):
        pk.ops.find(name)(*args, **sample.kwargs)


@pytest.mark.parametrize("name", TAKE_ARRAYS)
def test_an_array_of_objects_a_string_or_a_masked_array_is_refused_by_name(name: str) -> None:
    sample = first(name)
    for make in (lambda x: x.astype(object), lambda x: "array", np.ma.masked_array):
        with pytest.raises(
            (ArgumentDTypeError, ArgumentTypeError, ArgumentError, ArgumentShapeError), match=rf"^{name}\(\): "
        ):
            pk.ops.find(name)(*with_array(sample.args, make), **sample.kwargs)


@pytest.mark.parametrize("name", FILL_OUT)
def test_out_is_checked_before_anything_is_launched(name: str) -> None:
    op, sample = pk.ops.find(name), first(name)
    want = op(*sample.args, **sample.kwargs, backend="numpy")
    pk.reset_stats()
    short = np.full((*want.shape, 2), 7, want.dtype)
    with pytest.raises(ArgumentShapeError, match=rf"^{name}\(\): out: expected shape"):
        op(*sample.args, **sample.kwargs, out=short)
    other = np.full(want.shape, 7, np.complex128)
    with pytest.raises(ArgumentDTypeError, match=rf"^{name}\(\): out: "):
        op(*sample.args, **sample.kwargs, out=other)
    locked = np.full(want.shape, 7, want.dtype)
    locked.flags.writeable = False
    with pytest.raises(PortkernelError, match=rf"^{name}\(\): out: expected a writable array"):
        op(*sample.args, **sample.kwargs, out=locked)
    assert all((x == x.dtype.type(7)).all() for x in (short, other, locked))
    assert not pk.stats().launches


@pytest.mark.parametrize("name", [name for name in FILL_OUT if name in TAKE_ARRAYS])
def test_an_overlapping_out_is_refused_and_left_as_it_was(name: str) -> None:
    op, sample = pk.ops.find(name), first(name)
    want = op(*sample.args, **sample.kwargs, backend="numpy")
    assert want.size
    moved: list[np.ndarray] = []

    def overlapping(x: np.ndarray) -> np.ndarray:
        """A copy of x at the beginning of memory that ``out`` also lies in, one element further."""
        room = np.zeros(x.nbytes + want.nbytes + 64, np.uint8)
        place = room[: x.nbytes].view(x.dtype).reshape(x.shape)
        place[...] = x
        start = want.dtype.itemsize
        moved.append(room[start : start + want.nbytes].view(want.dtype).reshape(want.shape))
        return place

    args = with_array(sample.args, overlapping)
    before = moved[0].copy()
    pk.reset_stats()
    with pytest.raises(OverlapError, match=rf"^{name}\(\): out: expected memory of its own, got memory shared with"):
        op(*args, **sample.kwargs, out=moved[0])
    assert np.array_equal(moved[0], before, equal_nan=want.dtype.kind == "f") and not pk.stats().launches


@pytest.mark.parametrize("name", NAMES)
def test_names_and_routes_that_are_none_are_refused(name: str) -> None:
    op, sample = pk.ops.find(name), first(name)
    with pytest.raises(ArgumentError, match=rf"^{name}\(\): "):
        op(*sample.args, **sample.kwargs, no_such_argument=1)
    with pytest.raises(UnknownBackendError, match=rf"^{name}\(\): backend: "):
        op(*sample.args, **sample.kwargs, backend="vulkan")
    with pytest.raises(ArgumentTypeError, match=rf"^{name}\(\): backend: "):
        op(*sample.args, **sample.kwargs, backend=3.5)


X = np.ones((2, 4, 6, 6), np.float32)
W = np.ones((4, 4, 3, 3), np.float32)
MISTAKES: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {
    "padding that is not finite": ("conv2d", (X, W), {"padding": float("nan")}),
    "negative stride": ("conv2d", (X, W), {"stride": -1}),
    "groups": ("conv2d", (X, W), {"groups": 3}),
    "padding of a pool": ("max_pool2d", (X, 2), {"padding": float("inf")}),
    "rank of a pool": ("max_pool3d", (X[0], 2), {}),
    "output size": ("adaptive_avg_pool2d", (X, -1), {}),
    "weight": ("linear", (X, W), {}),
    "bias": ("linear", (X[0, 0], W[0, 0, :, :1].repeat(6, 1), np.ones(4, np.float32)), {}),
    "inner sizes": ("matmul", (X[0, 0], X[0, 0, :5]), {}),
    "dropout": ("scaled_dot_product_attention", (X, X, X), {"dropout_p": 0.5}),
    "axis": ("softmax", (X, 7), {}),
    "negative size": ("zeros", ((2, -1),), {}),
    "endless step": ("arange", (0, 3, 0), {}),
    "elements": ("reshape", (X, (7, -1)), {}),
    "axes": ("transpose", (X, (0, 0, 1, 2)), {}),
    "length 1": ("squeeze", (X, 1), {}),
    "broadcast": ("broadcast_to", (X, (3, 3)), {}),
    "shapes": ("stack", ([X, X[0]],), {}),
    "sections": ("split", (X, 4, 2), {}),
    "nothing": ("concatenate", ([],), {}),
    "negative width": ("pad", (X, -1), {}),
    "dtypes": ("add", (np.ones(2, np.uint64), np.ones(2, np.int64)), {}),
    "index": ("gather", (X, 1, np.zeros((9, 1, 1, 1), np.int64)), {}),
    "limits": ("clamp", (X,), {}),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named_before_a_launch(mistake: str) -> None:
    name, args, kwargs = MISTAKES[mistake]
    pk.reset_stats()
    with pytest.raises(PortkernelError, match=rf"^{name}\(\): .*expected"):
        pk.ops.find(name)(*args, **kwargs)
    assert not pk.stats().launches


@pytest.mark.parametrize("name", ["take", "index_select", "embedding", "gather"])
def test_an_index_outside_is_named_by_the_operator_each_time(name: str) -> None:
    x, good, bad = np.ones((3, 4), np.float32), np.array([[0, 1]]), np.array([[0, 9]])
    arguments: dict[str, Any] = {
        "take": lambda i: (x, i[0], 0), "index_select": lambda i: (x, 0, i[0]), "embedding": lambda i: (i, x),
        "gather": lambda i: (x, 1, i),
    }  # fmt: skip
    for _ in range(4):  # the later ones without the host function
        pk.ops.find(name)(*arguments[name](good), backend="numpy")
        with pytest.raises(DeviceAssertionError, match=rf"^{name}\(\): .*an index outside"):
            pk.ops.find(name)(*arguments[name](bad), backend="numpy")


def test_names_of_other_libraries_for_the_first_array() -> None:
    assert pk.ops.softmax(input=X, backend="numpy").shape == X.shape
    assert pk.ops.sum(a=X, backend="numpy") == X.size


def test_unknown_operators() -> None:
    with pytest.raises(UnknownOperatorError, match=r"find\(\): name: .*'softmacs'") as caught:
        pk.ops.find("softmacs")
    assert "softmax" in caught.value.hint
    with pytest.raises(AttributeError):
        _ = pk.ops.softmacs
