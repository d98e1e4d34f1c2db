"""An operator: a host function of the kernel library with its name, its facts and the route of its calls."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cached_property
from importlib import import_module
from typing import Any

from .. import catalog
from ..dtypes import DType
from ..errors import PortkernelError
from ..runtime.observation import OBSERVED
from . import calls
from .kinds import Check, checks
from .replay import Replays
from .table import EVERYWHERE, Row


class Operator:
    """Call it with arrays of any library: ``pk.ops.softmax(x, axis=-1)``.

    Besides its own arguments it takes ``out=`` (a tuple where it gives several arrays), ``backend=`` and ``device=``.
    """

    def __init__(
        self, row: Row, function: Callable[..., Any] | None = None, accepted: tuple[DType, ...] | None = None
    ) -> None:
        """``function`` and ``accepted``, the dtypes that it takes, are those of a user's own operator."""
        self.name = self.__name__ = self.__qualname__ = row.name
        self.__module__ = "portkernel.ops"
        self.row = row
        self.follows = row.follows
        self.accepted = accepted
        self.runs_callers_code = function is not None or row.name == "elementwise"
        if function is not None:
            self.function = function
            self.checks = ()

    @cached_property
    def function(self) -> Callable[..., Any]:
        """The host function: checks, allocates, launches. Imported on first use."""
        catalog.package()  # a source tree has the library beside the package
        found: Callable[..., Any] = getattr(import_module(f"portkernel.{self.row.module}"), self.row.function)
        return found

    @cached_property
    def own(self) -> frozenset[str]:
        """The names of the host function's own parameters."""
        return frozenset(inspect.signature(self.function).parameters)

    @cached_property
    def signature(self) -> inspect.Signature:
        """The signature of the host function, with ``out``, ``backend`` and ``device``, which every operator takes."""
        found = inspect.signature(self.function)
        given = [*found.parameters.values()]
        kind = inspect.Parameter.KEYWORD_ONLY
        given += [inspect.Parameter(n, kind, default=None) for n in EVERYWHERE if n not in found.parameters]
        return found.replace(parameters=given)

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """The names of the arguments, in order; those given by position come first."""
        return tuple(
            p.name for p in self.signature.parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        )

    @cached_property
    def checks(self) -> tuple[tuple[str, Check], ...]:
        """Name and check of the arguments that are no arrays; a user's own operator has none."""
        return checks(self.signature)

    @property
    def __signature__(self) -> inspect.Signature:
        return self.signature

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        follows = "of its own" if self.follows == "portkernel" else f"of {self.follows}"
        return f"{inspect.getdoc(self.function) or self.name}\n\nArgument names and defaults: {follows}."

    def __repr__(self) -> str:
        return f"<operator {self.name}>"

    @cached_property
    def replays(self) -> Replays:
        """The calls that need not run the host function again."""
        return Replays(self.complete)

    @cached_property
    def kernels(self) -> tuple[str, ...]:
        """The names of the kernels that the operator's samples launch."""
        from .routes import kernels_of

        return kernels_of(self)

    @cached_property
    def dtypes(self) -> tuple[DType, ...]:
        """The dtypes that the operator takes, as its own checks say of its first sample."""
        from .routes import dtypes_of

        return dtypes_of(self)

    def complete(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The call with every check, and the host function run."""
        return calls.run(self, args, kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        tracer = OBSERVED.tracer
        try:
            return self.replays(args, kwargs) if tracer is None else tracer.call(self, args, kwargs)
        except PortkernelError as e:  # of a launch that was made again without the host function
            raise calls.named(self, e) from None
