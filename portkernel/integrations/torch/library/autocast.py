"""What ``torch.autocast`` does to the arguments of our operators, by PyTorch's own rules."""

from __future__ import annotations

from typing import Any

import torch
from torch import _C

from .define import CUSTOM, LIBRARY, LOW, WIDEST, Custom

_DEVICES = {"cpu": "AutocastCPU", "cuda": "AutocastCUDA"}


def converted(value: Any, dtype: torch.dtype) -> Any:
    """``value`` with its floats in ``dtype``; float64 is left, as PyTorch leaves it."""
    if isinstance(value, torch.Tensor):
        if value.dtype == dtype or not value.is_floating_point() or value.dtype is torch.float64:
            return value
        return value.to(dtype)
    if isinstance(value, (list, tuple)):
        return [converted(v, dtype) for v in value]
    return value


def target(policy: str, args: tuple[Any, ...], device: str) -> torch.dtype:
    """The dtype that the floats among ``args`` are converted to."""
    if policy == LOW:
        return torch.get_autocast_dtype(device)
    floats = {t.dtype for t in _tensors(args) if t.is_floating_point()}
    if policy == WIDEST and len(floats) == 1:
        return floats.pop()
    return torch.float32


def _tensors(args: Any) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    for a in args:
        if isinstance(a, torch.Tensor):
            found.append(a)
        elif isinstance(a, (list, tuple)):
            found += _tensors(a)
    return found


def _install(custom: Custom, device: str, key: str) -> None:
    excluded = _C.DispatchKeySet(getattr(_C.DispatchKey, key))

    def rule(*args: Any) -> Any:
        with _C._ExcludeDispatchKeyGuard(excluded):
            return custom.op(*converted(args, target(custom.autocast, args, device)))

    LIBRARY.impl(custom.name, rule, key)


for _custom in CUSTOM.values():
    if _custom.autocast:
        for _device, _key in _DEVICES.items():
            _install(_custom, _device, _key)

__all__ = ["converted", "target"]
