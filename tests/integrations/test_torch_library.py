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


def _each(found: Any) -> tuple[Any, ...]:
    return tuple(found) if isinstance(found, (tuple, list)) else (found,)


def _back(found: Any) -> None:
    sum(t.sum() for t in _each(found) if t.requires_grad).backward()


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


def _call(name: str, i: int) -> tuple[Any, tuple[Any, ...]]:
    """A function of tensors and numbers, and a sample of them."""
    given = arguments(name, i)
    if not isinstance(given[0], list):
        return CUSTOM[name].op, given
    return lambda *arrays: CUSTOM[name].op(list(arrays), *given[1:]), tuple(given[0])


@pytest.mark.parametrize(("name", "i"), list(cases()))
def test_gradcheck(name: str, i: int) -> None:
    function, given = _call(name, i)
    large = max(a.numel() for a in given if isinstance(a, torch.Tensor)) > 24  # then along random directions
    assert torch.autograd.gradcheck(function, given, nondet_tol=0.0, fast_mode=large)


ONCE = frozenset({"scaled_dot_product_attention"})
"""Operators whose gradient is not differentiated."""


@pytest.mark.parametrize(("name", "i"), [(name, i) for name, i in cases() if name not in ONCE])
def test_gradgradcheck(name: str, i: int) -> None:
    function, given = _call(name, i)

    def floats(*args: Any) -> tuple[Any, ...]:
        # times one: a result that is an argument itself would not count
        return tuple(t * 1.0 for t in _each(function(*args)) if t.is_floating_point())

    assert torch.autograd.gradgradcheck(floats, given, nondet_tol=0.0, fast_mode=True)


@pytest.mark.parametrize("name", ["tanh", "gelu", "softmax", "layer_norm"])
def test_third_derivatives(name: str) -> None:
    function, given = _call(name, 0)

    def first(x: Any, *rest: Any) -> Any:
        y = function(x, *rest)
        weights = torch.linspace(-1, 1, y.numel()).double().view(y.shape)
        return torch.autograd.grad((y * weights).sum(), x, create_graph=True)[0]

    assert torch.autograd.gradgradcheck(first, given, fast_mode=True)


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
