"""What it takes to map one ATen overload: the rule, the table of rules, and the words in which a call is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch._ops import OpOverload

aten: Any = torch.ops.aten
Refuse = Callable[..., str]

DTYPES: frozenset[torch.dtype] = frozenset(
    {
        torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
        torch.uint8, torch.bool,
    }
)  # fmt: skip
FLOATS: frozenset[torch.dtype] = frozenset({torch.float64, torch.float32, torch.float16, torch.bfloat16})


@dataclass(frozen=True, slots=True)
class Rule:
    """How an overload is computed by our operators.

    ``run`` takes the overload's own arguments, and ``out=`` if ``takes_out``: a tensor of the result's shape and dtype
    that shares no memory with an argument. ``refuse`` takes the same arguments, real tensors or fake ones, and gives the
    reason for which the call is not covered, or nothing. ``operator`` is ours, for reports.
    """

    overload: OpOverload
    operator: str
    run: Callable[..., Any]
    refuse: Refuse | None = None
    takes_out: bool = False


TABLE: dict[OpOverload, Rule] = {}


def overload(name: str) -> OpOverload | None:
    """``add.Tensor``, ``relu`` (its default overload), ``prims::abs``; None where this PyTorch has no such overload."""
    space, _, rest = name.rpartition("::")
    base, _, kind = rest.partition(".")
    packet = getattr(getattr(torch.ops, space or "aten"), base, None)
    found = getattr(packet, kind or "default", None)
    return found if isinstance(found, OpOverload) else None


def covers(
    *names: str, operator: str, refuse: Refuse | None = None, takes_out: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The decorated function computes the overloads ``names``."""

    def register(run: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            found = overload(name)
            if found is not None:
                TABLE[found] = Rule(found, operator, run, refuse, takes_out)
        return run

    return register


# --- what does not launch -----------------------------------------------------------------------------------

_ALLOCATIONS = frozenset(
    {
        "empty", "empty_like", "empty_strided", "empty_permuted", "new_empty", "new_empty_strided", "zeros", "zeros_like",
        "new_zeros", "ones", "ones_like", "new_ones", "full", "full_like", "new_full", "arange", "scalar_tensor",
        "lift_fresh_copy", "lift_fresh", "linspace", "eye",
    }
)  # fmt: skip
"""New tensors of numbers that are known on the host: filled where they are allocated."""
_RANDOM = frozenset(
    {
        "rand", "rand_like", "randn", "randn_like", "randint", "randint_like", "randperm", "bernoulli", "bernoulli_",
        "normal", "normal_", "normal_functional", "uniform", "uniform_", "exponential", "exponential_", "random",
        "random_", "geometric_", "cauchy_", "log_normal_", "multinomial", "poisson",
    }
)  # fmt: skip
"""New random numbers. PyTorch's generator draws them, as its state is part of the program."""
_METADATA = frozenset(
    {
        "_unsafe_view", "_reshape_alias", "view", "sym_size", "sym_numel", "sym_stride", "sym_storage_offset", "size",
        "stride", "numel", "is_same_size", "_local_scalar_dense", "set_", "resize_", "is_contiguous", "dim",
        "sym_is_contiguous", "_assert_async", "_assert_scalar", "_assert_tensor_metadata", "sym_constrain_range_for_size",
        "is_pinned", "record_stream", "_version", "prim_layout", "is_strides_like_format", "is_non_overlapping_and_dense",
        "layout", "device", "item", "squeeze_", "unsqueeze_", "t_", "transpose_", "swapaxes_", "swapdims_",
    }
)  # fmt: skip
"""Views that their schema does not call views, questions about tensors, and the way of a number to the host."""


def kind_of(op: OpOverload) -> str:
    """``view`` for what only looks at tensors or renames their memory, ``allocation``, ``random``,
    ``own`` for an operator that PyTorch has from us, or ``compute``.
    """
    found = _KINDS.get(op)
    if found is None:
        found = _KINDS[op] = _kind_of(op)
    return found


_KINDS: dict[OpOverload, str] = {}


def _kind_of(op: OpOverload) -> str:
    schema = op._schema
    space, _, name = schema.name.rpartition("::")
    if space == "portkernel":
        return "own"
    if space not in ("aten", "prims") and not any("Tensor" in str(r.type) for r in schema.returns):
        return "view"  # the profiler's marks
    if name in _METADATA:
        return "view"
    if name in _ALLOCATIONS:
        return "allocation"
    if name in _RANDOM:
        return "random"
    returned = [r.alias_info for r in schema.returns]
    if returned and all(a is not None and not a.is_write for a in returned):
        return "view"
    return "compute"


# --- refusals -----------------------------------------------------------------------------------------------


def refuse_tensor(t: torch.Tensor) -> str:
    """Why our operators do not take ``t``, or nothing."""
    if t.layout is not torch.strided:
        return f"layout {t.layout}"
    if t.dtype not in DTYPES:
        return f"dtype {str(t.dtype).removeprefix('torch.')}"
    if t.device.type == "meta":
        return "a tensor without memory"
    return ""


def tensors_in(*values: Any) -> list[torch.Tensor]:
    """The tensors among arguments, lists and tuples of them included."""
    found: list[torch.Tensor] = []
    for value in values:
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            found.extend(t for t in value if isinstance(t, torch.Tensor))
    return found


def refusal(rule: Rule, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Why ``rule`` does not cover this call, or nothing."""
    for t in tensors_in(*args, *kwargs.values()):
        reason = refuse_tensor(t)
        if reason:
            return reason
    return rule.refuse(*args, **kwargs) if rule.refuse is not None else ""


def broadcast_shapes(*shapes: torch.Size) -> torch.Size:
    """``torch.broadcast_shapes``, without its work where the shapes are equal."""
    first = shapes[0]
    if all(s == first for s in shapes):
        return first
    untyped: Any = torch
    return torch.Size(untyped.broadcast_shapes(*shapes))


def refuse_unless_float(*args: Any, **kwargs: Any) -> str:
    """Refuses any tensor that is no float."""
    for t in tensors_in(*args, *kwargs.values()):
        if t.dtype not in FLOATS:
            return f"dtype {str(t.dtype).removeprefix('torch.')}: floats only"
    return ""


def refuse_mixed(*args: Any, **kwargs: Any) -> str:
    """Refuses tensors that are no floats, or not all of one dtype."""
    dtypes = {t.dtype for t in tensors_in(*args, *kwargs.values())}
    if len(dtypes) > 1:
        return "dtypes " + ", ".join(sorted(str(d).removeprefix("torch.") for d in dtypes)) + ": one for all"
    return refuse_unless_float(*args, **kwargs)
