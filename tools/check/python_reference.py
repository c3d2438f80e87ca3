"""Writes the reference of the Python package into docs/python.md, from signatures and docstrings.

    python tools/check/python_reference.py docs/python.md            # writes it
    python tools/check/python_reference.py --check docs/python.md    # fails if it is out of date

It runs in an environment that has headspan, and needs the standard library alone.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import pathlib
import re
import sys
import textwrap
from types import FunctionType

import headspan

BEGIN = "<!-- reference: written by tools/check/python_reference.py -->"
END = "<!-- end of the reference -->"

# Every public name has a place here; a name without one is an error.
SECTIONS = {
    "Running the pipeline": ["run_all", "submit", "plan", "status", "fetch", "models", "inspect", "command"],
    "Runs and heads": ["open", "Run", "Head"],
    "Answers": ["Frame", "Neighbours", "Carried", "Extremes", "Alike", "Segmentation", "Why"],
    "Comparing": ["compare", "Comparison", "diff", "Difference", "report", "Report"],
    "Measuring": [
        "zeroshot",
        "Zeroshot",
        "ablate",
        "Ablations",
        "prune",
        "Pruned",
        "repair",
        "Repaired",
        "replicate",
        "Replication",
        "weights",
        "HeadWeights",
        "stability",
        "Stability",
        "agreement",
        "Agreement",
    ],
    "Towers without texts": ["align", "Alignment"],
    "The explorer": ["Explorer"],
    "From PyTorch": ["from_open_clip", "from_transformers", "from_timm", "run_module", "Checkpoint"],
    "Errors": [
        "HeadspanError",
        "InputError",
        "NotFoundError",
        "TorchInputError",
        "UnsupportedModel",
        "ModelMismatch",
        "PreprocessMismatch",
        "TokenizerMismatch",
        "FolderInUse",
    ],
}
LEFT_OUT = {"__version__"}


def main() -> None:
    check, path = "--check" in sys.argv, pathlib.Path(sys.argv[-1])
    placed = {name for names in SECTIONS.values() for name in names}
    if placed | LEFT_OUT != set(headspan.__all__):
        sys.exit(f"names without a section, or gone: {sorted((placed | LEFT_OUT) ^ set(headspan.__all__))}")
    page = path.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    if not rest:
        sys.exit(f"{path} has no line {BEGIN}")
    after = rest.partition(END)[2]
    written = f"{before}{BEGIN}\n\n{reference()}\n{END}{after}"
    if not check:
        path.write_text(written, encoding="utf-8")
    elif written != page:
        sys.exit(f"the reference in {path} is out of date: run python tools/check/python_reference.py {path}")


def reference() -> str:
    parts = []
    for title, names in SECTIONS.items():
        parts.append(f"### {title}\n")
        parts += [entry(name, getattr(headspan, name)) for name in names]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts))


def entry(name: str, value: object) -> str:
    if isinstance(value, FunctionType):
        return f"#### `headspan.{name}`\n\n{code(signature(name, value))}\n{prose(value)}\n"
    assert isinstance(value, type), name
    bases = [base for base in value.__bases__ if base is not object and not base.__name__.startswith("_")]
    kind = f"class {name}({', '.join(base.__name__ for base in bases)})" if bases else f"class {name}"
    lines = [f"#### `headspan.{name}`\n\n{code(kind)}\n{prose(value)}\n"]
    lines += [f"- `{field}`: {about}" for field, about in attributes(value)]
    lines += [method(member, found) for member, found in members(value)]
    return "\n".join(lines) + "\n"


def method(name: str, value: object) -> str:
    if isinstance(value, property):
        return f"- `{name}`: {inline(value)}"
    about, *arguments = re.split(r"\n(?=- )", prose(value).strip())
    nested = "".join(f"\n  {argument}" for argument in arguments)
    return f"- `{signature(name, value, bound=True)}`: {one_line(about)}{nested}"


def members(value: type) -> list[tuple[str, object]]:
    """Public methods and properties, those of private base classes included, in the order of the source."""
    found: dict[str, object] = {}
    for base in reversed(value.__mro__):
        own = base is value or base.__name__.startswith("_") and base.__module__.startswith("headspan")
        for name, member in vars(base).items() if own else ():
            public = not name.startswith("_") or name in ("__getitem__", "__iter__", "__len__")
            if public and (isinstance(member, (property, FunctionType)) and inspect.getdoc(member)):
                found[name] = member
    return sorted(found.items(), key=lambda pair: isinstance(pair[1], FunctionType))


def attributes(value: type) -> list[tuple[str, str]]:
    """Attributes that a comment `#:` describes, in a class body or in `__init__`, and fields of dataclasses."""
    described: dict[str, str] = {}
    names = {field.name for field in dataclasses.fields(value)} if dataclasses.is_dataclass(value) else set()
    source = textwrap.dedent(inspect.getsource(value))
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        targets = (
            node.targets
            if isinstance(node, ast.Assign)
            else [node.target]
            if isinstance(node, ast.AnnAssign)
            else []
        )
        for target in targets:
            name = getattr(target, "id", None) or getattr(target, "attr", None)
            about = comment(lines, node.lineno - 1)
            if name and not name.startswith("_") and (about or name in names):
                described.setdefault(name, about or "")
    return [(name, about or name.replace("_", " ")) for name, about in described.items()]


def comment(lines: list[str], place: int) -> str:
    """The comment `#:` above a line."""
    found = []
    while place > 0 and lines[place - 1].strip().startswith("#:"):
        place -= 1
        found.insert(0, lines[place].strip().removeprefix("#:").strip())
    return markdown(" ".join(found))


class Written(str):
    """An annotation as it is written, without the quotes of a text."""

    def __repr__(self) -> str:
        return str(self)


def signature(name: str, value: object, *, bound: bool = False) -> str:
    assert callable(value)
    found = inspect.signature(value)
    parameters = [
        parameter.replace(annotation=Written(parameter.annotation))
        if isinstance(parameter.annotation, str)
        else parameter
        for parameter in list(found.parameters.values())[1 if bound else 0 :]
    ]
    shown = str(found.replace(parameters=parameters, return_annotation=Written(found.return_annotation)))
    special = {
        "__getitem__": "run[name] -> Head",
        "__iter__": "iter(run) -> Iterator[Head]",
        "__len__": "len(…) -> int",
    }
    return special.get(name, f"{name}{shown}").replace("'", '"')


def code(line: str) -> str:
    """A signature as a block, an argument a line where it is long."""
    if len(line) > 100 and "(" in line:
        name, _, rest = line.partition("(")
        inner, _, result = rest.rpartition(")")
        arguments = "\n".join(f"    {argument}," for argument in split(inner))
        line = f"{name}(\n{arguments}\n){result}"
    return f"```python\n{line}\n```\n"


def split(arguments: str) -> list[str]:
    """Arguments between commas that stand outside brackets."""
    found, depth = [""], 0
    for letter in arguments:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            found.append("")
        else:
            found[-1] += letter
    return [argument.strip() for argument in found]


def prose(value: object) -> str:
    """A docstring in Markdown: `:param x:` and sections such as `Args:` become lists."""
    text = markdown(inspect.getdoc(value) or "")
    lines: list[str] = []
    section, indent = False, ""
    for line in text.splitlines():
        field = re.match(r":(param \w+|return|returns):\s*(.*)", line)
        google = re.match(r"(Args|Returns|Raises):$", line)
        item = re.match(r"    (\w+): (.*)", line) if section else None
        if field:
            section = True
            name = field[1].removeprefix("param ")
            lines += [f"- `{name}`: {field[2]}" if field[1].startswith("param") else f"- returns: {field[2]}"]
        elif google:
            section = True
            indent = "" if google[1] == "Args" else "  "
            lines += [f"- {google[1].lower()}:"] if indent else []
        elif item:
            lines.append(f"{indent}- `{item[1]}`: {item[2]}")
        elif section and line.strip():
            lines[-1] = f"{lines[-1]} {line.strip()}"
        elif line or not section:
            lines.append(line)
    return "\n".join(lines).strip() + "\n"


def markdown(text: str) -> str:
    """Names of reStructuredText as those of Markdown."""
    return re.sub(r":(?:func|meth|class):`([^`]*)`", r"`\1`", text).replace("``", "`")


def inline(value: object) -> str:
    """A docstring as one paragraph."""
    return one_line(prose(value))


def one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


if __name__ == "__main__":
    main()
