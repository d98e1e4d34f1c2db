"""Mistakes in calls that come before a launch: one clear error each, by class and by message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import portkernel as pk
from portkernel.errors import (
    ArgumentDTypeError,
    ArgumentShapeError,
    ArgumentTypeError,
    CaptureError,
    PortkernelError,
    UnknownOperatorError,
)

X = np.ones((4, 6), np.float32)
Call = Callable[[], Any]


def enter(**options: Any) -> None:
    with pk.use(**options):
        pass


def body(x: Any) -> None:
    pk.store(x, (0, 0), pk.zeros((1, 1), x.dtype))


MISTAKES: list[tuple[Call, type[PortkernelError], str]] = [
    (lambda: pk.ops.find(3), UnknownOperatorError, r"find\(\): name: expected an operator of portkernel.ops, got 3"),
    (lambda: pk.explain(3, X), UnknownOperatorError, r"find\(\): name: expected an operator of portkernel.ops, got 3"),
    (lambda: pk.supports(None), UnknownOperatorError, r"find\(\): name: expected an operator .*, got None"),
    (lambda: pk.supports("exp", dtype="no"), ArgumentDTypeError, r"supports\(\): dtype: expected a dtype, got 'no'"),
    (
        lambda: pk.register_op("new", abs, dtypes=["no"]),
        ArgumentDTypeError,
        r"register_op\(\): dtypes: expected a dtype, got 'no'",
    ),
    (
        lambda: pk.register_op("new", abs, inputs=3, reference=abs),
        ArgumentTypeError,
        r"register_op\(\): inputs: expected a function, got int",
    ),
    (lambda: enter(backend=3), ArgumentTypeError, r"use\(\): backend: expected a name, got int"),
    (lambda: enter(device=True), ArgumentTypeError, r"use\(\): device: expected a name, got bool"),
    (lambda: enter(strict="yes"), ArgumentTypeError, r"use\(\): strict: expected True or False, got 'yes'"),
    (lambda: pk.ops.exp(X, device=True), ArgumentTypeError, r"exp\(\): device: expected a name, got bool"),
    (lambda: pk.capture(3), CaptureError, r"capture\(\): fn: expected a function, got int"),
    (lambda: pk.TensorSpec(2, "no"), ArgumentDTypeError, r"TensorSpec\(\): dtype: expected a dtype, got 'no'"),
    (lambda: pk.TensorSpec(True, "int8"), ArgumentTypeError, r"TensorSpec\(\): shape: expected integers, got True"),
    (
        lambda: pk.TensorSpec(10**30, "int8"),
        ArgumentShapeError,
        r"TensorSpec\(\): shape: expected at most 5 dimensions",
    ),
    (lambda: pk.TensorSpec(2, "int8", 3), ArgumentTypeError, r"TensorSpec\(\): strides: expected integers, got 3"),
    (lambda: pk.TensorSpec(2, "int8", (1,)), ArgumentShapeError, r"TensorSpec\(\): strides: expected 2 of them, got 1"),
    (
        lambda: pk.Config(num_warps="a"),
        ArgumentTypeError,
        r"Config\(\): num_warps: expected a positive integer, got 'a'",
    ),
    (lambda: pk.Config(num_stages=0), ArgumentTypeError, r"Config\(\): num_stages: expected a positive integer, got 0"),
    (lambda: pk.kernel(configs=3)(body), ArgumentTypeError, r"kernel\(\): configs: expected a sequence of pk.Config"),
    (lambda: pk.kernel(configs=[3])(body), ArgumentTypeError, r"kernel\(\): configs: expected a sequence of pk.Config"),
    (lambda: pk.kernel(key="x")(body), ArgumentTypeError, r"kernel\(\): key: expected a sequence of names, got 'x'"),
    (lambda: pk.kernel(name=3)(body), ArgumentTypeError, r"kernel\(\): name: expected a string, got 3"),
    (lambda: pk.kernel_from_source(3), ArgumentTypeError, r"kernel_from_source\(\): text: expected a string, got int"),
]


@pytest.mark.parametrize(("call", "kind", "message"), MISTAKES, ids=[m for _, _, m in MISTAKES])
def test_mistakes(call: Call, kind: type[PortkernelError], message: str) -> None:
    with pytest.raises(kind, match=f"^{message}"):
        call()


def test_an_operator_or_its_name() -> None:
    assert pk.ops.find(pk.ops.exp) is pk.ops.find("exp")


def test_a_device_by_its_number() -> None:
    with pk.use(device=0) as settings:
        assert settings.device == "0"
