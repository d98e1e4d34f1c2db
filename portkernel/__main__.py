"""``python -m portkernel``, and the command ``portkernel``."""

from __future__ import annotations

import sys

NEEDS = ("click", "rich")


def main() -> int:
    """Run the command line. Without the packages it needs, say what to install and return 2."""
    try:
        from .cli import portkernel
    except ModuleNotFoundError as error:
        if error.name not in NEEDS:
            raise
        hint = 'pip install "portkernel[report]"'
        print(f"portkernel: the command line needs {' and '.join(NEEDS)}: {hint}", file=sys.stderr)
        return 2
    portkernel(prog_name="portkernel")
    return 0


if __name__ == "__main__":
    sys.exit(main())
