"""Every operator on its samples, on the reference and on OpenCL, against float64 within the stated bound."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

import portkernel as pk
from portkernel.errors import ArgumentDTypeError, DTypeError
from portkernel.ops.samples import makers, samples

OPENCL = pytest.param("opencl", marks=pytest.mark.skipif(not importlib.util.find_spec("pyopencl"), reason="no OpenCL"))
INTEGERS = {"bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "right_shift", "invert"}


def test_every_operator_has_samples() -> None:
    assert set(makers()) == set(pk.ops.operators())


@pytest.mark.parametrize("backend", ["numpy", OPENCL])
@pytest.mark.parametrize("name", sorted(pk.ops.operators()))
def test_operator(name: str, backend: str) -> None:
    found = samples(name, "int32" if name in INTEGERS else "float32")
    assert found
    if backend == "opencl":  # a compilation each: the coverage report tries them all
        found = found[:1]
    worst = {}
    for sample in found:
        got = pk.ops.find(name)(*sample.args, **sample.kwargs, backend=backend)
        worst[sample.label] = sample.check(got)
    assert max(worst.values()) <= 1, worst
    assert len({s.label for s in found}) == len(found)


@pytest.mark.parametrize("name", sorted(pk.ops.operators()))
def test_samples_are_the_same_each_time(name: str) -> None:
    first, second = (samples(name, "int32" if name in INTEGERS else "float32", 5) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert a.label == b.label
        for x, y in zip(a.args, b.args, strict=True):
            assert not isinstance(x, np.ndarray) or np.array_equal(x, y, equal_nan=x.dtype.kind == "f")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "int8", "int64", "uint8", "bool"])
def test_other_dtypes_are_right_or_refused(dtype: str) -> None:
    wrong, refused = {}, set()
    for name, operator in pk.ops.operators().items():
        sample = samples(name, dtype)[0]
        try:
            error = sample.check(operator(*sample.args, **sample.kwargs, backend="numpy"))
        except (ArgumentDTypeError, DTypeError) as e:
            assert name == "elementwise" or e.message.startswith(f"{name}(): "), (
                e.message
            )  # it speaks of its caller's text
            refused.add(name)
            continue
        if not error <= 1:
            wrong[name] = error
        assert pk.dtypes.as_dtype(dtype) in operator.dtypes
    assert not wrong
    assert ("softmax" in refused) == (dtype in ("int8", "int64", "uint8", "bool"))
