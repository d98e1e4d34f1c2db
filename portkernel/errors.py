"""One class per mistake. ``docs/errors.md`` shows each with its cause and its cure.

A message reads ``<function>(): <argument>: expected <x>, got <y>``; the location, an excerpt with carets
and a hint follow. What the user did wrong is never an :class:`InternalError`, nor the other way round.
"""

from __future__ import annotations

from .loc import UNKNOWN, Loc


class PortkernelError(Exception):
    """Base of every error that portkernel raises on purpose."""

    def __init__(self, message: str, *, loc: Loc = UNKNOWN, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.loc = loc
        self.hint = hint

    def __str__(self) -> str:
        parts = [self.message]
        if self.loc.is_known:
            parts.append(self.loc.excerpt())
        if self.hint:
            parts.append(f"hint: {self.hint}")
        return "\n".join(parts)

    def at(self, loc: Loc) -> PortkernelError:
        """Give the error a place, unless it has one already."""
        if not self.loc.is_known:
            self.loc = loc
        return self


# --- mistakes in a kernel's text, found while it is lowered -------------------------------------------------


class KernelError(PortkernelError):
    """A mistake in the text of a kernel."""


class UnsupportedSyntaxError(KernelError):
    """Python that the kernel language does not have."""


class UnknownNameError(KernelError):
    """A name that is neither a local, a closure variable, a global nor a builtin of the language."""


class UndefinedVariableError(KernelError):
    """A variable that is defined on some of the paths that reach its use, not on all."""


class ShapeError(KernelError):
    """A wrong rank or shape."""


class DTypeError(KernelError):
    """A wrong dtype, or dtypes that do not combine."""


class TypeJoinError(KernelError):
    """The type of a variable depends on the path taken, or changes in a loop."""


class NotConstantError(KernelError):
    """A run-time value where a compile-time constant is needed."""


class CallError(KernelError):
    """A call inside a kernel with wrong, missing or surplus arguments, or of something not callable there."""


class KernelRecursionError(KernelError):
    """A function that calls itself cannot be inlined."""


class StaticAssertionError(KernelError):
    """A ``pk.static_assert`` whose condition is false."""


class SourceUnavailableError(KernelError):
    """The text of the kernel cannot be found."""


# --- mistakes in a launch -----------------------------------------------------------------------------------


class LaunchError(PortkernelError):
    """A mistake in the arguments, the grid or the options of a launch."""


class ArgumentError(LaunchError):
    """A missing, unknown or doubled argument."""


class ArgumentTypeError(LaunchError):
    """An argument that is neither an array nor a scalar, or of another kind than it must be."""


class ArgumentDTypeError(LaunchError):
    """An array of a dtype that kernels do not take: object, structured, string, complex, big-endian."""


class ArgumentShapeError(LaunchError):
    """An array whose rank or shape the kernel does not take."""


class DeviceMismatchError(LaunchError):
    """Arrays that live on different devices, or a device that was not found under that name."""


class OverlapError(LaunchError):
    """An output that shares memory with another argument."""


class ReadOnlyError(LaunchError):
    """An output that may not be written."""


class GridError(LaunchError):
    """An empty, negative or too large grid."""


class CaptureError(LaunchError):
    """A function that does more than launch kernels, so that its launches alone would not repeat it."""


# --- what a target cannot do --------------------------------------------------------------------------------


class TargetError(PortkernelError):
    """The kernel asks for something that the target does not have."""


class UnsupportedDTypeError(TargetError):
    """A dtype that the target lacks and that cannot be emulated there."""


class UnsupportedOpError(TargetError):
    """An operation that the backend cannot express on this target."""


class ResourceError(TargetError):
    """A tile that does not fit local memory, or a group with too many threads."""


class UnknownTargetError(TargetError):
    """No target profile of that name."""


class ProfileError(TargetError):
    """A target profile that cannot be read: an unknown key, a value of the wrong kind."""


class UnknownBackendError(TargetError):
    """No backend of that name."""


class UnknownOperatorError(PortkernelError, LookupError):
    """No operator of that name in ``portkernel.ops``."""


class UncoveredOperatorError(PortkernelError):
    """A model has a node that portkernel has no operator for, and no fallback was allowed."""


# --- what a machine lacks, what a compiler says -------------------------------------------------------------


class MissingDependencyError(PortkernelError):
    """A package that is not installed. The hint names the extra."""


class NoDeviceError(PortkernelError):
    """The package is there, but no device."""


class ForkError(NoDeviceError):
    """A child process made by fork, whose parent had opened devices: their driver's threads did not come along."""


class CompilerError(PortkernelError):
    """A device compiler refused the emitted text; ``log`` is what it said, ``source`` what it was given."""

    def __init__(self, message: str, *, loc: Loc = UNKNOWN, hint: str = "", log: str = "", source: str = "") -> None:
        super().__init__(message, loc=loc, hint=hint)
        self.log = log
        self.source = source


class CompilerCrashError(CompilerError):
    """A device compiler killed or hung the process that it ran in. The user's process lives on."""


class DeviceAssertionError(PortkernelError):
    """A ``pk.device_assert`` whose condition was false on the device."""


class SettingError(PortkernelError):
    """An environment variable, or a setting, with a value that it does not take."""


class StageError(PortkernelError):
    """A file in the folder of overrides that cannot take the place of its stage."""


class GradientError(PortkernelError):
    """A gradient was asked for of an operator that has none, such as a gradient itself."""


class FallbackError(PortkernelError):
    """Under ``strict``: the call would have taken another route than the one asked for."""


class InternalError(PortkernelError):
    """A defect of portkernel itself. Please report it with the text of the message."""
