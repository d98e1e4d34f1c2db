"""Arguments to try the operators of ``torch.ops.portkernel`` with: small, odd, strided, empty where that is legal. Data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

Arguments = tuple[Any, ...]


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def positive(*shape: int) -> torch.Tensor:
    return draw(*shape).abs() + 0.5


def inside(*shape: int) -> torch.Tensor:
    """Between -0.9 and 0.9."""
    return draw(*shape).tanh() * 0.9


def strided(*shape: int) -> torch.Tensor:
    """Every second element of a transposed tensor."""
    return draw(*shape[:-2], shape[-1], 2 * shape[-2]).mT[..., ::2, :]


def index(n: int, *shape: int) -> torch.Tensor:
    return torch.randint(n, shape)


SMOOTH = (
    "absolute square softsign logsigmoid mish relu6 hardswish silu hardsigmoid relu tanh sigmoid softplus leaky_relu elu "
    "hardtanh gelu negative exp expm1 exp2 sin cos arctan sinh cosh arcsinh erf"
)
POSITIVE = "log log2 log10 log1p sqrt rsqrt reciprocal"
INSIDE = "arcsin arccos arctanh tan"
STEPS = "sign floor ceil trunc round"
PAIRS = "add subtract multiply divide maximum minimum remainder floor_divide arctan2"
SIDES = {1: (6,), 2: (6, 5), 3: (3, 3, 4)}
"""Spatial axes of what is pooled."""

WITHOUT_GRADIENT: dict[str, tuple[Callable[[], Arguments], ...]] = {
    **dict.fromkeys(("isnan", "isinf", "isfinite", "logical_not"), (lambda: (draw(3, 4),),)),
    "invert": (lambda: (index(9, 3, 4),),),
    **dict.fromkeys(
        (
            "equal",
            "not_equal",
            "less",
            "less_equal",
            "greater",
            "greater_equal",
            "logical_and",
            "logical_or",
            "logical_xor",
        ),
        (lambda: (draw(3, 1), draw(4)),),
    ),
    **dict.fromkeys(
        (
            "equal.Scalar",
            "not_equal.Scalar",
            "less.Scalar",
            "less_equal.Scalar",
            "greater.Scalar",
            "greater_equal.Scalar",
        ),
        (lambda: (draw(3, 4), 0),),
    ),
    **dict.fromkeys(
        ("bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "right_shift"),
        (lambda: (index(9, 3, 4), index(3, 4)),),
    ),
    **dict.fromkeys(("any", "all"), (lambda: (draw(3, 4) > 0, 1), lambda: (draw(3, 4), None, True))),
    "count_nonzero": (lambda: (draw(3, 4).round(), [0], True), lambda: (draw(3, 4).round(),)),
    **dict.fromkeys(("argmax", "argmin"), (lambda: (draw(3, 4), 1), lambda: (draw(3, 4),))),
    "argsort": (lambda: (draw(3, 5), 0, True),),
    "move_": (lambda: (draw(4), draw(4), 0.25),),
}
"""Operators that PyTorch does not differentiate either, or that refuse it."""

DIFFERENTIABLE: dict[str, tuple[Callable[[], Arguments], ...]] = {
    "matmul": (lambda: (strided(3, 4), draw(4, 5)), lambda: (draw(2, 3, 4), draw(4, 5)), lambda: (draw(4), draw(2, 4, 5)),
               lambda: (draw(2, 1, 3, 4), draw(2, 4, 2)), lambda: (draw(4), draw(4)), lambda: (draw(0, 4), draw(4, 2))),
    "linear": (lambda: (strided(2, 3, 4), draw(5, 4), draw(5)), lambda: (draw(3, 4), draw(5, 4)), lambda: (draw(4), draw(5, 4), draw(5))),
    "scaled_dot_product_attention": (
        lambda: (draw(2, 2, 3, 4), strided(2, 2, 5, 4), draw(2, 2, 5, 3)),
        lambda: (draw(2, 2, 3, 4), draw(2, 2, 3, 4), draw(2, 2, 3, 4), None, 0.0, True, 0.3),
        lambda: (draw(1, 4, 3, 4), draw(1, 2, 3, 4), draw(1, 2, 3, 4), torch.ones(3, 3).tril() > 0, 0.0, False, None, True),
        lambda: (draw(2, 2, 3, 4), draw(2, 2, 5, 4), draw(2, 2, 5, 3), draw(2, 1, 3, 5)),
        lambda: (draw(1, 4, 3, 2), draw(1, 2, 3, 2), draw(1, 2, 3, 2), draw(3, 1), 0.0, True, 0.7, True),
    ),
    "conv1d": (lambda: (draw(2, 4, 7), draw(6, 2, 3), draw(6), 2, 1, 1, 2), lambda: (draw(4, 7), draw(6, 4, 3), draw(6))),
    "conv2d": (lambda: (strided(1, 2, 5, 6), draw(3, 2, 3, 2), draw(3), 1, 1), lambda: (draw(1, 4, 6, 7), draw(4, 1, 2, 3), None, [2, 1], [0, 1], 2, 4)),
    "conv3d": (lambda: (draw(1, 2, 3, 4, 4), draw(2, 2, 2, 3, 2), draw(2), 1, 1),),
    "conv1d.padding": (lambda: (draw(1, 4, 5), draw(2, 2, 4), draw(2), 1, "same", 3, 2), lambda: (draw(4, 7), draw(2, 4, 3), None, 2)),
    "conv2d.padding": (lambda: (draw(1, 2, 4, 5), draw(2, 2, 3, 2), draw(2), 1, "same"), lambda: (draw(1, 2, 4, 5), draw(2, 2, 3, 5), None, 1, "same")),
    "conv3d.padding": (lambda: (draw(2, 3, 3, 3), draw(1, 2, 2, 1, 3), None, 1, "same", [2, 1, 1]),),
    "conv_transpose1d": (lambda: (draw(2, 4, 4), draw(4, 2, 3), draw(4), 2, 1, 1, 2),),
    "conv_transpose2d": (lambda: (draw(1, 2, 3, 4), draw(2, 3, 3, 2), draw(3), 2, 1, [1, 0], 1, [1, 2]),),
    "conv_transpose3d": (lambda: (draw(1, 2, 2, 3, 2), draw(2, 1, 2, 2, 2), draw(1)),),
    "conv_bias": (lambda: (draw(2, 3, 4),),),
    "softmax": (lambda: (draw(3, 5),), lambda: (strided(3, 5), 0), lambda: (draw(0, 5),)),
    "log_softmax": (lambda: (draw(3, 5),), lambda: (strided(3, 5), 0)),
    "layer_norm": (lambda: (strided(3, 5), [5], draw(5), draw(5)), lambda: (draw(2, 3, 4), [3, 4])),
    "rms_norm": (lambda: (draw(3, 5), [5], draw(5), 1e-5),),
    "group_norm": (lambda: (draw(2, 4, 3), 2, draw(4), draw(4)),),
    "batch_norm": (
        lambda: (draw(3, 2, 4), torch.zeros(2).double(), torch.ones(2).double(), draw(2), draw(2), True),
        lambda: (draw(3, 2, 2, 2), None, None, draw(2), draw(2), True),
        lambda: (draw(3, 2), torch.full((2,), 0.5).double(), torch.full((2,), 2.0).double(), draw(2), draw(2)),
    ),
    "sum": (lambda: (strided(3, 4),), lambda: (draw(2, 3, 4), [0, -1], True)),
    "mean": (lambda: (strided(3, 4),), lambda: (draw(2, 3, 4), [1])),
    "max": (lambda: (draw(3, 4), [1]),), "min": (lambda: (draw(3, 4), None, True),),
    "prod": (lambda: (draw(3, 4), 1), lambda: (torch.tensor([[1.0, 0.0], [2.0, 3.0]]).double(),)),
    "logsumexp": (lambda: (draw(3, 4), [1], True), lambda: (draw(3, 4),)),
    "norm": (lambda: (draw(3, 4),), lambda: (draw(3, 4), 1.0, [1])),
    "var": (lambda: (draw(3, 4), [1]), lambda: (draw(3, 4), None, 1.0, True)), "std": (lambda: (draw(3, 4), [0], 1.0),),
    "cumsum": (lambda: (strided(3, 5), -1), lambda: (draw(3, 5), 0)),
    "cumprod": (lambda: (strided(3, 5), -1), lambda: (torch.tensor([[2.0, 0.0, 3.0, 0.0], [0.0, 1.0, 2.0, 3.0]]).double(), 1)),
    "sort": (lambda: (draw(3, 5), 1, True),), "topk": (lambda: (draw(3, 5), 2), lambda: (draw(5, 3), 2, 0, False)),
    **{f"max_pool{n}d": (lambda n=n: (draw(2, 2, *SIDES[n]), 2, None, 1),) for n in (1, 2, 3)},
    **{f"max_pool{n}d_with_indices": (lambda n=n: (draw(2, *SIDES[n]), 3, 2, 1, 1, True),) for n in (1, 2, 3)},
    **{f"avg_pool{n}d": (lambda n=n: (draw(1, 2, *SIDES[n]), 2, None, 1, True, False),) for n in (1, 2, 3)},
    **{f"adaptive_avg_pool{n}d": (lambda n=n: (draw(1, 2, *SIDES[n]), 3),) for n in (1, 2, 3)},
    **{f"adaptive_max_pool{n}d": (lambda n=n: (draw(1, 2, *SIDES[n]), 3),) for n in (1, 2, 3)},
    **{f"adaptive_max_pool{n}d_with_indices": (lambda n=n: (draw(2, *SIDES[n]), 2),) for n in (1, 2, 3)},
    "embedding": (lambda: (index(5, 2, 3), draw(5, 4)),),
    "gather": (lambda: (draw(3, 5), 1, index(5, 3, 2)),), "take_along_axis": (lambda: (draw(3, 5), index(3, 2, 5), 0),),
    "index_select": (lambda: (draw(3, 5), 1, index(5, 4)),),
    "index_add": (lambda: (draw(3, 5), 1, index(5, 4), draw(3, 4)),),
    "scatter_add": (lambda: (draw(3, 5), 1, index(5, 3, 4), draw(3, 4)), lambda: (draw(3, 5), 1, index(5, 4), draw(3, 4))),
    "put_along_axis": (lambda: (draw(3, 5), index(5, 3, 4), draw(3, 4), 1, "sum"),),
    "concatenate": (lambda: ([draw(2, 3), draw(1, 3)],), lambda: ([draw(2, 3), draw(2, 2)], -1)),
    "cat": (lambda: ([draw(2, 3), draw(0), draw(1, 3)],),), "stack": (lambda: ([draw(2, 3), draw(2, 3)], -1),),
    "split": (lambda: (draw(3, 4), 2, 1),), "split.indices": (lambda: (draw(5, 3), [1, 3]),),
    "take": (lambda: (draw(3, 5), index(5, 2, 2), 1), lambda: (draw(4), index(4), 0)),
    "var_mean": (lambda: (draw(3, 4), [1], 1.0, True),), "astype": (lambda: (draw(3, 4), torch.float64),),
    "clip": (lambda: (draw(3, 4), -0.5, 0.7),), "clip.Tensor": (lambda: (draw(3, 4), None, draw(4)),),
    "clamp.Tensor": (lambda: (draw(3, 4), draw(4), draw(3, 1).abs() + 1),),
    "pad": (lambda: (draw(2, 3), [1, 0, 2, 1], "constant", 0.5),),
    "tril": (lambda: (draw(4, 4),),), "triu": (lambda: (draw(3, 4), 1),),
    "where": (lambda: (draw(3, 1) > 0, draw(3, 4), draw(4)),),
    "clamp": (lambda: (draw(3, 4), -0.5, 0.7), lambda: (draw(3, 4), None, 0.5)),
    "power": (lambda: (positive(3, 4), draw(4)),),
    **{name: (lambda: (draw(3, 4),), lambda: (strided(3, 4),)) for name in (*SMOOTH.split(), *STEPS.split())},
    "gelu": (lambda: (draw(3, 4),), lambda: (draw(3, 4), "tanh")),
    **{name: (lambda: (positive(3, 4),),) for name in POSITIVE.split()},
    **{name: (lambda: (inside(3, 4),),) for name in INSIDE.split()}, "arccosh": (lambda: (positive(3, 4) + 1,),),
    **{name: (lambda: (draw(3, 1), positive(4)),) for name in PAIRS.split()},
    **{f"{name}.Scalar": (lambda: (draw(3, 4), 2.5),) for name in ("add", "subtract", "multiply", "divide")},
}  # fmt: skip


def arguments(name: str, i: int = 0, requires_grad: bool = True) -> Arguments:
    """Sample ``i`` of the operator ``name``, seeded; floats require gradients, running statistics do not."""
    torch.manual_seed(hash_of(name) + i)
    given = {**DIFFERENTIABLE, **WITHOUT_GRADIENT}[name][i]()
    fixed = (1, 2) if name == "batch_norm" else (0,) if name == "move_" else ()
    return tuple(a if j in fixed or not requires_grad else _recorded(a) for j, a in enumerate(given))


def hash_of(name: str) -> int:
    return sum(ord(c) for c in name)


def _recorded(value: Any) -> Any:
    if isinstance(value, list):
        return [_recorded(v) for v in value]
    return value.requires_grad_() if isinstance(value, torch.Tensor) and value.is_floating_point() else value


def cases() -> Iterator[tuple[str, int]]:
    """The samples of the differentiable operators."""
    return ((name, i) for name, given in DIFFERENTIABLE.items() for i in range(len(given)))
