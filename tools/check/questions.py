"""What `contract.py` asks of both binaries over the demo's runs: commands with their answers and files, pages of the explorer, and wrong usage."""

MODEL, DATASET = "scenes-4", "scenes"
RUN = ["--dataset", DATASET, "--device", "cpu"]
# What the demo renders for itself, below its folder of runs.
ATTRIBUTES = "runs/.built-in/scenes/scenes.parquet"


def query(question, *words):
    return ["query", question, MODEL, *RUN, *words]


# Answers in JSON. Neighbours are by cosine unless `--dot` is given, and maps of one text have a mean subtracted: the questions are those that
# both versions understand alike.
JSON = [
    ["status", "--json"],
    ["models", "--json"],
    query("neighbours", "--heads", "L3.H5", "--image", "#12", "--cosine", "--json"),
    query("neighbours", "--heads", "L3.H5", "--text", "a red boat", "--cosine", "--json"),
    query("neighbours", "--heads", "colors", "--image", "#12", "--cosine", "--farthest", "--count", "5", "--json"),
    query("neighbours", "--heads", "all", "--image", "#3", "--class", "boat", "--class", "car", "--cosine", "--json"),
    query("segment", "--image", "#12", "--heads", "L3", "--text", "a boat", "--text", "the sea", "--json"),
    query("extremes", "--head", "L3.H5", "--json"),
    query("extremes", "--head", "L3.H5", "--pick", "0", "--json"),
    query("extremes", "--head", "L2.H1", "--pick", "4", "--count", "2", "--json"),
    query("extremes", "--head", "L3.H5", "--text", "a red boat", "--json"),
    query("why", "--image", "#12", "--neighbour", "#7", "--heads", "L3", "--json"),
]

# Answers in words: identical, or the same figures in other words.
TEXT = [
    ["status", "--dataset", "nothing"],
    ["compare", "--dataset", DATASET],
    ["truth", MODEL, *RUN, "--attributes", ATTRIBUTES, "--permutations", "50"],
    ["label", MODEL, *RUN, "--labeller", "openai", "--dry-run"],
    ["metrics", MODEL, *RUN],
    query("neighbours", "--heads", "all", "--text", "a red boat", "--cosine"),
    query("segment", "--image", "#12", "--text", "a boat", "--text", "the sea"),
    query("extremes", "--head", "L3.H5", "--pick", "1"),
    query("why", "--image", "#12", "--neighbour", "#7", "--heads", "L3.H5"),
]

# Commands and the files that they write.
FILES = [
    (["export", "--model", MODEL, *RUN, "--layer", "3", "--head", "5", "--out", "one.parquet"], ["one.parquet"]),
    (["export", "--model", MODEL, *RUN, "--layer", "3", "--head", "5", "--out", "one.npy"], ["one.npy"]),
    (
        ["export", "--model", MODEL, *RUN, "--layer", "2", "--head", "0", "--layer", "3", "--head", "1", "--out", "two.parquet"],
        ["two.parquet"],
    ),
    (
        query("neighbours", "--heads", "L3.H5", "--image", "#12", "--cosine", "--parquet", "near.parquet", "--picture", "near.png"),
        ["near.parquet", "near.png"],
    ),
    (
        query("segment", "--image", "#12", "--text", "a boat", "--text", "the sea", "--parquet", "maps.parquet", "--picture", "map.png"),
        ["maps.parquet", "map-1.png", "map-2.png"],
    ),
    (query("extremes", "--head", "L3.H5", "--pick", "1", "--parquet", "ends.parquet"), ["ends.parquet"]),
    (["scenes", "--out", "few", "--scenes", "20", "--seed", "3", "--format", "parquet"], ["few/scenes.parquet", "few/descriptions.csv"]),
]

