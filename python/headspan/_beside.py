"""The command line in a process of its own, for as long as the process that started it is there.

The one that starts it holds the other end of its standard input. That end closes with the process, however it ends, also where
it is killed; so no explorer stays behind a notebook.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

# For how long questions that are being answered may take to end.
_PATIENCE_SECS = 5.0


def end_with_input() -> None:
    """Ends the process when its standard input closes."""
    while True:
        try:
            if not os.read(0, 4096):
                break
        except InterruptedError:
            continue
        except OSError:
            break
    # The explorer ends politely, but on Windows, where this ends it at once.
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_PATIENCE_SECS)
    os._exit(1)


def main() -> None:
    """Runs the command line with the arguments of the process."""
    from headspan._native import main as native_main

    threading.Thread(target=end_with_input, name="headspan-input", daemon=True).start()
    sys.exit(native_main(["headspan", *sys.argv[1:]]))
