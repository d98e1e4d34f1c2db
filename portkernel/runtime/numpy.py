"""The reference backend as a driver: nothing is compiled, the host is the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import config
from ..backends import Source
from ..backends.numpy import execute
from ..errors import NoDeviceError, UnsupportedOpError
from ..ir import Func
from ..targets import Target
from ..targets import find as find_target
from .arguments import HOST, ArrayRef
from .driver import Binary, Device, Grid, Launch, Value

_DEVICE = Device("numpy", "numpy", "numpy", HOST)


class Driver:
    """Runs everywhere."""

    name = "numpy"

    def devices(self) -> Sequence[Device]:
        return (_DEVICE,)

    def device(self, wanted: str | None, like: ArrayRef | None) -> Device:
        if wanted not in (None, "numpy", HOST, "0"):
            raise NoDeviceError(
                f"device: expected numpy, got {wanted!r}", hint="the NumPy backend has one device; leave device= out"
            )
        return _DEVICE

    def target(self, device: Device) -> Target:
        return find_target("numpy")

    def compile(self, source: Source, func: Func, device: Device) -> _Loaded:
        return _Loaded(func)

    def binary(self, source: Source) -> Binary:
        raise UnsupportedOpError(
            "compile(): backend: expected a backend with a compiler, got 'numpy'", hint="NumPy executes the IR itself"
        )


class _Loaded:
    def __init__(self, func: Func) -> None:
        self.func = func

    def prepare(self, args: Sequence[Value]) -> Launch:
        func = self.func
        names = [p.hint for p in func.params]
        templates = [a if isinstance(a, ArrayRef) else None for a in args]

        def launch(grid: Grid, values: Sequence[Any], owners: Sequence[Any]) -> None:
            bound: dict[str, Any] = {}
            for name, template, value, owner, param in zip(names, templates, values, owners, func.params, strict=True):
                if template is None:
                    bound[name] = np.asarray(value).astype(param.type.dtype.np)[()]
                elif type(owner) is np.ndarray:
                    bound[name] = owner
                else:
                    ref = template
                    bound[name] = ArrayRef(value, ref.shape, ref.strides, ref.dtype, HOST, False, owner).numpy()
            execute(func, grid, bound, config.get().numpy_chunk_bytes)

        return launch
