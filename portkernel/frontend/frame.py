"""The state of the interpreter: a frame for each function being inlined, and the builder that records."""

from __future__ import annotations

import ast
import builtins
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from types import FunctionType, ModuleType

import numpy as np

from .. import dtypes, lang
from ..errors import (
    InternalError,
    KernelError,
    NotConstantError,
    PortkernelError,
    TypeJoinError,
    UndefinedVariableError,
    UnknownNameError,
)
from ..ir import Builder, Scope
from ..lang import TensorValue, TileValue
from ..loc import Loc
from .joins import Retype, Weak
from .names import GlobalRead, assigned
from .signature import suggestion
from .source import FunctionSource

MISSING = object()


@dataclass(frozen=True, slots=True)
class Undefined:
    """A variable that exists on some paths only. ``where`` is the mistake's place; unknown means the place of the use."""

    message: str
    hint: str = ""
    where: Loc | None = None
    error: type[KernelError] = UndefinedVariableError

    def raised(self) -> KernelError:
        return self.error(self.message, hint=self.hint, loc=self.where or Loc())


class Region(Enum):
    """What encloses a statement, as far as ``break``, ``continue`` and ``return`` care."""

    BRANCH = "a run-time `if`"
    LOOP = "a run-time loop"
    UNROLLED = "an unrolled loop"


class Flow(Enum):
    """How a statement ends, but for :class:`Return`."""

    NEXT = "next"
    BREAK = "break"
    CONTINUE = "continue"


@dataclass(frozen=True, slots=True)
class Return:
    value: object
    node: ast.stmt | None = None


Outcome = Flow | Return


@dataclass(slots=True, eq=False, repr=False)
class Frame:
    """A function being interpreted: its locals, where they were assigned, and what it sees besides."""

    source: FunctionSource
    env: dict[str, object]
    cells: Mapping[str, object]
    globals: Mapping[str, object]
    call_site: Loc | None = None
    outer: Frame | None = None
    sites: dict[str, ast.AST] = field(default_factory=dict)
    regions: list[Region] = field(default_factory=list)
    local_names: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        node = self.source.node
        body = [] if isinstance(node, ast.Lambda) else node.body
        self.local_names = frozenset(self.env) | frozenset(assigned(body))

    def loc(self, node: ast.AST) -> Loc:
        return self.source.loc(node, self.call_site)

    def line(self, name: str) -> int:
        """The line where ``name`` was assigned last; that of the function for a parameter."""
        return int(getattr(self.sites.get(name, self.source.node), "lineno", 0))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LocalFunction:
    """A function defined inside a kernel or helper: it sees the variables of the frame around it.

    ``constants`` are its parameters that are annotated with ``pk.constexpr``.
    """

    source: FunctionSource
    signature: inspect.Signature
    frame: Frame
    constants: frozenset[str] = frozenset()

    @property
    def __name__(self) -> str:
        return self.source.name


def closure_cells(fn: FunctionType) -> dict[str, object]:
    """The closure variables of ``fn`` that have a value."""
    found: dict[str, object] = {}
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # assigned later than the call
            continue
    return found


class Tracer(Builder):
    """A builder that inlines the user's functions, and can go on in a scope that was left."""

    def __init__(self) -> None:
        super().__init__()
        self.inline: Callable[[object, tuple[object, ...]], object] | None = None

    def call(self, fn: Callable[..., object], args: tuple[object, ...]) -> object:
        return fn(*args) if self.inline is None else self.inline(fn, args)

    @contextmanager
    def reopen(self, scope: Scope) -> Iterator[None]:
        """Append to ``scope`` again."""
        self._scopes.append(scope)
        try:
            yield
        finally:
            self._scopes.pop()

    @property
    def innermost(self) -> Scope:
        return self._scopes[-1]


def is_runtime(value: object) -> bool:
    """Whether ``value`` is known only when the kernel runs."""
    return isinstance(value, (TileValue, TensorValue))


def has_runtime(value: object) -> bool:
    """Whether ``value`` is, or contains, something known only when the kernel runs."""
    if isinstance(value, (tuple, list)):
        return any(has_runtime(v) for v in value)
    if isinstance(value, dict):
        return any(has_runtime(v) for v in value.values())
    return isinstance(value, (TileValue, TensorValue))


