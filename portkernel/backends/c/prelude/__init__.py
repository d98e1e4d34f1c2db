"""The functions of our own that emitted text calls: each text carries exactly those that it uses."""

from .render import Prelude

__all__ = ["Prelude"]
