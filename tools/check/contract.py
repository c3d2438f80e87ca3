"""Whether two binaries answer the commands of `questions.py` in the same way over the demo's runs: what they print, the files that
they write, their exit codes, and the flags that they know. What they say in words may differ, as may what `known_changes.py` names.
"""

import functools
import json
import re
import tomllib

import questions
from json_diff import JsonDifference, shown
from known_changes import GONE_FLAGS, PROSE, VOLATILE_KEYS
from table_diff import Verdict, compare_folders, compare_tables

OWN_LABELS = "model,layer,head,property\nscenes-4,3,0,colors\nscenes-4,3,1,Colours\nscenes-4,3,2,shapes\nscenes-4,3,3,\n"
# Durations, sizes and rates: the machine's, not the answer's.
MACHINE = [r"\b\d+(\.\d+)? (µs|ms|s|min|h)\b", r"\b\d+(\.\d+)? (B|kB|MB|GB)\b", r"\b\d+(\.\d+)? a second"]


def verdicts(old, new, model, labels=None):
    """All verdicts, one after another. `model` is a checkpoint folder of the demo's world, `labels` the published labels, if they are
    there."""
    asked_of_models = [
        ["evaluate", model, "--device", "cpu", "--scenes", "200", "--json"],
        ["evaluate", "segmentation", model, "--device", "cpu", "--limit", "60", "--json"],
    ]
    yield from (answers(old, new, words, same_json) for words in questions.JSON + asked_of_models)
    yield from (answers(old, new, words, MORE.get(words[0], same_figures)) for words in questions.TEXT)
    yield answers(old, new, ["config", "--dataset", "mine", "--k", "7"], same_toml)
    for words, files in questions.FILES:
        yield from written(old, new, words, files)
    yield from labelled(old, new, labels)
    yield from (refused(old, new, words) for words in questions.REFUSED)
    yield from (
        answers(old, new, [*words, "--help"], functools.partial(same_flags, unread=GONE_FLAGS.get(words[0] if words else "", set())))
        for words in questions.HELP
    )
    yield from pages(old, new)


def named(words):
    """A command as a line of the report, without what all questions about the demo's runs share."""
    line = " ".join(["contract: headspan", *(f"'{word}'" if " " in str(word) else str(word) for word in words)])
    return line.replace(" " + " ".join(questions.RUN), "")


def answers(old, new, words, same):
    """The verdict on a command that must work: exit code 0 on both sides, and outputs that `same` finds nothing wrong with."""
    one, other = old.run(words), new.run(words)
    if (one.code, other.code) != (0, 0):
        return Verdict(named(words), False, f"exit codes {one.code} and {other.code}, not 0: {shown(other.stderr or one.stderr, 120)}")
    if one.stdout == other.stdout:
        return Verdict(named(words), True, "identical")
    return judged(named(words), same, one.stdout, other.stdout)


def judged(name, same, old, new):
    """The verdict of one of the functions below; an output that is not of its format is a failure."""
    try:
        wrong, note = same(old, new)
    except ValueError as error:
        return Verdict(name, False, f"cannot be read: {error}: {shown(new)}")
    return Verdict(name, not wrong, "; ".join(wrong[:3]) or note)


def agreed(difference):
    """What is wrong, and what to say if nothing is."""
    return difference.wrong, "equal" + (f"; added {', '.join(difference.added)}" if difference.added else " but for what may differ")


def same_json(old, new, volatile=VOLATILE_KEYS):
    return agreed(JsonDifference(json.loads(old), json.loads(new), volatile))


def same_toml(old, new):
    # Settings are not answers: none has another name.
    return agreed(JsonDifference(tomllib.loads(old), tomllib.loads(new), renamed={}))


