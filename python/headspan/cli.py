"""The console script ``headspan``: the whole command line, as the program itself has it."""

from __future__ import annotations

import signal
import sys

from headspan._native import main as native_main


def main() -> None:
    """Runs the command line with the arguments of the process, and ends the process with its exit code."""
    # Python's own handler would note Ctrl-C and wait for the command to end. The program is ended by it at once, and loses nothing.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(native_main(["headspan", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
