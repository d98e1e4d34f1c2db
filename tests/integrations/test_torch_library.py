"""``torch.ops.portkernel``: schemas, fake kernels and gradients, as PyTorch's own checks see them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

import portkernel as pk
from portkernel.errors import PortkernelError

torch = pytest.importorskip("torch")
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch_library_samples import DIFFERENTIABLE, WITHOUT_GRADIENT, arguments, cases  # noqa: E402

from portkernel.integrations.torch.library import CUSTOM  # noqa: E402

THOROUGH = frozenset(
    [
        "matmul",
        "conv2d",
        "scaled_dot_product_attention",
        "batch_norm",
        "concatenate",
        "sort",
        "max_pool2d",
        "gelu",
        "sum",
    ]
)
"""Operators that are also traced with unknown sizes, forwards and backwards: one for each way of defining them."""


@pytest.fixture(autouse=True)
def on_the_reference() -> Iterator[None]:
    with pk.use(backend="numpy"):
        yield


class Calls(TorchDispatchMode):  # type: ignore[misc]
    """Notes the first call of each of our operators, those of backward passes included."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, tuple[Any, ...]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        space, _, name = func.name().partition("::")
        if space == "portkernel":
            self.seen.setdefault(name, args)
        return func(*args, **(kwargs or {}))


def _back(found: Any) -> None:
    results = found if isinstance(found, tuple) else (found,)
    sum(t.sum() for t in results if t.requires_grad).backward()


@cache
def calls() -> dict[str, tuple[Any, ...]]:
    """A call of every operator that a sample or its gradient makes."""
    with pk.use(backend="numpy"), Calls() as noted:
        for name, i in cases():
            with contextlib.suppress(PortkernelError):  # the sample's own test says it
                _back(CUSTOM[name].op(*arguments(name, i)))
    return noted.seen


@pytest.mark.parametrize("name", sorted(CUSTOM))
def test_opcheck(name: str) -> None:
    """Those without samples of their own are gradients: with the arguments that a backward pass gave them."""
    given = arguments(name) if name in DIFFERENTIABLE or name in WITHOUT_GRADIENT else calls()[name]
    which = ["test_schema", "test_autograd_registration", "test_faketensor"]
    torch.library.opcheck(
        CUSTOM[name].op, given, test_utils=[*which, "test_aot_dispatch_dynamic"] if name in THOROUGH else which
    )


@pytest.mark.parametrize(("name", "i"), list(cases()))
def test_gradcheck(name: str, i: int) -> None:
    given = arguments(name, i)
    function = CUSTOM[name].op
    if name == "concatenate":
        given, rest = tuple(given[0]), given[1:]
        function = lambda *arrays: CUSTOM[name].op(list(arrays), *rest)  # noqa: E731
    large = max(a.numel() for a in given if isinstance(a, torch.Tensor)) > 24  # then along random directions
    assert torch.autograd.gradcheck(function, given, nondet_tol=0.0, fast_mode=large)


def test_no_gradient_is_lost() -> None:
    """What is not differentiable gives no floats that could lose a gradient silently."""
    for name, custom in CUSTOM.items():
        if not custom.is_differentiable:
            found = custom.op(*arguments(name))
            assert found is None or not found.is_floating_point(), name


def test_keywords_are_those_of_the_operators() -> None:
    y, x = torch.rand(3), torch.rand(3)
    assert torch.allclose(torch.ops.portkernel.arctan2(x=x, y=y), torch.atan2(y, x))
    for name, custom in CUSTOM.items():
        if name in pk.ops.operators():
            assert set(custom.order) <= set(pk.ops.find(name).signature.parameters), name
