"""What may differ between two versions of headspan whose tables are compared, in one place.

Everything else must be equal. A column, key or flag that only the newer version has is listed and passes.
"""

# Columns under another name in the newer version, by the table's file name.
RENAMED_COLUMNS = {"textspan.parquet": {"rank": "pick"}}

# The same for keys of JSON answers and records.
RENAMED_KEYS = {"rank": "pick"}

# Keys of a table's footer that tell of the program and its settings, not of the data.
PROVENANCE = {"headspan.schema_version", "headspan.version", "headspan.fingerprint", "ARROW:schema", "created_by"}

# Keys of JSON that tell of the machine, of time and of provenance. `bytes` is here because tables may gain columns.
VOLATILE_KEYS = {
    "seconds", "finished_at", "fingerprint", "version", "headspan", "path", "bytes", "images_per_second", "busy_share", "pace",
}

# Of a stage's record also what a version may write down differently: settings, where things lie, and the fingerprints of inputs.
VOLATILE_IN_RECORDS = VOLATILE_KEYS | {"config", "inputs", "data", "checkpoint"}

# Flags that a command listed and never read, by command.
UNREAD = {"--batch-size", "--strict", "--k", "--rank", "--labeller", "--layers", "--limit", "--texts", "--classes", "--images", "--device", "--checkpoint"}
GONE_FLAGS = {
    "extract": {"--k", "--rank", "--labeller"},
    "textspan": UNREAD - {"--k", "--rank", "--checkpoint"},
    "label": UNREAD - {"--labeller", "--checkpoint"},
    "metrics": UNREAD - {"--checkpoint"},
    "status": UNREAD - {"--k", "--rank", "--labeller", "--layers"},
    "compare": UNREAD,
    "export": UNREAD,
    "truth": UNREAD,
    "explore": UNREAD - {"--checkpoint", "--images", "--classes", "--device"},
    "query": UNREAD - {"--checkpoint", "--images", "--classes", "--device"},
}

# Prose in `/openapi.json`.
PROSE = {"description", "summary", "title"}
