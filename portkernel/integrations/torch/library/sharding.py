"""What DTensor must know of our operators: how results lie on a mesh whose arguments lie on it so. Imported by who uses DTensor.

One mesh axis at a time, as ``torch.distributed.tensor`` asks; it moves tensors where none of the answers fits.
"""

from __future__ import annotations

from typing import Any

from torch.distributed.tensor import Partial, Replicate, Shard
from torch.distributed.tensor.experimental import register_sharding

from .define import CUSTOM
from .elementwise import CURVES

Answer = tuple[list[Any], list[Any]]
"""Placements of the results, and of the arguments; None for an argument that is no tensor."""


def _linear(x: Any, weight: Any, bias: Any = None) -> list[Answer]:
    whole, last = Replicate(), len(x.shape) - 1

    def given(for_x: Any, for_weight: Any, for_bias: Any) -> list[Any]:
        return [for_x, for_weight, None if bias is None else for_bias]

    answers: list[Answer] = [
        ([whole], given(whole, whole, whole)),
        ([Shard(last)], given(whole, Shard(0), Shard(0))),  # by columns
        ([Partial()], given(Shard(last), Shard(1), Partial())),  # by rows: parts of a sum, the bias among them once
    ]
    return answers + [([Shard(i)], given(Shard(i), whole, whole)) for i in range(last)]


def _matmul(a: Any, b: Any) -> list[Answer]:
    whole = Replicate()
    answers: list[Answer] = [
        ([whole], [whole, whole]),
        ([Partial()], [Partial(), whole]),
        ([Partial()], [whole, Partial()]),
    ]
    if len(a.shape) < 2 or len(b.shape) < 2:
        return answers
    rows, columns = len(a.shape) - 2, len(b.shape) - 1
    rank = max(len(a.shape), len(b.shape))
    answers += [
        ([Shard(rank - 2)], [Shard(rows), whole]),
        ([Shard(rank - 1)], [whole, Shard(columns)]),
        ([Partial()], [Shard(rows + 1), Shard(columns - 1)]),
    ]
    if a.shape[:-2] == b.shape[:-2]:
        answers += [([Shard(i)], [Shard(i), Shard(i)]) for i in range(rows)]
    return answers


def _sum(x: Any, axis: Any = None, keepdims: bool = False) -> list[Answer]:
    rank = len(x.shape)
    summed = {a % rank for a in axis} if axis else set(range(rank))
    answers: list[Answer] = [([Replicate()], [Replicate(), None, None]), ([Partial()], [Partial(), None, None])]
    for i in range(rank):
        kept = i if keepdims else i - sum(a < i for a in summed)
        answers.append(([Partial() if i in summed else Shard(kept)], [Shard(i), None, None]))
    return answers


def _pointwise(*args: Any) -> list[Answer]:
    """Tensors of one shape, element by element."""
    spots: list[Any] = [Replicate(), *(Shard(i) for i in range(len(args[0].shape)))]
    return [([spot], [spot if hasattr(a, "shape") else None for a in args]) for spot in spots]


def _register() -> None:
    register: Any = register_sharding
    for name, rule in (
        ("linear", _linear),
        ("matmul", _matmul),
        ("sum", _sum),
        *((name, _pointwise) for name in CURVES),
    ):
        register(CUSTOM[name].op)(rule)


_register()
