"""Reductions, scans and sorting."""

from __future__ import annotations

from typing import Any

import torch

from . import operators
from .rules import FLOATS, covers, refuse_unless_float

Tensor = torch.Tensor


def _name(dtype: torch.dtype | None) -> str | None:
    return None if dtype is None else str(dtype).removeprefix("torch.")


def _axes(x: Tensor, dim: Any) -> Any:
    """ATen's empty list of axes means all of them; a tensor without axes has an axis 0 and -1."""
    if dim is None or x.ndim == 0:
        return None
    return dim if isinstance(dim, int) else tuple(dim) or None


def _kept(x: Tensor, keepdim: bool) -> bool:
    return keepdim and x.ndim > 0


def _accepted(x: Any, *rest: Any, **kwargs: Any) -> str:
    dtype = kwargs.get("dtype")
    if dtype is not None and dtype.is_complex:
        return "a complex result"
    return ""


def _floats_only(x: Any, *rest: Any, **kwargs: Any) -> str:
    dtype = kwargs.get("dtype")
    if dtype is not None and dtype not in FLOATS:
        return "a result that is no float"
    return "" if dtype is not None else refuse_unless_float(x)


@covers("sum", "sum.dim_IntList", operator="sum", refuse=_accepted, takes_out=True)
def _sum(x: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None) -> Any:
    wanted = dtype or (x.dtype if x.dtype.is_floating_point else torch.int64)
    return operators.call("sum", x, _axes(x, dim), _name(wanted), out, _kept(x, keepdim))


@covers("prod", "prod.dim_int", operator="prod", refuse=_accepted, takes_out=True)
def _prod(x: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None) -> Any:
    wanted = dtype or (x.dtype if x.dtype.is_floating_point else torch.int64)
    return operators.call("prod", x, _axes(x, dim), _name(wanted), out, _kept(x, keepdim))


@covers("mean", "mean.dim", operator="mean", refuse=_floats_only, takes_out=True)
def _mean(x: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None) -> Any:
    return operators.call("mean", x, _axes(x, dim), _name(dtype), out, _kept(x, keepdim))


def _refuse_nothing(x: Any, *rest: Any, **kwargs: Any) -> str:
    return "no element to choose from" if x.numel() == 0 else ""


@covers("amax", operator="max", refuse=_refuse_nothing, takes_out=True)
def _amax(x: Tensor, dim: Any = (), keepdim: bool = False, *, out: Any = None) -> Any:
    return operators.call("max", x, _axes(x, dim), out, _kept(x, keepdim))


@covers("amin", operator="min", refuse=_refuse_nothing, takes_out=True)
def _amin(x: Tensor, dim: Any = (), keepdim: bool = False, *, out: Any = None) -> Any:
    return operators.call("min", x, _axes(x, dim), out, _kept(x, keepdim))


@covers("max", operator="max", refuse=_refuse_nothing)
def _max(x: Tensor) -> Any:
    return operators.call("max", x)


@covers("min", operator="min", refuse=_refuse_nothing)
def _min(x: Tensor) -> Any:
    return operators.call("min", x)


@covers("max.dim", operator="argmax", refuse=_refuse_nothing)
def _max_dim(x: Tensor, dim: int, keepdim: bool = False) -> Any:
    return _amax(x, dim, keepdim), _argmax(x, dim, keepdim)


@covers("min.dim", operator="argmin", refuse=_refuse_nothing)
def _min_dim(x: Tensor, dim: int, keepdim: bool = False) -> Any:
    return _amin(x, dim, keepdim), _argmin(x, dim, keepdim)


@covers("argmax", operator="argmax", refuse=_refuse_nothing, takes_out=True)
def _argmax(x: Tensor, dim: Any = None, keepdim: bool = False, *, out: Any = None) -> Any:
    return operators.call("argmax", x, _axes(x, dim), out, keepdims=_kept(x, keepdim))


@covers("argmin", operator="argmin", refuse=_refuse_nothing, takes_out=True)
def _argmin(x: Tensor, dim: Any = None, keepdim: bool = False, *, out: Any = None) -> Any:
    return operators.call("argmin", x, _axes(x, dim), out, keepdims=_kept(x, keepdim))


def _refuse_uint8(x: Any, *rest: Any, **kwargs: Any) -> str:
    return "dtype uint8: PyTorch's result is no bool" if x.dtype is torch.uint8 else ""


@covers("any", "any.dim", "any.dims", operator="any", refuse=_refuse_uint8, takes_out=True)
def _any(x: Tensor, dim: Any = None, keepdim: bool = False, *, out: Any = None) -> Any:
    return operators.call("any", x, _axes(x, dim), out, _kept(x, keepdim))


