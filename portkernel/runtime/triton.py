"""Triton: launched on a GPU where there is one, interpreted on the host, compiled ahead of time for any target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..backends import Source
from ..errors import DeviceMismatchError, MissingDependencyError, NoDeviceError, UnsupportedOpError
from ..ir import Func, Tensor
from ..targets import Target, variant
from ..targets import find as find_target
from ..targets.detection import nearest
from . import triton_module as module
from .arguments import HOST, ArrayRef, tensor_type
from .cache import Entry
from .compilation import Refused, compiler_error
from .driver import Binary, Device, Grid, Launch, Value, raise_assertion

_INTERPRETER = Device("triton", "triton interpreter", "triton:interpreter", HOST)


def compile_job(job: Mapping[str, Any]) -> Entry:
    """For the compiler process."""
    return module.compile_job(job)


class Driver:
    """The interpreter is a device that is always there; each GPU that PyTorch sees is another."""

    name = "triton"

    def __init__(self) -> None:
        module.package()

    def devices(self) -> Sequence[Device]:
        return (*_gpus(), _INTERPRETER)

    def device(self, wanted: str | None, like: ArrayRef | None) -> Device:
        if wanted in ("interpreter", _INTERPRETER.name):
            return _INTERPRETER
        memory = like.device if like is not None else HOST
        gpus = _gpus()
        if not gpus:
            raise NoDeviceError(
                "triton: no GPU was found",
                hint='device="interpreter" runs the text on the CPU, slowly; source() and compile() need no device',
            )
        if wanted is None:
            found = [g for g in gpus if memory in (HOST, g.memory)]
        elif wanted.isdecimal():
            found = [g for i, g in enumerate(gpus) if i == int(wanted)]
        else:
            found = [g for g in gpus if wanted.lower() in g.name.lower() or wanted == g.memory]
        if not found:
            known = ", ".join(d.name for d in self.devices())
            raise NoDeviceError(
                f"device: expected a Triton device, got {wanted or memory!r}", hint=f"there are: {known}"
            )
        return found[0]

    def target(self, device: Device) -> Target:
        if device == _INTERPRETER:
            # each operation costs the interpreter about 0.1 ms, however large the tile: few programs, large tiles
            return variant(find_target("nvidia-a100"), name="triton-interpreter", features=frozenset({"whole_grid"}))
        import torch

        facts = torch.cuda.get_device_properties(int(device.key.rpartition(":")[2]))
        if torch.version.hip:
            arch, default = facts.gcnArchName.split(":")[0], "amd-mi300x"
        else:
            arch = f"sm_{facts.major}{facts.minor}"
            default = "nvidia-h100" if facts.major >= 9 else "nvidia-a100"
        return variant(nearest(device.name, arch, default), arch=arch, units=facts.multi_processor_count)

    def compile(self, source: Source, func: Func, device: Device) -> _Interpreted | _Compiled:
        if device == _INTERPRETER:
            return _Interpreted(source)
        return _Compiled(source, device)

    def binary(self, source: Source) -> Binary:
        if not source.target.arch:
            raise UnsupportedOpError(
                f"compile(): target: expected a GPU with an architecture, got {source.target.name}",
                hint="name one: nvidia-h100, amd-mi300x",
            )
        return module.binary(source)


def _gpus() -> tuple[Device, ...]:
    try:
        import torch
    except ImportError:
        return ()
    if not torch.cuda.is_available():
        return ()
    count = torch.cuda.device_count()
    return tuple(Device("triton", torch.cuda.get_device_name(i), f"triton:{i}", f"cuda:{i}") for i in range(count))


def flatten(args: Sequence[Value], values: Sequence[Any]) -> list[int | float | bool]:
    """The numbers that the kernel takes: for a tensor its address, open sizes and open strides; a scalar as itself."""
    flat: list[int | float | bool] = []
    for arg, value in zip(args, values, strict=True):
        flat.append(value)
        if isinstance(arg, ArrayRef):
            flat += _open(arg)
    return flat


def _open(ref: ArrayRef) -> list[int]:
    kind: Tensor = tensor_type(ref)
    sizes = [n for n, known in zip(ref.shape, kind.shape, strict=True) if known is None]
    return sizes + [s for s, known in zip(ref.strides, kind.strides, strict=True) if known is None]


class _Interpreted:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.run = module.Interpreted(source)

    def prepare(self, args: Sequence[Value]) -> Launch:
        fixed = list(args)

        def launch(grid: Grid, values: Sequence[Any], owners: Sequence[Any]) -> None:
            status = np.zeros(4, np.int32)  # 8 bytes and more: atomics use it as a place that is always there
            self.run(grid, [*flatten(fixed, values), status.ctypes.data])
            raise_assertion(self.source, int(status[0]))

        return launch


class _Compiled:
    """A kernel on a GPU. Host arrays are copied there and back."""

    def __init__(self, source: Source, device: Device) -> None:
        try:
            import torch
        except ImportError:
            raise MissingDependencyError(
                "triton: a launch on a GPU needs PyTorch", hint='pip install "portkernel[triton]"'
            ) from None
        self.torch = torch
        self.source, self.place = source, device.memory
        self.index = int(device.key.rpartition(":")[2])
        module.obtain(source)  # in a child first: what crashes the compiler does not reach this process
        with torch.cuda.device(self.index):
            try:
                self.kernel = module.compile_here(module.job_of(source))
            except Refused as e:
                raise compiler_error(source, str(e)) from None
            self.status = torch.zeros(4, dtype=torch.int32, device=self.place)

    def prepare(self, args: Sequence[Value]) -> Launch:
        fixed = list(args)
        copied = [isinstance(a, ArrayRef) and a.device == HOST for a in args]
        if any(isinstance(a, ArrayRef) and a.device not in (HOST, self.place) for a in args):
            raise DeviceMismatchError(f"triton: expected arrays on {self.place} or on the host")

        def launch(grid: Grid, values: Sequence[Any], owners: Sequence[Any]) -> None:
            with self.torch.cuda.device(self.index):
                there = list(values)
                backs = []
                for i, copy in enumerate(copied):
                    if copy:
                        there[i], back = self._upload(fixed[i], values[i], owners[i])
                        backs.append(back)
                self.kernel[grid](*flatten(fixed, there), self.status.data_ptr())
                for back in backs:
                    back()
                if self.source.asserts:
                    code = int(self.status[0].item())
                    if code:
                        self.status.zero_()
                        raise_assertion(self.source, code)

        return launch

    def _upload(self, template: Any, address: int, owner: Any) -> tuple[int, Any]:
        """The bytes that the array spans, copied; the address of its first element there, and the way back."""
        ref = ArrayRef(address, template.shape, template.strides, template.dtype, HOST, template.readonly, owner)
        low, high = ref.extent
        if high == low:
            return self.status.data_ptr(), lambda: None
        interface = {
            "version": 3,
            "typestr": "|u1",
            "shape": (high - low,),
            "data": (address + low, False),
            "strides": None,
        }
        host = np.asarray(type("Bytes", (), {"__array_interface__": interface, "owner": owner})())
        on_device = self.torch.from_numpy(host).to(self.place)

        def back() -> None:
            if not template.readonly:
                host[:] = on_device.cpu().numpy()

        return on_device.data_ptr() - low, back