class Machine(ABC):
    """What expressions, calls and statements share. Subclassed in that order."""

    def __init__(self, builder: Tracer, frame: Frame) -> None:
        self.builder = builder
        self.frame = frame
        self.stack: list[FunctionSource] = [frame.source]
        self.weak: Weak = {}
        self.owners: dict[int, tuple[object, Scope]] = {}
        self.operator_call: ast.AST = frame.source.node
        self.globals_read: dict[tuple[int, str], GlobalRead] = {}

    @abstractmethod
    def eval(self, node: ast.expr) -> object:
        """The value of an expression: a run-time value or a Python object."""

    @abstractmethod
    def apply(self, fn: object, args: Sequence[object], kwargs: Mapping[str, object], node: ast.AST) -> object:
        """The result of a call at ``node``, whose parts are evaluated."""

    @abstractmethod
    def define(self, node: ast.Lambda | ast.FunctionDef, name: str) -> LocalFunction:
        """A function defined inside the one being interpreted."""

    @abstractmethod
    def block(self, body: Sequence[ast.stmt]) -> Outcome:
        """Interpret statements in order."""

    def at(self, node: ast.AST) -> None:
        """Operations emitted from here on stand at ``node``."""
        self.builder.loc = self.frame.loc(node)

    @contextmanager
    def blame(self, node: ast.AST) -> Iterator[None]:
        """Errors inside stand at ``node``, unless they have a place; a surprise is a defect of ours."""
        try:
            yield
        except (PortkernelError, Retype) as e:
            raise self.placed(e, node)  # noqa: B904  # the same exception goes on
        except Exception as e:
            raise self.defect(e, node) from e

    def placed(self, error: PortkernelError | Retype, node: ast.AST) -> PortkernelError | Retype:
        return error if isinstance(error, Retype) else error.at(self.frame.loc(node))

    def defect(self, error: Exception, node: ast.AST) -> InternalError:
        return InternalError(
            f"front-end: {type(error).__name__}: {error}",
            loc=self.frame.loc(node),
            hint="this is a defect of portkernel: please report it with the kernel's text",
        )

    def python(self, what: str, fn: Callable[..., object], *args: object, **kwargs: object) -> object:
        """``fn`` of compile-time values: what Python raises is a mistake in the kernel's text."""
        try:
            return fn(*args, **kwargs)
        except PortkernelError:
            raise
        except Exception as e:
            raise KernelError(f"{what}: expected a compile-time value, got {type(e).__name__}: {e}") from e

    def bind(self, name: str, value: object, node: ast.AST) -> None:
        """Assign a local variable."""
        if isinstance(value, TileValue) and not value.value.hint:
            object.__setattr__(value.value, "hint", name)  # names make the printed IR readable
        self.frame.env[name] = value
        self.frame.sites[name] = node

    def lookup(self, name: str) -> object:
        """The value of a name: local, enclosing, global, builtin."""
        frame: Frame | None = self.frame
        while frame is not None:
            found = frame.env.get(name, MISSING)
            if isinstance(found, Undefined):
                raise found.raised()
            if found is not MISSING:
                return found
            if name in frame.local_names:
                raise UndefinedVariableError(
                    f"`{name}`: expected a value, got none: it is assigned later or on another path",
                    hint=f"assign `{name}` before this line on every path",
                )
            if name in frame.cells:
                return self._captured(name, frame.cells[name])
            frame = frame.outer
        if name in self.frame.globals:
            value = self._captured(name, self.frame.globals[name])
            if not isinstance(value, ModuleType):
                self.globals_read[id(self.frame.globals), name] = GlobalRead(self.frame.globals, name, value)
            return value
        found = getattr(builtins, name, MISSING)
        if found is MISSING:
            raise UnknownNameError(
                f"`{name}`: expected a name that is defined, got an unknown one", hint=self._near(name)
            )
        return found

    def _near(self, name: str) -> str:
        known: dict[str, None] = {}
        frame: Frame | None = self.frame
        while frame is not None:
            known.update(dict.fromkeys((*frame.env, *frame.cells, *frame.globals)))
            frame = frame.outer
        if name in lang.OPERATORS or name in dtypes.BY_NAME:
            return f"did you mean `pk.{name}`?"
        known.update(dict.fromkeys(("range", "len", "min", "max", "abs", "enumerate", "zip", "tuple")))
        return suggestion(name, known)

    def _captured(self, name: str, value: object) -> object:
        if isinstance(value, np.ndarray) or hasattr(type(value), "__dlpack__"):
            raise NotConstantError(
                f"`{name}`: expected a compile-time constant, got a captured array",
                hint=f"pass it to the kernel as an argument, and read it with pk.load({name}, ...)",
            )
        return value

    def changed_type(self, what: str, name: str, expected: str, got: str, node: ast.AST, hint: str) -> Undefined:
        """A variable that two paths disagree on: an error where it is used."""
        message = f"{what}: {name}: expected {expected}, got {got}"
        return Undefined(message, hint, self.frame.loc(node), TypeJoinError)