@covers("all", "all.dim", "all.dims", operator="all", refuse=_refuse_uint8, takes_out=True)
def _all(x: Tensor, dim: Any = None, keepdim: bool = False, *, out: Any = None) -> Any:
    return operators.call("all", x, _axes(x, dim), out, _kept(x, keepdim))


def _refuse_unlike(x: Any, y: Any) -> str:
    return "" if x.dtype == y.dtype else f"dtypes {x.dtype} and {y.dtype}"


@covers("equal", operator="equal", refuse=_refuse_unlike)
def _equal(x: Tensor, y: Tensor) -> bool:
    """A number for the host: whether all elements are equal."""
    return x.shape == y.shape and bool(operators.call("all", operators.call("equal", x, y)))


def _correction(unbiased: Any, correction: Any) -> Any:
    if correction is not None:
        return correction
    return 1 if unbiased is None or unbiased else 0


def _var_arguments(x: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, bool, Any]:
    """Axes, keepdim and correction of ``var`` and its kin in both of their spellings."""
    dim = args[0] if args else kwargs.get("dim")
    if isinstance(dim, bool):  # var(x, unbiased)
        return None, False, 1 if dim else 0
    unbiased = args[1] if len(args) > 1 else kwargs.get("unbiased")
    keepdim = args[2] if len(args) > 2 else kwargs.get("keepdim", False)
    return _axes(x, dim), _kept(x, keepdim), _correction(unbiased, kwargs.get("correction"))


@covers("var", "var.dim", "var.correction", operator="var", refuse=_floats_only)
def _var(x: Tensor, *args: Any, **kwargs: Any) -> Any:
    axes, keepdim, ddof = _var_arguments(x, args, kwargs)
    return operators.call("var", x, axes, ddof=ddof, keepdims=keepdim)


@covers("std", "std.dim", "std.correction", operator="std", refuse=_floats_only)
def _std(x: Tensor, *args: Any, **kwargs: Any) -> Any:
    axes, keepdim, ddof = _var_arguments(x, args, kwargs)
    return operators.call("std", x, axes, ddof=ddof, keepdims=keepdim)


@covers("var_mean", "var_mean.dim", "var_mean.correction", operator="var_mean", refuse=_floats_only)
def _var_mean(x: Tensor, *args: Any, **kwargs: Any) -> Any:
    axes, keepdim, ddof = _var_arguments(x, args, kwargs)
    variance, mean = operators.call("var_mean", x, axes, ddof=ddof, keepdims=keepdim)
    return variance, mean if mean.dtype == x.dtype else operators.call("astype", mean, _name(x.dtype))


@covers("logsumexp", operator="logsumexp", refuse=_floats_only)
def _logsumexp(x: Tensor, dim: Any, keepdim: bool = False) -> Any:
    return operators.call("logsumexp", x, _axes(x, dim), _kept(x, keepdim))


def _refuse_order(x: Any, order: Any = 2, *rest: Any, **kwargs: Any) -> str:
    return "a negative order" if order < 0 else _floats_only(x, **kwargs)


@covers("linalg_vector_norm", operator="norm", refuse=_refuse_order)
def _vector_norm(x: Tensor, order: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    given = x if dtype in (None, x.dtype) else operators.call("astype", x, _name(dtype))
    return operators.call("norm", given, order, _axes(x, dim), _kept(x, keepdim))


# --- scans, sorting -----------------------------------------------------------------------------------------


@covers("cumsum", operator="cumsum", refuse=_accepted)
def _cumsum(x: Tensor, dim: int, *, dtype: Any = None) -> Any:
    kind = dtype or (x.dtype if x.dtype.is_floating_point else torch.int64)
    return operators.call("cumsum", x, dim, _name(kind)) if x.ndim else x.to(kind, copy=True)


@covers("cumprod", operator="cumprod", refuse=_accepted)
def _cumprod(x: Tensor, dim: int, *, dtype: Any = None) -> Any:
    kind = dtype or (x.dtype if x.dtype.is_floating_point else torch.int64)
    return operators.call("cumprod", x, dim, _name(kind)) if x.ndim else x.to(kind, copy=True)


def _refuse_scalar(x: Any, *rest: Any, **kwargs: Any) -> str:
    return "a tensor without axes" if x.ndim == 0 else ""


@covers("sort", operator="sort", refuse=_refuse_scalar)
def _sort(x: Tensor, dim: int = -1, descending: bool = False) -> Any:
    return operators.call("sort", x, dim, descending)


@covers("sort.stable", operator="sort", refuse=_refuse_scalar)
def _sort_stable(x: Tensor, *, stable: Any = None, dim: int = -1, descending: bool = False) -> Any:
    return operators.call("sort", x, dim, descending)


@covers("topk", operator="topk", refuse=_refuse_scalar)
def _topk(x: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    return operators.call("topk", x, k, dim, largest)
