"""What one would write without us: the peer that the report's ratio compares with.

Half precision and 8-bit floats compute in float32, as the kernels do. A kernel without an entry has no ratio: NumPy
has no word for it (``erf``).
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


def wide(x: Array) -> Array:
    """``x`` in the dtype NumPy should compute in."""
    return x.astype(np.float32) if x.dtype.itemsize < 4 and x.dtype.kind not in "iub" else x


def vector_add(args: Arguments) -> Array:
    return np.asarray(args["x"] + args["y"])


def matmul(args: Arguments) -> Array:
    a, b, out = args["a"], args["b"], args["out"]
    if a.dtype.kind in "iu":
        return np.asarray(np.matmul(a, b, dtype=out.dtype))
    return np.asarray(np.matmul(wide(a), wide(b))).astype(out.dtype, copy=False)


def conv2d(args: Arguments, constants: Arguments) -> Array:
    from ..catalog import package

    name = package().__name__
    library = import_module(f"{name}.conv.reference")
    activate = import_module(f"{name}.activations").reference
    out = args["out"]
    x, weight = ((t.astype(out.dtype) if t.dtype.kind in "iu" else wide(t)) for t in (args["x"], args["weight"]))
    padding = [(args[name], args[name]) for name in ("front", "top", "left")]
    found: Array = library.forward(x, weight, constants["STRIDE"], constants["DILATION"], padding, constants["GROUPS"])
    if constants["BIAS"]:
        found = found + args["bias"][:, None, None, None]
    return np.asarray(activate(found, constants["ACTIVATION"])).astype(out.dtype, copy=False)


def reduce_sum(args: Arguments) -> Array:
    return np.asarray(wide(args["x"]).sum(axis=(1, 3)))[..., None]


def reduce_max(args: Arguments) -> Array:
    return np.asarray(args["x"].max(axis=(1, 3)))[..., None]


def reduce_argmax(args: Arguments) -> Array:
    return np.asarray(args["x"].argmax(axis=3)).reshape(args["out"].shape)


def softmax(args: Arguments) -> Array:
    x = wide(args["x"])
    e: Array = np.exp(x - x.max(axis=-1, keepdims=True))
    e /= e.sum(axis=-1, keepdims=True)
    return e.astype(args["out"].dtype, copy=False)


def layer_norm(args: Arguments) -> Array:
    x = wide(args["x"])
    centred = x - x.mean(axis=-1, keepdims=True)
    scale = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + x.dtype.type(args["eps"]))
    centred /= scale
    return np.asarray(centred * wide(args["weight"]) + wide(args["bias"])).astype(args["out"].dtype, copy=False)


def cumsum(args: Arguments) -> Array:
    found: Array = wide(args["x"]).cumsum(axis=-1)
    return found.astype(args["out"].dtype, copy=False)


def histogram(args: Arguments) -> Array:
    x, bins = args["x"], len(args["counts"])
    return np.bincount(x[(x >= 0) & (x < bins)].astype(np.int64), minlength=bins)


PEERS: dict[str, Callable[[Arguments, Arguments], Array]] = {
    "vector_add": lambda args, _: vector_add(args),
    "matmul": lambda args, _: matmul(args),
    "conv2d": conv2d,
    "reduce_sum": lambda args, _: reduce_sum(args),
    "reduce_max": lambda args, _: reduce_max(args),
    "reduce_argmax": lambda args, _: reduce_argmax(args),
    "softmax": lambda args, _: softmax(args),
    "layer_norm": lambda args, _: layer_norm(args),
    "cumsum": lambda args, _: cumsum(args),
    "histogram": lambda args, _: histogram(args),
}


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
