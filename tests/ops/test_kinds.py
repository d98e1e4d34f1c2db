"""Arguments that are no arrays: what is of another kind, or out of all range, is refused by name before a launch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import portkernel as pk
from portkernel.errors import ArgumentError, ArgumentShapeError, ArgumentTypeError
from portkernel.ops.samples import samples

X = np.ones((2, 4, 6, 6), np.float32)
W = np.ones((4, 4, 3, 3), np.float32)
STRANGE = {
    "array": np.ones(3), "array without dimensions": np.ones(()), "tensor": torch.ones(2), "complex": 1j, "dict": {},
    "class": np.float32, "object": object(),
}  # fmt: skip
INTEGERS = {"bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "right_shift", "invert"}


@pytest.fixture(autouse=True)
def reference() -> Any:
    with pk.use(backend="numpy"):
        yield


@pytest.mark.parametrize("name", [n for n, op in pk.ops.operators().items() if op.checks])
def test_every_argument_that_is_no_array_is_checked(name: str) -> None:
    op = pk.ops.find(name)
    sample = samples(name, "int32" if name in INTEGERS else "float32")[0]
    checked = [n for n, _ in op.checks if n not in ("backend", "device", "arrays", "tensors", "a", "b", "out")]
    pk.reset_stats()
    for argument in checked:
        for value in STRANGE.values():
            if argument in ("fn", "activation") and callable(value):
                continue
            bound = op.signature.bind(*sample.args, **sample.kwargs)
            bound.arguments[argument] = value
            args, kwargs = bound.args, bound.kwargs
            if argument not in kwargs and argument not in op.parameters[: len(args)]:  # behind one that is left out
                kwargs = {**kwargs, argument: value}
            with pytest.raises(ArgumentTypeError, match=rf"^{name}\(\): {argument}: expected \w.*, got .+") as caught:
                op(*args, **kwargs)
            assert "\n" not in caught.value.message
    assert not pk.stats().launches


@pytest.mark.parametrize(
    ("message", "name", "args", "kwargs"),
    [
        (r"ddof: expected a number, got ndarray of shape \(3,\)", "var", (X,), {"ddof": np.ones(3)}),
        (r"padding: expected an integer, got Tensor of shape \(\)", "conv2d", (X, W), {"padding": torch.tensor(1.5)}),
        (r"padding: expected an integer, got Tensor of shape \(2,\)", "conv2d", (X, W), {"padding": torch.ones(2)}),
        (r"axes: expected a sequence of integers, got 3", "transposed_copy", (X,), {"axes": 3}),
        (r"fn: expected a function, got None", "elementwise", (None, X), {}),
        (r"num_groups: expected an integer, got True", "group_norm", (X, True), {}),
        (r"groups: expected an integer, got True", "conv2d", (X, W), {"groups": True}),
        (r"axis: expected an integer, got True", "softmax", (X, True), {}),
        (r"shape: expected an integer of at most 64 bits, got 1000+", "zeros", (10**30,), {}),
        (r"shape: expected an integer of at most 64 bits, got \(1000+,\)", "full", ((10**30,), 1), {}),
        (r"output_size: expected an integer of at most 64 bits, got 1000+", "adaptive_avg_pool2d", (X, 10**30), {}),
        (r"padding: expected an integer of at most 64 bits, got 1000+", "conv2d", (X, W), {"padding": 10**30}),
        (r"source: expected an integer, got ndarray of shape \(\)", "moveaxis", (X, np.ones(()), 1), {}),
        (r"a: expected a sequence of arrays, got Tensor of shape \(\)", "matmul_list", (torch.ones(()), [X]), {}),
        (r"out: expected a sequence of arrays, got 3", "matmul_list", ([X[0, 0]], [X[0, 0]]), {"out": 3}),
    ],
)  # fmt: skip
def test_the_message(message: str, name: str, args: Any, kwargs: Any) -> None:
    with pytest.raises(ArgumentTypeError, match=rf"^{name}\(\): {message}$"):
        pk.ops.find(name)(*args, **kwargs)


@pytest.mark.parametrize(
    ("name", "args", "kwargs"),
    [
        ("zeros", (2**62,), {}),
        ("ones", ((2**40, 2**40),), {}),
        ("arange", (10**30,), {}),
        ("arange", (0, 1, 1e-300), {}),
        ("full", ((2**62, 4), 1, "float64"), {"like": torch.ones(1)}),
        ("conv2d", (X, W), {"padding": 2**61}),
        ("adaptive_avg_pool2d", (X, 2**40), {}),
        ("embedding_gradient", (X[0, 0], np.arange(6), 2**62), {}),
    ],
)
def test_results_that_no_memory_could_hold(name: str, args: Any, kwargs: Any) -> None:
    with pytest.raises(ArgumentShapeError, match=rf"^{name}\(\): expected a result of at most \d+ bytes, got shape"):
        pk.ops.find(name)(*args, **kwargs)


def test_one_array_in_the_place_of_several() -> None:
    square = X[0, 0]
    with pytest.raises(ArgumentShapeError, match=r"^matmul_list\(\): \[0\]: out: expected shape"):
        pk.ops.matmul_list([square, square], [square, square], out=torch.ones((2, 3)))


def test_what_is_an_integer_stays_one() -> None:
    one = pk.ops.conv2d(X, W, padding=1)
    for padding in (np.int64(1), (1, 1), [1, 1], np.ones(2, int), ((1, 1), (1, 1))):
        assert np.array_equal(pk.ops.conv2d(X, W, padding=padding), one)
    with pytest.raises(
        ArgumentError, match=r"^conv2d\(\): padding: expected an integer of at least 0, or 2 of them, got"
    ):
        pk.ops.conv2d(X, W, padding=torch.ones(2, dtype=torch.int64))
    assert pk.ops.zeros(torch.Size([2, 3])).shape == pk.ops.zeros(np.array([2, 3])).shape == (2, 3)
    assert pk.ops.adaptive_avg_pool2d(X, (None, 2)).shape == (2, 4, 6, 2)
    assert pk.ops.sum(X, axis=range(2)).shape == (6, 6)
    assert pk.ops.var(X, ddof=np.float32(1.5)) == pk.ops.var(X, ddof=1.5)


def test_functions_that_do_not_fit() -> None:
    with pytest.raises(ArgumentTypeError, match=r"^elementwise\(\): fn: expected a function of 2 arguments, got one"):
        pk.ops.elementwise(lambda x: x, X, X)
    with pytest.raises(ArgumentTypeError, match=r"^elementwise\(\): fn: expected a function that gives a tile, got 3"):
        pk.ops.elementwise(lambda x: 3, X)
    with pytest.raises(pk.errors.ArgumentDTypeError, match=r"^elementwise\(\): dtype: expected a dtype, got 'no'"):
        pk.ops.elementwise(lambda x: x, X, dtype="no")
    assert np.array_equal(pk.ops.elementwise(lambda x, y=2.0: x * y, X), X * 2)  # a default counts


def test_an_operator_of_the_users_own_checks_its_arguments_itself() -> None:
    def either(x: Any, axis: int = 0) -> Any:
        return pk.ops.exp(x)

    made = pk.ops.register_op("either_kind", either)
    try:
        assert made(X, axis="anything").shape == X.shape
    finally:
        pk.ops.registry.table().pop("either_kind")
