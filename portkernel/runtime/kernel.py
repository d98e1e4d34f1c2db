"""``@pk.kernel``: the function stored, and everything that can be asked of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import takewhile
from types import FunctionType
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from .. import config
from ..errors import ArgumentError, ArgumentTypeError, LaunchError
from .address import Facts, address_of, reader_of
from .arguments import as_array
from .binding import RESERVED, bind, constant_key, type_arguments
from .observation import OBSERVED
from .plan import GridLike, Plan
from .specs import Config

if TYPE_CHECKING:
    from ..frontend import KernelFn
    from .driver import Binary
    from .eager import Eager
    from .inspection import Text
    from .programs import Programs

_HOT_LIMIT = 4096
"""Plans kept for exact argument shapes, per kernel; beyond it they are all forgotten and made anew."""
_SETTINGS_LIMIT = 16
_SIMPLE = frozenset({int, bool, str, type(None)})
Key = tuple[Any, ...]


class Kernel:
    """A kernel. ``kernel[grid](...)`` launches it; nothing is read, lowered or compiled before that."""

    def __init__(
        self, fn: FunctionType, configs: Sequence[Config] = (), key: Sequence[str] = (), name: str | None = None
    ) -> None:
        self.fn = fn
        self.name = name or fn.__name__
        self.configs = tuple(configs)
        self.key = _checked_names(self.name, fn, key)
        self.__name__ = self.name
        self.__doc__ = fn.__doc__
        self.__wrapped__ = fn
        self.__module__ = fn.__module__
        self._lock = threading.RLock()
        self._hot: dict[int, tuple[config.Config, dict[Key, Plan]]] = {}
        """Plans by the identity of the settings they were made under, which are kept with them."""

    @cached_property
    def parsed(self) -> KernelFn:
        """The front-end's view of the function."""
        from ..frontend import KernelFn

        return KernelFn(self.fn)

    @cached_property
    def _prefix(self) -> int:
        """How many run-time parameters come before the first constant, if all of them do; otherwise 0."""
        params = self.parsed.params
        leading = len(list(takewhile(lambda p: not p.constexpr, params)))
        return leading if leading == sum(not p.constexpr for p in params) else 0

    @cached_property
    def _constants(self) -> frozenset[str]:
        return frozenset(p.name for p in self.parsed.params if p.constexpr) | frozenset(RESERVED)

    @cached_property
    def programs(self) -> Programs:
        """The compiled forms of this kernel."""
        from .programs import Programs

        return Programs(self)

    def __repr__(self) -> str:
        return f"<kernel {self.name}>"

    def __getitem__(self, grid: GridLike) -> Launcher:
        return Launcher(self, grid)

    def __call__(self, *args: object, **kwargs: object) -> None:
        raise LaunchError(
            f"{self.name}(): expected a grid, got a call without one", hint=f"write {self.name}[grid](...)"
        )

    @property
    def eager(self) -> Eager:
        """``kernel.eager[grid](...)`` runs the kernel as plain Python on NumPy, one program at a time."""
        from .eager import Eager

        return Eager(self)

    def ir(self, /, *specs: Any, **constants: Any) -> str:
        """The text of the optimized tile IR for arguments like ``specs``: arrays, TensorSpecs, dtypes or scalars.

        Raises what a launch raises for such arguments, and :class:`~portkernel.errors.KernelError` for a mistake in the
        kernel's text.

        >>> import portkernel as pk
        >>> from portkernel.kernels.vector_add import vector_add
        >>> array = pk.TensorSpec((1000,), "float32")
        >>> "fn='add'" in vector_add.ir(array, array, array, B=128)
        True
        """
        from . import inspection

        return inspection.ir(self, specs, constants)

    def source(self, /, *specs: Any, backend: str | None = None, target: Any = None, **constants: Any) -> Text:
        """The emitted text for arguments like ``specs``, as a string with facts. Needs no device and no device package.

        Without ``backend`` that of the settings, else OpenCL; without ``target`` the backend's usual profile. Raises as
        :meth:`ir`, and :class:`~portkernel.errors.TargetError` for what the target cannot do.

        >>> import portkernel as pk
        >>> from portkernel.kernels.vector_add import vector_add
        >>> array = pk.TensorSpec((1000,), "float32")
        >>> text = vector_add.source(array, array, array, backend="cuda", target="nvidia-a100")
        >>> "__global__" in text, text.target.arch, text.source.entry
        (True, 'sm_80', 'vector_add')
        """
        from . import inspection

        return inspection.source(self, specs, constants, backend, target)

    def compile(self, /, *specs: Any, backend: str | None = None, target: Any = None, **constants: Any) -> Binary:
        """The binary for arguments like ``specs``. Needs a compiler, and no device where the compiler needs none.

        Raises as :meth:`source`; MissingDependencyError where the compiler's package is absent, CompilerError where the
        compiler refuses the text, UnsupportedOpError for NumPy, which has no compiler.
        """
        from . import inspection

        return inspection.compile(self, specs, constants, backend, target)

    def launch(self, grid: GridLike, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """``self[grid](*args, **kwargs)``. A plan is found by the exact shapes of the arguments, or made."""
        if OBSERVED.probe is not None:
            OBSERVED.probe(self, grid, args, kwargs)
            return
        for space, global_name, known in self.parsed.globals_read:
            if space.get(global_name) is not known:
                self._forget()
                break
        settings = config.get()
        hot = self._hot.get(id(settings)) or self._under(settings)
        values: list[Any] = []
        by_value = self.key and settings.tune != "off"  # a plan is not found by the values of scalars
        key = None if by_value else self._hot_key(args, kwargs, values)
        plan = hot[1].get(key) if key is not None else None
        if plan is not None:
            plan.run(grid, values, args)
            return
        bound = bind(self.name, self.parsed.params, args, kwargs, self.configs)
        typed = type_arguments(self.name, bound.runtime)
        with self._lock:
            plan = hot[1].get(key) if key is not None else None  # another thread may have made it
            if plan is None:
                plan = self.programs.plan(bound, typed, settings, grid)
                if key is not None:
                    if len(hot[1]) >= _HOT_LIMIT:
                        hot[1].clear()
                    hot[1][key] = plan
        ordered = [typed.refs[n].ptr if n in typed.refs else typed.values[n] for n in plan.names]
        plan.run(grid, ordered, [bound.runtime[n] for n in plan.names])

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Start to compile, in another process, what a launch of these arguments needs; nothing is launched.

        The launch then waits for what is not done yet, and raises what the compiler said.
        """
        bound = bind(self.name, self.parsed.params, args, kwargs, self.configs)
        typed = type_arguments(self.name, bound.runtime)
        with self._lock:
            self.programs.begin(bound, typed, config.get())

    def _under(self, settings: config.Config) -> tuple[config.Config, dict[Key, Plan]]:
        if len(self._hot) >= _SETTINGS_LIMIT:
            self._hot = {}
        return self._hot.setdefault(id(settings), (settings, {}))

    def _forget(self) -> None:
        """Compile anew: a global that the compiled kernels hold as a constant was assigned since, as in a notebook."""
        with self._lock:
            self.__dict__.pop("programs", None)
            self._hot = {}
            self.parsed.globals_read = ()

    def _hot_key(self, args: tuple[Any, ...], kwargs: dict[str, Any], values: list[Any]) -> Key | None:
        """All that a plan depends on, and the run-time values on the way; None for a launch that keeps no plan."""
        if len(args) != self._prefix:
            return None
        key: list[Any] = []
        for arg in args:
            kind = type(arg)
            if kind is np.ndarray:
                value = address_of(arg)
                key.append((arg.dtype, arg.shape, arg.strides, value & 15, arg.flags.writeable))
            elif kind is int:
                value = arg
                key.append(int if -0x80000000 <= arg <= 0x7FFFFFFF else (int, arg < 0, arg.bit_length()))
            elif kind is float or kind is bool:
                value = arg
                key.append(kind)
            elif isinstance(arg, np.generic):
                value = arg.item()
                key.append(arg.dtype)
            else:
                found = self._described(arg)
                if found is None:
                    return None
                value, facts = found
                key.append(facts)
            values.append(value)
        for name, given in kwargs.items():
            if name not in self._constants:
                return None
            key.append((name, type(given), given if type(given) in _SIMPLE else constant_key(given)))
        return tuple(key)

    def _described(self, arg: Any) -> tuple[int, Facts] | None:
        """The address of an array that is not NumPy's, and what a plan depends on; None for what is no array."""
        reader = reader_of(type(arg))
        try:
            if reader is not None:
                return reader(arg)
            ref = as_array(arg, self.name)
        except (LaunchError, RuntimeError):  # the slow path says it with the argument's name
            return None
        if ref is None:
            return None
        return ref.ptr, (ref.dtype, ref.shape, ref.strides, ref.ptr & 15, ref.readonly, ref.device)


def _checked_names(kernel: str, fn: FunctionType, key: Sequence[str]) -> tuple[str, ...]:
    """``key``, once the names of the parameters are known to be free and those in it to be parameters.

    Raises :class:`~portkernel.errors.ArgumentError`.
    """
    code = fn.__code__
    params = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    taken = (*RESERVED, "target")
    for p in params:
        if p in taken:
            raise ArgumentError(
                f"{kernel}(): {p}: expected another name, got one that is an option of launches or of .source()",
                hint="rename the parameter; the options are " + ", ".join(taken),
            )
    for p in key:
        if p not in params:
            raise ArgumentError(
                f"{kernel}(): key: expected parameters of the kernel, got {p!r}",
                hint="the parameters are " + ", ".join(params),
            )
    return tuple(key)


class Launcher:
    """A kernel with its grid: call it with the arguments."""

    __slots__ = ("grid", "kernel")

    def __init__(self, kernel: Kernel, grid: GridLike) -> None:
        self.kernel = kernel
        self.grid = grid

    def __call__(self, /, *args: Any, **kwargs: Any) -> None:
        self.kernel.launch(self.grid, args, kwargs)


@overload
def kernel(fn: Callable[..., Any], /) -> Kernel: ...


@overload
def kernel(
    *, configs: Sequence[Config] = (), key: Sequence[str] = (), name: str | None = None
) -> Callable[[Callable[..., Any]], Kernel]: ...


def kernel(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    configs: Sequence[Config] = (),
    key: Sequence[str] = (),
    name: str | None = None,
) -> Kernel | Callable[[Callable[..., Any]], Kernel]:
    """Make a kernel of a Python function; bare, or with candidates for its constants.

    ``configs`` are tried in order and the first that fits the device is taken, so the preferred one comes first; what
    a launch names itself stays. Under ``PORTKERNEL_TUNE`` the fastest is taken instead, measured once for every
    specialisation and class of shapes, and for each value of the scalar parameters that ``key`` names. ``name`` replaces
    the function's own in messages, counts and reports; the emitted text has the function's.

    Raises :class:`~portkernel.errors.ArgumentError` for a parameter called like an option of every launch, and for a
    name in ``key`` that is no parameter; ArgumentTypeError for what is not a plain function, and for ``configs``, ``key`` or
    ``name`` of another kind.

    >>> import numpy as np
    >>> import portkernel as pk
    >>> @pk.kernel(configs=[pk.Config(B=256), pk.Config(B=64)], key=["x"])
    ... def double(x, out, B: pk.constexpr[int] = 16):
    ...     i = pk.program_id(0)
    ...     pk.store(out, (i,), pk.load(x, (i,), (B,)) * 2)
    >>> x = np.arange(5, dtype=np.float32)
    >>> out = np.empty_like(x)
    >>> double[lambda meta: (pk.cdiv(x.size, meta["B"]),)](x, out, backend="numpy")
    >>> out
    array([0., 2., 4., 6., 8.], dtype=float32)
    """

    def make(found: Callable[..., Any]) -> Kernel:
        if not isinstance(found, FunctionType):
            raise ArgumentTypeError(
                f"kernel(): fn: expected a plain Python function, got {type(found).__name__}",
                hint="decorate a def, not a method, class or lambda object",
            )
        return Kernel(found, configs, key, name)

    if not isinstance(configs, Sequence) or not all(isinstance(c, Config) for c in configs):
        raise ArgumentTypeError(f"kernel(): configs: expected a sequence of pk.Config, got {configs!r:.60}")
    if isinstance(key, str) or not isinstance(key, Sequence):
        raise ArgumentTypeError(f"kernel(): key: expected a sequence of names, got {key!r}", hint='key=["x"]')
    if name is not None and not isinstance(name, str):
        raise ArgumentTypeError(f"kernel(): name: expected a string, got {name!r}")
    return make if fn is None else make(fn)
