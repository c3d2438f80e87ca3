#!/usr/bin/env python3
"""Unpacks the wheels of a folder that this Python lacks and can load. Neither pip nor a network is needed.

    python3 tools/gpu/wheels.py WHEELS OUT
"""

import importlib.util
import pathlib
import sys
import zipfile

MODULES = {"open_clip_torch": "open_clip"}


def fits(tags):
    """Whether a wheel's tags, such as `cp310-abi3`, are this Python's."""
    python, abi = tags
    own = sys.version_info[:2]
    for tag in python.split("."):
        digits = tag[2:]
        version = (int(digits[:1]), int(digits[1:] or 0))
        if tag.startswith("py") and version[0] == own[0] or abi == "none" and version == own:
            return True
        if tag.startswith("cp") and (version == own and abi == tag or version <= own and abi == "abi3"):
            return True
    return False


def main():
    wheels, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    for wheel in sorted(wheels.glob("*.whl")):
        name, _version, *tags = wheel.stem.split("-")
        if fits(tags[-3:-1]) and importlib.util.find_spec(MODULES.get(name, name)) is None:
            with zipfile.ZipFile(wheel) as files:
                files.extractall(out)
            print(f"unpacked {wheel.name}", file=sys.stderr)


if __name__ == "__main__":
    main()
