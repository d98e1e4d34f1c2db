"""Target profiles: what is known of a device, and what the compiler makes of it."""

from .profile import chip, find, names, profiles, record, records
from .target import Schedule, Target, variant

__all__ = ["Schedule", "Target", "chip", "find", "names", "profiles", "record", "records", "variant"]
