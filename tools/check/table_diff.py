"""Compares Parquet tables of two versions: byte for byte where their schema is the same, in every value where it is not.

The verdict on a pair of files is one of

    identical                                   every byte of the file
    data identical, metadata differs: KEYS      every byte before the footer, and the schema; KEYS are of `PROVENANCE`
    equal in every value; CHANGES               the schema differs by CHANGES: known renames, added columns, nullability, order

or the reason of a failure. Floats are compared by their bits; a NaN equals every NaN.
"""

import dataclasses
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from json_diff import shown
from known_changes import PROVENANCE, RENAMED_COLUMNS

MAGIC = b"PAR1"


@dataclasses.dataclass
class Verdict:
    """What became of one comparison."""

    name: str
    passed: bool
    text: str

    def line(self):
        return f"{'ok    ' if self.passed else 'FAILED'} {self.name}: {self.text}"


class Different(Exception):
    """Two tables differ in what must be equal; says how."""


def compare_folders(old, new, label=""):
    """Verdicts on every table below two folders, hidden ones included."""
    here, there = (
        {path.relative_to(folder).as_posix() for path in pathlib.Path(folder).rglob("*.parquet")} for folder in (old, new)
    )
    if not here:
        return [Verdict(f"{label}tables", False, f"there is no table below {old}")]
    verdicts = []
    for name in sorted(here | there):
        if name not in there:
            verdicts.append(Verdict(label + name, False, "the table is gone"))
        elif name not in here:
            verdicts.append(Verdict(label + name, True, "added table"))
        else:
            verdicts.append(compare_tables(pathlib.Path(old) / name, pathlib.Path(new) / name, label + name))
    return verdicts


def compare_tables(old, new, name):
    """The verdict on two files of one table."""
    try:
        return Verdict(name, True, agreement(pathlib.Path(old), pathlib.Path(new)))
    except Different as difference:
        return Verdict(name, False, str(difference))
    except (OSError, ValueError, pa.ArrowException) as error:  # a damaged file is a failure, not the end of the comparison
        return Verdict(name, False, f"cannot be read: {shown(str(error), 160)}")


def agreement(old, new):
    """In what way two files agree; raises `Different` if they do not."""
    bytes_of_old, bytes_of_new = old.read_bytes(), new.read_bytes()
    if bytes_of_old == bytes_of_new:
        return "identical"
    before, after = pq.ParquetFile(old), pq.ParquetFile(new)
    changes = schema_changes(before.schema_arrow, after.schema_arrow, RENAMED_COLUMNS.get(old.name, {}))
    keys = metadata_changes(before.metadata, after.metadata)
    compare_values(before.read(), after.read(), RENAMED_COLUMNS.get(old.name, {}))
    if changes:
        return f"equal in every value; {', '.join(changes)}" + (f"; metadata differs: {', '.join(keys)}" if keys else "")
    if before_footer(bytes_of_old) != before_footer(bytes_of_new):
        raise Different("schema and values are equal, but the bytes of the data are not")
    return f"data identical, metadata differs: {', '.join(keys) or 'encoding of the footer'}"


def before_footer(content):
    """The bytes of a Parquet file up to its footer: all pages and their indexes."""
    if content[:4] != MAGIC or content[-4:] != MAGIC:
        raise Different("no Parquet file")
    length = int.from_bytes(content[-8:-4], "little")
    return content[: len(content) - 8 - length]


def schema_changes(old, new, renamed):
    """How the newer schema differs; raises `Different` where a column is gone or has another type."""
    changes, expected = [], []
    for field in old:
        name = renamed.get(field.name, field.name) if field.name not in new.names else field.name
        if name not in new.names:
            raise Different(f"column `{field.name}` is gone")
        other = new.field(name)
        if other.type != field.type:
            raise Different(f"column `{name}` was {field.type} and is {other.type}")
        if name != field.name:
            changes.append(f"{field.name} → {name}")
        if other.nullable != field.nullable:
            changes.append(f"{name} is {'' if other.nullable else 'not '}nullable")
        expected.append(name)
    added = [name for name in new.names if name not in expected]
    if [name for name in new.names if name in expected] != expected:
        changes.append("columns in another order")
    return changes + [f"added {name}" for name in added]


