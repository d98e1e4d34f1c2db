"""How an operator of ours becomes one of PyTorch's: from a schema, a function that tells the result's shape, and one that computes.

:func:`operator` defines it, :func:`gradient` makes it differentiable. What both need to be told is data; everything else
(defaults, order of arguments, the fake kernel's layout, what is kept for the backward pass) follows from the schema.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch._ops import OpOverload

from .. import operators

Tensor = torch.Tensor
Run = Callable[..., Any]
NAMESPACE = "portkernel"
_untyped: Any = torch.library
LIBRARY: Any = _untyped.Library(NAMESPACE, "DEF")
"""It lives as long as the process, as the operators do."""

LOW, WIDE, WIDEST = "low", "wide", "widest"
"""What autocast does to an operator's floats: its low dtype, float32, or the widest among the arguments."""


@dataclass(slots=True)
class Custom:
    """An operator that PyTorch has from us. ``order`` are its arguments' names, ``defaults`` their defaults by position."""

    name: str
    op: OpOverload
    order: tuple[str, ...]
    defaults: tuple[Any, ...]
    autocast: str = ""
    is_differentiable: bool = False

    def complete(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """``args`` with the defaults that the dispatcher leaves out."""
        return args if len(args) == len(self.defaults) else (*args, *self.defaults[len(args) :])


CUSTOM: dict[str, Custom] = {}
"""Every operator of ``torch.ops.portkernel``, by name."""


def operator(schema: str, *, like: Run, autocast: str = "", keeps_strides: bool = False) -> Callable[[Run], Custom]:
    """The decorated function computes ``torch.ops.portkernel.<schema>``; it gets every argument by position.

    ``like`` is a function of PyTorch that takes the same arguments and gives tensors of the result's shape and dtype; the
    fake kernel runs it on fake tensors. The result lies row-major, or with ``keeps_strides`` as that of ``like``.
    """

    def define(run: Run) -> Custom:
        custom = _declared(schema, autocast)
        name = custom.name

        def kernel(*args: Any) -> Any:
            args = custom.complete(args)
            if custom.is_differentiable or not torch.is_grad_enabled():
                return run(*args)
            with torch.no_grad():  # no gradient is recorded here, and none is asked for
                return run(*args)

        def fake(*args: Any) -> Any:
            made = like(*custom.complete(args))
            if keeps_strides or made is None:
                return made
            return row_major(made) if isinstance(made, Tensor) else tuple(row_major(t) for t in made)

        LIBRARY.impl(name, kernel, "CompositeExplicitAutograd")
        torch.library.register_fake(f"{NAMESPACE}::{name}", fake, lib=LIBRARY)
        return custom

    return define


def composite(schema: str) -> Callable[[Run], Custom]:
    """The decorated function says what an operator is in terms of others, which PyTorch sees in its stead."""

    def define(run: Run) -> Custom:
        custom = _declared(schema, "")

        def kernel(*args: Any) -> Any:
            return run(*custom.complete(args))

        LIBRARY.impl(custom.name, kernel, "CompositeImplicitAutograd")
        custom.is_differentiable = True
        return custom

    return define


def _declared(schema: str, autocast: str) -> Custom:
    name = schema.partition("(")[0]
    LIBRARY.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
    found: Any = getattr(getattr(torch.ops, NAMESPACE), name.partition(".")[0])
    op: OpOverload = getattr(found, name.partition(".")[2] or "default")
    arguments = op._schema.arguments
    custom = Custom(name, op, tuple(a.name for a in arguments), tuple(a.default_value for a in arguments), autocast)
    CUSTOM[name] = custom
    return custom


def row_major(t: Tensor) -> Tensor:
    """A new tensor like ``t``, row-major."""
    return t.new_empty(t.shape)


def computes(name: str) -> Run:
    """A function that calls ``pk.ops.<name>`` with its arguments by position."""
    return lambda *args: operators.call(name, *args)


def gradient(name: str, keeps: str, constant: tuple[int, ...] = ()) -> Callable[[Run], Run]:
    """The decorated function is the backward pass of the operator ``name``.

    It is called with ``wanted`` (which arguments need a gradient, in order), the gradients of the results, and what
    ``keeps`` names: arguments, ``result`` (or ``result0`` …), shapes (``x.shape``, of a list ``arrays.shapes``) and dtypes
    (``x.dtype``). It gives the gradients of the first arguments in order, None for those not wanted; what it calls are
    operators of this library, so that it can be traced, compiled, and differentiated where they can. ``constant`` numbers
    the results that have no gradient.
    """
    custom = CUSTOM[name]
    words = keeps.split()
    count = len(custom.order)

    def register(formula: Run) -> Run:
        def setup(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
            kept = [_named(custom, word, inputs, output) for word in words]
            ctx.save_for_backward(*(v for v in kept if isinstance(v, Tensor)))
            if constant:
                ctx.mark_non_differentiable(*(output[i] for i in constant))
            ctx.kept = [_SAVED if isinstance(v, Tensor) else v for v in kept]

        def backward(ctx: Any, *grads: Any) -> Any:
            saved = iter(ctx.saved_tensors)
            kept = [next(saved) if v is _SAVED else v for v in ctx.kept]
            given = len(ctx.needs_input_grad)  # the dispatcher leaves defaults out
            found = formula((*ctx.needs_input_grad, *(False,) * count), *grads, *kept)
            made = found if isinstance(found, tuple) else (found,)
            return (*made, *(None,) * count)[:given]

        custom.is_differentiable = True
        torch.library.register_autograd(f"{NAMESPACE}::{name}", backward, setup_context=setup, lib=LIBRARY)
        return formula

    return register


_SAVED = object()
"""Stands for a tensor that PyTorch keeps."""


def _named(custom: Custom, word: str, inputs: tuple[Any, ...], output: Any) -> Any:
    base, _, part = word.partition(".")
    if base.startswith("result") and base not in custom.order:  # some take the result of another
        return output[int(base[6:])] if base[6:] else output
    value = inputs[custom.order.index(base)]
    match part:
        case "shape":
            return tuple(value.shape)
        case "shapes":
            return [tuple(v.shape) for v in value]
        case "dtype":
            return value.dtype
        case "":
            return value
        case _:
            raise AssertionError(word)


def call(name: str, *args: Any) -> Any:
    """``torch.ops.portkernel.<name>``."""
    return CUSTOM[name].op(*args)


def sum_to(grad: Tensor, shape: Any) -> Tensor:
    """``grad`` summed over the axes along which a tensor of ``shape`` was broadcast."""
    if tuple(grad.shape) == tuple(shape):
        return grad
    extra = grad.ndim - len(shape)
    axes = [*range(extra), *(extra + i for i, n in enumerate(shape) if n == 1 and grad.shape[extra + i] != 1)]
    return call("sum", grad, axes).view(shape)  # type: ignore[no-any-return]
