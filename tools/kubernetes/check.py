"""Checks the manifests and the image recipe, without a cluster and without a container engine.

    pip install -r tools/kubernetes/requirements.txt
    python tools/kubernetes/check.py

- The manifests fit the schemas of Kubernetes, strictly: unknown fields are errors.
- They say the same as each other and as headspan: number of shards, exit codes, volumes, non-root users, and no secret in the text.
- hadolint accepts the recipe, and the recipe copies no more than it should and ends with a user who is not root.

It prints what is wrong, a line each, and ends with 1 if anything is.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml
from dockerfile_parse import DockerfileParser

ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = ROOT / "tools/kubernetes"
RECIPE = ROOT / "tools/oci/Containerfile"
# Where the program defines the exit code of a run that was asked to stop.
STOP = ROOT / "crates/headspan/src/stop.rs"
# The oldest version whose Jobs have all of the fields without feature gates, and the newest that is known here.
VERSIONS = ("1.33", "1.37")
SECRET = re.compile(r"token|secret|passw|credential|api_?key|access_?key", re.IGNORECASE)
# Exit code of a call that is wrong, by clap and by headspan.
WRONG_USAGE = 2

Object = dict[str, Any]


def documents(folder: Path) -> list[tuple[str, Object]]:
    """All objects of all manifests, with the names of their files."""
    return [
        (path.name, document)
        for path in sorted(folder.glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]


def schema_errors(name: str, document: Object) -> Iterator[str]:
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            place = ".".join(str(step) for step in error.path)
            yield f"{name}: {document.get('kind')}, Kubernetes {version}: `{place}`: {error.message}"


def stopped_code(source: str) -> int:
    """The exit code of a run that was asked to stop, as the program defines it."""
    found = re.search(r"const STOPPED: u8 = (\d+);", source)
    if not found:
        raise SystemExit(f"{STOP} does not define STOPPED")
    return int(found[1])


def containers(job: Object) -> list[Object]:
    pod = job["spec"]["template"]["spec"]
    return [*pod.get("initContainers", []), *pod["containers"]]


def actions(job: Object) -> dict[int, str]:
    """What the Job does by exit code."""
    rules = job["spec"].get("podFailurePolicy", {}).get("rules", [])
    codes = [(rule["action"], rule["onExitCodes"]["values"]) for rule in rules if "onExitCodes" in rule]
    return {code: action for action, values in codes for code in values}


def job_errors(name: str, job: Object, stopped: int) -> Iterator[str]:
    """What the schema does not say."""
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    if pod.get("restartPolicy") != "Never":
        yield f"{name}: podFailurePolicy needs restartPolicy Never"
    for code, expected in ((stopped, "Ignore"), (WRONG_USAGE, "FailJob")):
        found = actions(job).get(code)
        if found != expected:
            yield f"{name}: exit code {code} leads to {found}, expected {expected}"
    if not any("onPodConditions" in rule for rule in spec.get("podFailurePolicy", {}).get("rules", [])):
        yield f"{name}: drained nodes count as failures"
    security = pod.get("securityContext", {})
    if not security.get("runAsNonRoot") or not security.get("runAsUser"):
        yield f"{name}: pods may run as root"
    volumes = {volume["name"] for volume in pod.get("volumes", [])}
    for container in containers(job):
        yield from container_errors(f"{name}: container {container['name']}", container, volumes)


def container_errors(place: str, container: Object, volumes: set[str]) -> Iterator[str]:
    mounts = {mount["name"] for mount in container.get("volumeMounts", [])}
    if mounts - volumes:
        yield f"{place}: volumes that are not defined: {sorted(mounts - volumes)}"
    if container["image"].endswith(":latest") or ":" not in container["image"].rpartition("/")[2]:
        yield f"{place}: image without a version"
    if "memory" not in container.get("resources", {}).get("limits", {}):
        yield f"{place}: no memory limit"
    if not container.get("securityContext", {}).get("readOnlyRootFilesystem"):
        yield f"{place}: its file system can be written"
    for variable in container.get("env", []):
        if SECRET.search(variable["name"]) and "value" in variable:
            yield f"{place}: `{variable['name']}` stands in the manifest: take it from a Secret"


def shard_errors(objects: list[tuple[str, Object]]) -> Iterator[str]:
    """The number of shards stands in the settings and in the Job."""
    settings = [one for _, one in objects if one["kind"] == "ConfigMap"]
    indexed = [
        one for _, one in objects if one["kind"] == "Job" and one["spec"].get("completionMode") == "Indexed"
    ]
    if len(settings) != 1 or len(indexed) != 1:
        yield f"{len(settings)} ConfigMaps and {len(indexed)} Indexed Jobs, expected one each"
        return
    data, spec = settings[0]["data"], indexed[0]["spec"]
    if data.get("SHARDS") != str(spec.get("completions")):
        yield f"SHARDS is {data.get('SHARDS')}, and completions is {spec.get('completions')}"
    if "backoffLimitPerIndex" not in spec:
        yield "extract.yaml: one shard that fails ends all"
    shard = ["--shard", "$(SHARD)/$(SHARDS)"]
    if not any(container["args"][-2:] == shard for container in containers(indexed[0])):
        yield f"extract.yaml: no container has {' '.join(shard)}"
    for name in data:
        if SECRET.search(name):
            yield f"settings.yaml: `{name}` is a secret: take it from a Secret"


def manifest_errors(folder: Path, stop: str) -> Iterator[str]:
    objects = documents(folder)
    wrong = [line for name, document in objects for line in schema_errors(name, document)]
    if wrong:
        # What follows relies on the schema.
        yield from wrong
        return
    stopped = stopped_code(stop)
    for name, document in objects:
        if document["kind"] == "Secret":
            yield f"{name}: a Secret has no place in a repository"
        if document["kind"] == "Job":
            yield from job_errors(name, document, stopped)
    yield from shard_errors(objects)


def hadolint() -> str:
    """The program beside this Python, or on the path."""
    beside = Path(sys.executable).with_name("hadolint")
    found = str(beside) if beside.is_file() else shutil.which("hadolint")
    return found or sys.exit("hadolint is not installed: pip install -r tools/kubernetes/requirements.txt")


def hadolint_errors(text: str) -> list[str]:
    done = subprocess.run(
        [hadolint(), "--no-color", "-"], input=text, capture_output=True, text=True, check=False
    )
    return [f"Containerfile: {line}" for line in (done.stdout + done.stderr).splitlines() if line]


def recipe_errors(text: str, ignored: str) -> Iterator[str]:
    """What hadolint does not look for."""
    yield from hadolint_errors(text)
    parser = DockerfileParser(fileobj=io.BytesIO(text.encode()), parent_env={})
    steps = [(step["instruction"], step["value"]) for step in parser.structure]
    stages = [place for place, (instruction, _) in enumerate(steps) if instruction == "FROM"]
    if len(stages) < 2:
        yield "Containerfile: the build stage is part of the image"
    users = [value for instruction, value in steps[stages[-1] :] if instruction == "USER"]
    if not users or users[-1].split(":")[0] in ("root", "0"):
        yield "Containerfile: the image runs as root"
    for instruction, value in steps:
        if instruction in ("ARG", "ENV") and SECRET.search(value):
            yield f"Containerfile: {instruction} {value}: a secret would stay in a layer"
    copied = {
        word
        for instruction, value in steps
        if instruction == "COPY" and "--from" not in value
        for word in value.split()[:-1]
    }
    sent = {line.removeprefix("!").rstrip("/") for line in ignored.splitlines() if line.startswith("!")}
    if copied != sent:
        yield f"Containerfile and .dockerignore differ: {sorted(copied ^ sent)}"
    for folder in copied:
        if not (ROOT / folder).exists():
            yield f"Containerfile: there is no `{folder}`"


def main() -> None:
    errors = [
        *manifest_errors(MANIFESTS, STOP.read_text(encoding="utf-8")),
        *recipe_errors(
            RECIPE.read_text(encoding="utf-8"), (ROOT / ".dockerignore").read_text(encoding="utf-8")
        ),
    ]
    for line in errors:
        print(line)
    if errors:
        sys.exit(1)
    print("the manifests and the image recipe are sound, as far as schemas and hadolint can say")


if __name__ == "__main__":
    main()