# Pages of the explorer as JSON. A head's page has the heads that are most like it.
PAGES = [
    "/index.json",
    "/compare.json?heads=L3.H5&text=a+red+boat&similarity=cosine",
    "/r/scenes/scenes-4/head/L3.H5.json",
    "/r/scenes/scenes-4/head/L3.H5.json?direction=2",
    "/r/scenes/scenes-6/head/L5.H0.json",
    "/r/scenes/scenes-4/neighbours.json?heads=colors&image=12&count=8&similarity=cosine",
    "/r/scenes/scenes-4/neighbours.json?heads=all&text=a+red+boat&similarity=cosine",
    "/r/scenes/scenes-4/segment.json?image=12&text=a+boat&text=the+sea&baseline=none",
    "/r/scenes/scenes-4/why.json?image=12&neighbour=7&heads=L3",
    "/r/scenes/scenes-4/images.json",
    "/r/scenes/scenes-4/head/L9.H5.json",
    "/r/scenes/nobody/images.json",
    "/nowhere.json",
]

# Wrong usage, and questions without an answer: the exit code is what counts.
REFUSED = [
    [],
    ["no-such-command"],
    ["run-all", "--no-such-flag"],
    ["run-all", "RN50", "--images", "images"],
    ["run-all", "--images", "images"],
    ["run-all", "--checkpoint", "nowhere", "--images", "nowhere"],
    ["extract", MODEL, "--shard", "3/2"],
    ["extract", MODEL, "--shard", "0/2", "--merge"],
    ["textspan", "--dataset", "nothing"],
    ["label", MODEL, *RUN, "--labeller", "import"],
    ["metrics", "--labels", "nowhere.csv"],
    ["compare", "--dataset", "nothing"],
    ["config", "--config", "nowhere.toml"],
    ["fetch"],
    ["fetch", "no-such-model"],
    ["explore", "--dataset", "nothing"],
    ["explore", "--dataset", DATASET, "--save", "saved"],
    ["export", "--model", MODEL, *RUN, "--layer", "3", "--head", "5"],
    ["export", "--model", MODEL, *RUN, "--layer", "3", "--head", "5", "--out", "one.csv"],
    ["export", "--model", MODEL, *RUN, "--layer", "3", "--layer", "2", "--head", "5", "--out", "one.npy"],
    ["export", "--model", MODEL, *RUN, "--layer", "9", "--head", "5", "--out", "one.npy"],
    ["query", "neighbours", "nobody", *RUN, "--heads", "all", "--image", "#0"],
    query("neighbours", "--heads", "all"),
    query("neighbours", "--heads", "tastes", "--image", "#0"),
    query("neighbours", "--heads", "L9.H0", "--image", "#0"),
    query("neighbours", "--heads", "all", "--image", "no such image"),
    query("neighbours", "--heads", "all", "--image", "#0", "--file", "a.png"),
    query("neighbours", "--heads", "all", "--image", "#0", "--count", "0"),
    query("neighbours", "--heads", "all", "--image", "#0", "--picture", "near.jpg"),
    query("segment", "--image", "#0"),
    query("segment", "--image", "#0", "--text", "a boat", "--opacity", "2"),
    query("extremes", "--head", "L3"),
    query("extremes", "--head", "L3.H5", "--pick", "999"),
    query("extremes", "--head", "L3.H5", "--pick", "0", "--text", "a boat"),
    query("extremes", "--head", "L3.H5", "--rank", "3"),
    query("why", "--image", "#0", "--neighbour", "#99999", "--heads", "all"),
    ["scenes", "--out", "few", "--sheet", "sheet.png"],
    ["train"],
    ["evaluate"],
    ["evaluate", "nowhere"],
    ["evaluate", "nowhere", "--scenes", "150"],
    ["evaluate", "segmentation", "nowhere", "--images", "images"],
    ["truth", MODEL, *RUN],
    ["truth", MODEL, *RUN, "--attributes", "nowhere.parquet"],
]

# Commands that have a `--help`.
HELP = [
    [], ["run-all"], ["extract"], ["textspan"], ["label"], ["metrics"], ["status"], ["plan"], ["compare"], ["fetch"], ["models"], ["explore"],
    ["query"], ["query", "neighbours"], ["query", "segment"], ["query", "extremes"], ["query", "why"], ["export"], ["scenes"], ["train"],
    ["evaluate"], ["evaluate", "segmentation"], ["truth"], ["doctor"], ["config"],
]
