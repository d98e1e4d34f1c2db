"""What to call where PyTorch records gradients: ``torch.ops.portkernel`` has most operators by their own names."""

from __future__ import annotations

_OTHERS: dict[str, str] = {
    **{
        name: " or ".join(f"torch.ops.portkernel.{name}{n}d" for n in (1, 2, 3))
        for name in ("max_pool", "avg_pool", "adaptive_max_pool", "adaptive_avg_pool")
    },
    **{name: f"torch.{name}" for name in ("reshape", "ravel", "squeeze", "swapaxes", "moveaxis", "broadcast_to")},
    "transpose": "torch.permute", "transposed_copy": "torch.permute", "expand_dims": "torch.unsqueeze",
    **{name: f"torch.{name}" for name in ("full", "zeros", "ones", "full_like", "zeros_like", "ones_like", "arange")},
    **dict.fromkeys(
        ("elementwise", "fold_batch_norm", "greedy_suppress", "grouped_matmul", "matmul_list", "resample", "det", "cummax"), ""
    ),
}  # fmt: skip
"""Operators that it has under other names; that are views, or new numbers, which PyTorch makes; that have no gradient."""


def differentiated(name: str) -> str:
    """What PyTorch differentiates in the place of the operator ``name`` of the package; nothing if there is none."""
    return _OTHERS.get(name, f"torch.ops.portkernel.{name}")
