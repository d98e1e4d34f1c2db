"""Target profiles: what the compiler knows of a device."""

from .profile import Schedule, Target, find, profiles, variant

__all__ = ["Schedule", "Target", "find", "profiles", "variant"]
