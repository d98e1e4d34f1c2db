"""What one would write without us: the peer that the report's ratio compares with.

A kernel that no operator reaches has one where NumPy has a word for it; an operator that of the library whose words it follows.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ops.samples import Sample

Array = NDArray[Any]
Arguments = Mapping[str, Any]


def vector_add(args: Arguments) -> Array:
    return np.asarray(args["x"] + args["y"])


def histogram(args: Arguments) -> Array:
    x, counts = args["x"], args["counts"]
    return np.asarray(counts + np.bincount(x[(x >= 0) & (x < len(counts))].astype(np.int64), minlength=len(counts)))


PEERS: dict[str, Callable[[Arguments], Array]] = {"vector_add": vector_add, "histogram": histogram}


# --- operators: the library whose words they follow ---------------------------------------------------------

Peer = tuple[str, Callable[[], object]]


def operator_peer(name: str, follows: str, sample: Sample) -> Peer | None:
    """NumPy's or PyTorch's function of that name on the same arguments; None where there is none, or it refuses them."""
    make = _PEER_LIBRARIES.get(follows.partition(".")[0])
    found = None if make is None else make(name, follows, sample)
    if found is None:
        return None
    try:
        found[1]()
    except Exception:  # it takes other arguments, or not this dtype: then there is nothing to compare with
        return None
    return found


def _numpy_peer(name: str, follows: str, sample: Sample) -> Peer | None:
    function = getattr(np, name, None)
    return None if function is None else ("numpy", lambda: function(*sample.args, **sample.kwargs))


def _torch_peer(name: str, follows: str, sample: Sample) -> Peer | None:
    try:
        functions = import_module(follows)
    except ImportError:
        return None
    torch, function = sys.modules["torch"], getattr(functions, name, None)
    if function is None:
        return None
    return _bound(torch, function, sample, {})


def _own_peer(name: str, follows: str, sample: Sample) -> Peer | None:
    """PyTorch's word for an operator whose arguments are called otherwise there."""
    if name not in _OWN:
        return None
    module, names = _OWN[name]
    try:
        functions = import_module(module)
    except ImportError:
        return None
    return _bound(sys.modules["torch"], getattr(functions, name), sample, names)


def _bound(torch: Any, function: Callable[..., object], sample: Sample, names: Mapping[str, str]) -> Peer:
    args = [_tensor(torch, a) for a in sample.args]
    kwargs = {names.get(key, key): _tensor(torch, a) for key, a in sample.kwargs.items()}
    return "torch", lambda: function(*args, **kwargs)


_OWN: dict[str, tuple[str, Mapping[str, str]]] = {
    "softmax": ("torch.nn.functional", {"axis": "dim"}),
    "log_softmax": ("torch.nn.functional", {"axis": "dim"}),
    "logsumexp": ("torch", {"axis": "dim", "keepdims": "keepdim"}),
    "var_mean": ("torch", {"axis": "dim", "keepdims": "keepdim", "ddof": "correction"}),
    "cummax": ("torch", {"axis": "dim"}),
    "topk": ("torch", {"axis": "dim"}),
    "norm": ("torch", {"ord": "p", "axis": "dim", "keepdims": "keepdim"}),
}
"""Module of PyTorch's function of the same name, and its names of our arguments."""


def _tensor(torch: Any, value: Any) -> Any:
    """An array as a tensor, bit by bit where NumPy has no such numbers of its own; anything else as it is."""
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype.isbuiltin != 1:  # bfloat16, float8
        bits = np.ascontiguousarray(value).view(f"i{value.dtype.itemsize}")
        return torch.from_numpy(bits).view(getattr(torch, value.dtype.name)).reshape(value.shape)
    return torch.from_numpy(value.copy(order="K"))


_PEER_LIBRARIES: dict[str, Callable[[str, str, Sample], Peer | None]] = {
    "numpy": _numpy_peer,
    "torch": _torch_peer,
    "portkernel": _own_peer,
}
