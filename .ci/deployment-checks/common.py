"""Shared by the checks: paths, and the manifests as kustomize renders them."""

import functools
import os
import pathlib
import shutil
import subprocess
import tempfile

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
BINARIES = TARGET / "debug"
VENV = TARGET / "deployment-venv"
NPM = TARGET / "deployment-npm"
OVERLAYS = ("small", "large")
# The large overlay with a component that it leaves out.
WITH_CDN, WITH_NOTIFIER = "large with cdn", "large with notifier"
RENDERINGS = (*OVERLAYS, WITH_CDN, WITH_NOTIFIER)


def run(*command, **options):
    """The output of a command; what it printed is in the error if it fails."""
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=300, **options
    )
    if done.returncode != 0:
        raise AssertionError(
            f"{' '.join(map(str, command))[:200]} ended with {done.returncode}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
        )
    return done.stdout


@functools.cache
def rendered(overlay):
    """The documents of an overlay, as `kubectl apply -k` would send them."""
    if overlay in OVERLAYS:
        return kustomize(ROOT / "k8s/overlays" / overlay)
    # As the guide says: its line in the overlay.
    component = overlay.rpartition(" ")[2]
    with tempfile.TemporaryDirectory(dir=TARGET) as folder:
        shutil.copytree(ROOT / "k8s", folder, dirs_exist_ok=True)
        path = pathlib.Path(folder, "overlays/large/kustomization.yaml")
        line = f"components:\n  - ../../components/{component}\n"
        path.write_text(path.read_text().replace("components:\n", line))
        return kustomize(path.parent)


def kustomize(folder):
    text = run(VENV / "bin/kubectl", "kustomize", folder)
    return [document for document in yaml.safe_load_all(text) if document]


def of_kind(overlay, *kinds):
    return [document for document in rendered(overlay) if document["kind"] in kinds]


def name(document):
    return f"{document['kind']}/{document['metadata']['name']}"


def environment(overlay, deployment, secrets, folder=None):
    """The variables of a Deployment's container, references resolved; `secrets` has the Secrets' keys. Secrets that the pod
    has in files are written to `folder`."""
    pod = next(d for d in of_kind(overlay, "Deployment") if d["metadata"]["name"] == deployment)[
        "spec"
    ]["template"]["spec"]
    container = pod["containers"][0]
    maps = {d["metadata"]["name"]: d["data"] for d in of_kind(overlay, "ConfigMap")}
    values = {}
    for source in container.get("envFrom", []):
        values.update(maps[source["configMapRef"]["name"]])
    for entry in container.get("env", []):
        source = entry.get("valueFrom", {})
        if "secretKeyRef" in source:
            values[entry["name"]] = secrets[source["secretKeyRef"]["key"]]
        elif "value" in entry:
            values[entry["name"]] = entry["value"]
    mounted = {mount["name"]: mount["mountPath"] for mount in container.get("volumeMounts", [])}
    for volume in pod.get("volumes", []):
        for item in volume.get("secret", {}).get("items", []):
            path = f"{mounted[volume['name']]}/{item['path']}"
            variable = next(name for name, value in values.items() if value == path)
            file = folder / f"{deployment}-{item['path']}"
            file.touch(0o600)
            file.write_text(secrets[item["key"]])
            values[variable] = str(file)
    return values
