"""Copies into other shapes: concatenation, padding, writes to a part, resampling."""

from __future__ import annotations

import math
from typing import Any

import torch

import portkernel as pk

from . import operators, tiles
from .pointwise import Bound, new
from .pointwise import launch as pointwise
from .rules import aten, covers

Tensor = torch.Tensor


def _refuse_cat(tensors: Any, dim: int = 0) -> str:
    if not [t for t in tensors if t.shape != (0,)]:
        return "nothing to join"
    return "a tensor without axes" if any(t.ndim == 0 for t in tensors) else ""


@covers("cat", "concat", operator="concatenate", refuse=_refuse_cat)
def _cat(tensors: Any, dim: int = 0) -> Any:
    given = [t for t in tensors if t.shape != (0,)]  # PyTorch leaves those out, whatever their rank
    return operators.call("concatenate", given, dim)


@covers("stack", operator="concatenate", refuse=lambda tensors, dim=0: "" if len(tensors) else "nothing to join")
def _stack(tensors: Any, dim: int = 0) -> Any:
    return operators.call("concatenate", [t.unsqueeze(dim) for t in tensors], dim)


def _copied(x: Tensor) -> Tensor:
    return pointwise(Bound(tiles.identity, (x,), dtype=x.dtype, row_major=True))


def _refuse_pad(x: Any, pad: Any, value: Any = 0) -> str:
    return f"padding of {x.ndim} dimensions" if x.ndim > 5 else ""


def _pairs(x: Tensor, pad: Any) -> list[tuple[int, int]]:
    """ATen's widths, the last axis first, as a pair for each axis."""
    found = [(0, 0)] * x.ndim
    for i in range(len(pad) // 2):
        found[x.ndim - 1 - i] = (int(pad[2 * i]), int(pad[2 * i + 1]))
    return found


@covers("constant_pad_nd", operator="pad", refuse=_refuse_pad)
def _constant_pad(x: Tensor, pad: Any, value: Any = 0) -> Any:
    pairs = _pairs(x, pad)
    for axis, (before, after) in enumerate(pairs):
        if before < 0 or after < 0:
            first, last = max(-before, 0), x.shape[axis] - max(-after, 0)
            x = x.narrow(axis, first, last - first)
    widths = [(max(a, 0), max(b, 0)) for a, b in pairs]
    if not any(a or b for a, b in widths):
        return _copied(x)
    return operators.call("pad", x, widths, constant_values=value)


def _refuse_edge_pad(x: Any, pad: Any) -> str:
    return "negative widths" if any(int(n) < 0 for n in pad) else _refuse_pad(x, pad)


@covers("reflection_pad1d", "reflection_pad2d", "reflection_pad3d", operator="pad", refuse=_refuse_edge_pad)
def _reflection_pad(x: Tensor, pad: Any) -> Any:
    return operators.call("pad", x, _pairs(x, pad), "reflect")


@covers("replication_pad1d", "replication_pad2d", "replication_pad3d", operator="pad", refuse=_refuse_edge_pad)
def _replication_pad(x: Tensor, pad: Any) -> Any:
    return operators.call("pad", x, _pairs(x, pad), "edge")


# --- a part replaced ----------------------------------------------------------------------------------------


def _replaced(x: Tensor, source: Tensor, part: Any) -> Tensor:
    out = _copied(x)
    pointwise(Bound(tiles.identity, (source.expand(part(out).shape),), dtype=x.dtype), part(out))
    return out


@covers("slice_scatter", operator="elementwise")
def _slice_scatter(x: Tensor, source: Tensor, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Any:
    return _replaced(x, source, lambda t: aten.slice.Tensor(t, dim, start, end, step))


@covers("select_scatter", operator="elementwise")
def _select_scatter(x: Tensor, source: Tensor, dim: int, index: int) -> Any:
    return _replaced(x, source, lambda t: t.select(dim, index))


@covers("slice_backward", operator="elementwise")
def _slice_backward(grad: Tensor, sizes: Any, dim: int, start: int, end: int, step: int) -> Any:
    out = operators.call("zeros", tuple(sizes), grad.dtype, like=grad)
    pointwise(Bound(tiles.identity, (grad,), dtype=grad.dtype), aten.slice.Tensor(out, dim, start, end, step))
    return out


@covers("select_backward", operator="elementwise")
def _select_backward(grad: Tensor, sizes: Any, dim: int, index: int) -> Any:
    out = operators.call("zeros", tuple(sizes), grad.dtype, like=grad)
    pointwise(Bound(tiles.identity, (grad,), dtype=grad.dtype), out.select(dim, index))
    return out


# --- reordering ---------------------------------------------------------------------------------------------


@covers("flip", operator="take")
def _flip(x: Tensor, dims: Any) -> Any:
    if x.ndim == 0 or not len(dims):
        return _copied(x)
    for dim in dims:
        x = operators.call("take", x, operators.call("arange", x.shape[dim] - 1, -1, -1, like=x), dim)
    return x


@covers("repeat", operator="elementwise", refuse=lambda x, repeats: "" if x.ndim + len(repeats) <= 8 else "many axes")
def _repeat(x: Tensor, repeats: Any) -> Any:
    lead = len(repeats) - x.ndim
    whole = [*(int(n) for n in repeats[:lead])]
    view = x.reshape((*(1,) * lead, *(m for n in x.shape for m in (1, n))))
    for n, m in zip(repeats[lead:], x.shape, strict=True):
        whole += [int(n), m]
    out = new(x, tuple(whole), x.dtype)
    pointwise(Bound(tiles.identity, (view.expand(whole),), dtype=x.dtype), out)
    return out.reshape([int(n) * m for n, m in zip(repeats, (*(1,) * lead, *x.shape), strict=True)])


@covers("tril", operator="tril")
def _tril(x: Tensor, diagonal: int = 0) -> Any:
    return operators.call("tril", x, diagonal)


@covers("triu", operator="triu")
def _triu(x: Tensor, diagonal: int = 0) -> Any:
    return operators.call("triu", x, diagonal)


# --- resampling ---------------------------------------------------------------------------------------------


def _nearest(n: int, out: int, scale: float | None, device: torch.device) -> Tensor:
    """Where each of ``out`` elements comes from, computed on the host as PyTorch computes it, in float32."""
    step = torch.tensor(1 / scale if scale else n / out, dtype=torch.float32)
    found = (torch.arange(out) * step).floor().to(torch.int64).clamp(max=n - 1).to(device)
    pk.note_host_work("where elements come from, computed on the host")
    return found


def _refuse_nearest(x: Any, size: Any, *scales: Any) -> str:
    return "no element to copy" if x.numel() == 0 else ""


@covers("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", operator="take", refuse=_refuse_nearest)
def _upsample_nearest(x: Tensor, size: Any, *scales: Any) -> Any:
    axes = len(size)
    for i, n in enumerate(size):
        axis = 2 + i
        scale = scales[i] if i < len(scales) else None
        if n != x.shape[axis]:
            x = operators.call("take", x, _nearest(x.shape[axis], int(n), scale, x.device), axis)
    return x if axes else _copied(x)


@covers("pixel_shuffle", operator="elementwise")
def _pixel_shuffle(x: Tensor, factor: int) -> Any:
    *lead, c, h, w = x.shape
    rest = c // (factor * factor)
    n = math.prod(lead)
    moved = x.reshape(n, rest, factor, factor, h * w).view(n * rest, factor, factor, h, w).permute(0, 3, 1, 4, 2)
    return _copied(moved).reshape(*lead, rest, h * factor, w * factor)
