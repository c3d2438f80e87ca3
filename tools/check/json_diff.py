"""Compares two JSON values of two versions: what the older one has must be in the newer one, with equal values."""

from known_changes import RENAMED_KEYS


class JsonDifference:
    """What differs (`wrong`) and what only the newer value has (`added`), each as a path such as `runs[0].stages`."""

    def __init__(self, old, new, volatile=frozenset(), renamed=RENAMED_KEYS):
        self.wrong, self.added = [], []
        self.volatile, self.renamed = volatile, renamed
        self._walk(old, new, "")

    def _walk(self, old, new, place):
        if isinstance(old, dict) and isinstance(new, dict):
            self._objects(old, new, place)
        elif place.endswith(".required") and isinstance(old, list) and isinstance(new, list):
            # Keys that an object of a JSON schema always has: a new one is an addition.
            self.wrong += [f"{place} has no {key!r} any more" for key in old if key not in new]
        elif isinstance(old, list) and isinstance(new, list):
            if len(old) != len(new):
                self.wrong.append(f"{place or 'the list'} has {len(old)} and {len(new)} entries")
            for number, pair in enumerate(zip(old, new)):
                self._walk(*pair, f"{place}[{number}]")
        elif type(old) is not type(new) or old != new:
            self.wrong.append(f"{place or 'the value'} is {shown(old)} and {shown(new)}")

    def _objects(self, old, new, place):
        known = set()
        for key, value in old.items():
            own = key if key in new else self.renamed.get(key, key)
            known.add(own)
            inner = f"{place}.{own}" if place else own
            if key in self.volatile:
                continue
            if own not in new:
                self.wrong.append(f"{inner} is gone")
            else:
                self._walk(value, new[own], inner)
        self.added += [f"{place}.{key}" if place else key for key in new if key not in known]


def shown(value, most=60):
    """A value on one line, cut."""
    text = repr(value).replace("\n", " ")
    return text if len(text) <= most else text[:most] + "…"
