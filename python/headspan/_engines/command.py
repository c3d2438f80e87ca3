"""What ``headspan submit ray`` calls: :func:`headspan.submit` with the flags of the command line, and the table of ``run-all``."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys

from headspan import _native
from headspan._engines import submit
from headspan._engines._work import Call
from headspan._errors import HeadspanError, InputError

#: Variable that holds the call. It is removed before anything is started that would inherit it.
CALL = "HEADSPAN_SUBMIT"

_SUBMITS = ("tasks", "task_minutes", "task_gigabytes", "num_cpus", "num_gpus", "retries", "address", "in_flight")


def main() -> int:
    """Runs the call, and returns the exit code of the program."""
    given = json.loads(os.environ.pop(CALL))
    arguments, quiet = given["arguments"], given["quiet"]
    models = arguments.pop("models")
    logging.basicConfig(level=logging.WARNING if quiet else logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        submit(models, progress=not quiet, **arguments)
        of_runs = {name: value for name, value in arguments.items() if name not in _SUBMITS}
        call = Call.of(models, of_runs)
    except HeadspanError as error:
        hint = "" if error.hint is None else f"\n  hint: {error.hint}"
        print(f"ERROR {error.message}{hint}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    # All stages are up to date, so that this only prints.
    json_flag = ["--json"] if given["json"] else []
    return _native.main(["headspan", "--quiet", "run-all", *json_flag, *call.models, *call.flags()])


if __name__ == "__main__":
    sys.exit(main())