def same_figures(old, new, more=False):
    """Words may differ; words with a digit in them, such as figures, heads and file names, may not. With `more`, further ones may follow."""
    one, other = figures(old), figures(new)
    if one == other:
        return [], "the same figures in other words"
    if more and one and one == other[: len(one)]:
        return [], f"the same figures; added {' '.join(other[len(one) :])}"
    at = next((at for at, pair in enumerate(zip(one, other)) if pair[0] != pair[1]), min(len(one), len(other)))
    return [f"figures differ: {' '.join(one[at : at + 3]) or 'none'} and {' '.join(other[at : at + 3]) or 'none'}"], ""


# Commands that say more below the figures than they did: what they were made with, and what they are worth.
MORE = dict.fromkeys(["compare", "query"], functools.partial(same_figures, more=True))


def figures(text):
    for pattern in MACHINE:
        text = re.sub(pattern, "", text)
    words = [word.strip(",;:") for word in text.split()]
    return [word for word in words if any(letter.isdigit() for letter in word)]


def same_flags(old, new, unread=frozenset()):
    """What `--help` lists: flags and commands. None may be gone but those that the command never read."""
    one, other = listed(old), listed(new)
    gone = sorted(one - other - unread)
    added = sorted(other - one)
    return [f"gone: {', '.join(gone)}"] if gone else [], "the same flags" if not added else f"added: {', '.join(added)}"


def listed(text):
    flags = set(re.findall(r"^ +(?:-\w, )?(--[a-z][a-z-]*)", text, re.MULTILINE))
    commands = re.search(r"^Commands:\n((?:  .*\n)*)", text, re.MULTILINE)
    return flags | set(re.findall(r"^  ([a-z][a-z-]*)", commands.group(1) if commands else "", re.MULTILINE))


def written(old, new, words, files):
    """Verdicts on a command and on each file that it writes."""
    yield answers(old, new, words, same_figures)
    for name in files:
        one, other = old.folder / name, new.folder / name
        label = f"{named(words[:2])} … {name}"
        if not (one.is_file() and other.is_file()):
            yield Verdict(label, False, "the file was not written")
        elif name.endswith(".parquet"):
            yield compare_tables(one, other, label)
        else:
            same = one.read_bytes() == other.read_bytes()
            yield Verdict(label, same, "identical" if same else "the bytes differ")


def labelled(old, new, published):
    """Verdicts on the scores of label files alone, and on the tables that they leave."""
    for side in (old, new):
        (side.folder / "labels.csv").write_text(OWN_LABELS)
    files = ["labels.csv", *([published] if published else [])]
    for number, file in enumerate(files):
        where = ["--runs", "labelled", "--dataset", f"file-{number}"]
        yield answers(old, new, ["metrics", "--labels", file, *where], same_figures)
        yield answers(old, new, ["compare", *where], MORE["compare"])
    yield from compare_folders(old.folder / "labelled", new.folder / "labelled", "contract: labelled/")


def pages(old, new):
    """Verdicts on pages of the explorer, each as JSON."""
    with old.explorer(questions.DATASET) as ask_old, new.explorer(questions.DATASET) as ask_new:
        yield from (page(ask_old, ask_new, path, same_json) for path in questions.PAGES)
        yield page(ask_old, ask_new, "/openapi.json", functools.partial(same_json, volatile=VOLATILE_KEYS | PROSE))


def page(ask_old, ask_new, path, same):
    (code, old), (other_code, new) = ask_old(path), ask_new(path)
    name = f"contract: explorer {path}"
    if code != other_code:
        return Verdict(name, False, f"status {code} and {other_code}")
    if code != 200 or old == new:
        return Verdict(name, True, f"status {code}" + (", identical" if old == new else ""))
    return judged(name, same, old, new)


def refused(old, new, words):
    """The verdict on a command that must not work: the same exit code, which is not 0."""
    codes = old.run(words).code, new.run(words).code
    if 0 in codes or codes[0] != codes[1]:
        return Verdict(named(words), False, f"exit codes {codes[0]} and {codes[1]}")
    return Verdict(named(words), True, f"exit code {codes[0]}")
