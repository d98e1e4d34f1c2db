"""``pk.register_op``: a user's own function over kernels becomes an operator like those that come with the package."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

import numpy as np

from ..catalog import rounding
from ..dtypes import DType, as_dtype
from ..errors import ArgumentDTypeError, ArgumentError, ArgumentTypeError, DTypeError
from . import samples
from .operator import Operator
from .registry import table
from .samples.sample import Maker, Sample, sample_of, tuple_of
from .table import OWN, Row

Function = Callable[..., Any]
Inputs = Callable[[DType, np.random.Generator], Iterator[tuple[Any, ...]]]


@overload
def register_op(
    name: str, fn: Function, *, reference: Function | None = None, bound: Function | None = None,
    inputs: Inputs | None = None, follows: str | None = None, dtypes: Sequence[DType | str] | None = None,
    elementwise: bool = False, override: bool = False,
) -> Operator: ...  # fmt: skip
@overload
def register_op(
    name: str, fn: None = None, *, reference: Function | None = None, bound: Function | None = None,
    inputs: Inputs | None = None, follows: str | None = None, dtypes: Sequence[DType | str] | None = None,
    elementwise: bool = False, override: bool = False,
) -> Callable[[Function], Operator]: ...  # fmt: skip
def register_op(
    name: str, fn: Function | None = None, *, reference: Function | None = None, bound: Function | None = None,
    inputs: Inputs | None = None, follows: str | None = None, dtypes: Sequence[DType | str] | None = None,
    elementwise: bool = False, override: bool = False,
) -> Operator | Callable[[Function], Operator]:  # fmt: skip
    """Make ``fn``, a host function that launches kernels, the operator ``pk.ops.<name>``; bare or as a decorator.

    ``fn`` allocates its result as ``portkernel.kernels.arrays.result`` does, and takes ``out`` where it wants to; ``backend=`` and
    ``device=`` reach its launches also if it does not take them. What makes it an operator like others:

    * ``reference(*args, **kwargs)`` gives the results on NumPy arrays, in float64 or exact integers;
    * ``bound(want, *args, **kwargs)`` the absolute error allowed for each element of the result ``want`` (a tuple for several);
      one rounding of it if there is none;
    * ``inputs(dtype, rng)`` yields tuples of arguments to try it on: from these come its samples, and with them ``.dtypes``,
      ``.kernels``, ``pk.supports`` and the rows of the coverage report;
    * ``dtypes`` are those that it takes, if it does not check them itself; ``follows`` the library whose argument names it has;
    * ``elementwise``: ``out`` may be one of the arguments.

    Raises ArgumentError for a name that is no identifier, or that an operator has already, unless ``override``;
    ArgumentTypeError for what is no function, ArgumentDTypeError for what is no dtype.
    """
    if not isinstance(name, str) or not name.isidentifier():
        raise ArgumentError(f"register_op(): name: expected an identifier, got {name!r}")
    if name in table() and not override:
        raise ArgumentError(
            f"register_op(): name: expected one that is free, got {name!r}", hint="pass override=True to replace it"
        )
    for option, value in (("reference", reference), ("bound", bound), ("inputs", inputs)):
        if value is not None and not callable(value):
            raise ArgumentTypeError(f"register_op(): {option}: expected a function, got {type(value).__name__}")
    if (inputs is None) != (reference is None):
        given, missing = ("inputs", "reference") if reference is None else ("reference", "inputs")
        raise ArgumentError(f"register_op(): {missing}: expected a function beside {given}, got None")
    try:
        accepted = None if dtypes is None else tuple(as_dtype(d) for d in dtypes)
    except DTypeError as e:
        raise ArgumentDTypeError(f"register_op(): dtypes: {e.message}", hint=e.hint) from None

    def register(found: Function) -> Operator:
        if not callable(found):
            raise ArgumentTypeError(f"register_op(): fn: expected a function, got {type(found).__name__}")
        row = Row(name, found.__module__, follows or OWN, getattr(found, "__name__", name), elementwise)
        made = Operator(row, found, accepted)
        if inputs is not None and reference is not None:
            samples.add(name, _maker(inputs, reference, bound))
        else:
            samples.makers().pop(name, None)
        table()[name] = made
        return made

    return register if fn is None else register(fn)


def _maker(inputs: Inputs, reference: Function, bound: Function | None) -> Maker:
    """Samples of every tuple of arguments, numbered; a dictionary at the end of the tuple holds keywords."""

    def make(dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
        for i, given in enumerate(inputs(dtype, rng)):
            args, kwargs = (given[:-1], given[-1]) if given and isinstance(given[-1], dict) else (given, {})

            def truth(args: tuple[Any, ...] = args, kwargs: dict[str, Any] = kwargs) -> Any:
                return reference(*args, **kwargs)

            def error(*want: Any, args: tuple[Any, ...] = args, kwargs: dict[str, Any] = kwargs) -> Any:
                if bound is None:
                    return tuple(rounding(np.asarray(w), dtype) for w in want)
                return tuple_of(bound(want[0] if len(want) == 1 else want, *args, **kwargs))

            yield sample_of(f"inputs {i}", tuple(args), kwargs, truth, error)

    return make