def metadata_changes(old, new):
    """Keys of the footer whose values differ; raises `Different` if one is gone, or is not provenance and differs."""
    before, after = texts_of(old), texts_of(new)
    gone = [key for key in before if key not in after]
    if gone:
        raise Different(f"the footer lacks {', '.join(gone)}")
    changed = [key for key in after if before.get(key) != after[key]]
    for key in changed:
        if key in before and key not in PROVENANCE:
            raise Different(f"{key} in the footer was {shown(before[key])} and is {shown(after[key])}")
    return sorted(changed)


def texts_of(metadata):
    pairs = {key.decode(): value.decode(errors="replace") for key, value in (metadata.metadata or {}).items()}
    return pairs | {"created_by": metadata.created_by}


def compare_values(old, new, renamed):
    """Raises `Different` unless every column of the older table has the same values in the newer one, row by row."""
    if old.num_rows != new.num_rows:
        raise Different(f"{old.num_rows} rows became {new.num_rows}")
    for name in old.column_names:
        own = name if name in new.column_names else renamed.get(name, name)
        one, other = whole(old.column(name)), whole(new.column(own))
        rows = np.flatnonzero(unequal(one, other))
        if len(rows):
            row = int(rows[0])
            values = two_values(one[row].as_py(), other[row].as_py())
            raise Different(f"column `{own}` differs in {len(rows)} of {len(one)} rows, first in row {row}: {values}")


def two_values(old, new):
    """Two values that differ, in words; of lists as long as each other the first elements that do."""
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        at = next((at for at, pair in enumerate(zip(old, new)) if repr(pair[0]) != repr(pair[1])), None)
        if at is not None:
            return f"element {at}: {two_values(old[at], new[at])}"
    return f"{shown(old)} and {shown(new)}"


def whole(column):
    """A column as one array."""
    if isinstance(column, pa.Array):
        return column
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def unequal(old, new):
    """The rows in which two arrays of one type differ, as a mask."""
    here, there = mask(old.is_valid()), mask(new.is_valid())
    wrong = here != there
    both = np.flatnonzero(here & there)
    if len(both) < len(old):
        old, new = old.take(pa.array(both)), new.take(pa.array(both))
    wrong[both] = unequal_values(old, new)
    return wrong


def unequal_values(old, new):
    """The same for arrays without nulls of their own; elements of lists and fields of structs may have some."""
    kind = old.type
    if pa.types.is_dictionary(kind):
        return unequal(old.dictionary_decode(), new.dictionary_decode())
    if pa.types.is_floating(kind):
        return unequal_floats(old.to_numpy(zero_copy_only=False), new.to_numpy(zero_copy_only=False))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return unequal_lists(old, new)
    if pa.types.is_struct(kind):
        masks = [unequal(one, other) for one, other in zip(old.flatten(), new.flatten())]
        return np.logical_or.reduce(masks) if masks else np.zeros(len(old), dtype=bool)
    return mask(pc.not_equal(old, new))


def unequal_floats(old, new):
    bits = f"u{old.dtype.itemsize}"
    return (old.view(bits) != new.view(bits)) & ~(np.isnan(old) & np.isnan(new))


def unequal_lists(old, new):
    lengths, others = lengths_of(old), lengths_of(new)
    wrong = lengths != others
    same = np.flatnonzero(~wrong)
    if len(same) < len(old):
        old, new, lengths = old.take(pa.array(same)), new.take(pa.array(same)), lengths[same]
    row_of_element = np.repeat(same, lengths)
    wrong[row_of_element[unequal(old.flatten(), new.flatten())]] = True
    return wrong


def lengths_of(lists):
    if pa.types.is_fixed_size_list(lists.type):
        return np.full(len(lists), lists.type.list_size)
    return pc.list_value_length(lists).to_numpy(zero_copy_only=False)


def mask(booleans):
    return booleans.to_numpy(zero_copy_only=False).astype(bool)
