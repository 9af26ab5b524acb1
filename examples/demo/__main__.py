"""``python -m demo`` shows the product at work; ``--help`` says how."""

from __future__ import annotations

import sys

INTERRUPTED = 130


def main() -> int:
    """Run the demonstration; every way out of it stops the programs."""
    try:
        # Imported here, because Ctrl-C may come while the many packages behind it are loaded.
        from demo.demonstration import main as demonstrate  # noqa: PLC0415 see above

        return demonstrate()
    except ModuleNotFoundError as error:
        print(f"{error.name} is not installed here: run `make demo`, which installs everything", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: nothing is left running", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
