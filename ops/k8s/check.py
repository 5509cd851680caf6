"""See `check`."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import kubernetes_validate
import yaml

HERE = Path(__file__).resolve().parent
VERSION = "1.30"
failures: list[str] = []


def check(good: bool, text: str) -> None:
    if not good:
        failures.append(text)


def load() -> list[dict]:
    """Everything that the kustomization names."""
    kustomization = yaml.safe_load((HERE / "kustomization.yaml").read_text())
    manifests = []
    for name in kustomization["resources"]:
        for manifest in yaml.safe_load_all((HERE / name).read_text()):
            manifests.append(manifest)
            try:
                kubernetes_validate.validate(manifest, VERSION, strict=True)
            except Exception as error:  # The library has several, with one text each.
                failures.append(f"{name}, {manifest['kind']}: {error}")
    # A resource of its own kind, whose schema is KEDA's: at least it is YAML.
    yaml.safe_load((HERE / "keda.yaml").read_text())
    return manifests


def check_workload(workload: dict, settings: dict, names: set[tuple[str, str]]) -> None:
    where = workload["metadata"]["name"]
    pod = workload["spec"]["template"]["spec"]
    labels = workload["spec"]["template"]["metadata"]["labels"]
    selector = workload["spec"]["selector"]["matchLabels"]
    check(selector.items() <= labels.items(), f"{where}: its selector does not select its pods")
    check(pod["terminationGracePeriodSeconds"] >= settings["drain-timeout"] + 5, f"{where}: it is killed while it drains")
    check(pod["securityContext"]["runAsNonRoot"] is True, f"{where}: runs as root")
    check(pod["automountServiceAccountToken"] is False, f"{where}: has a token of the cluster")
    http = int(settings["http"].rsplit(":", 1)[1])
    volumes = {volume["name"] for volume in pod["volumes"]}
    for container in pod["initContainers"] + pod["containers"]:
        context = container["securityContext"]
        check(context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"], f"{where}: too many rights")
        check(context["capabilities"] == {"drop": ["ALL"]}, f"{where}: has capabilities")
        check("memory" in container["resources"]["limits"], f"{where}: has no memory limit")
        for mount in container["volumeMounts"]:
            check(mount["name"] in volumes, f"{where}: there is no volume {mount['name']}")
    (container,) = pod["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    check(ports["http"] == http, f"{where}: HTTP is at {http}")
    for probe, path in (("livenessProbe", "/livez"), ("readinessProbe", "/readyz"), ("startupProbe", "/livez")):
        check(container[probe]["httpGet"] == {"path": path, "port": "http"}, f"{where}: {probe}")
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    for key in ("curve-secret", "curve-server", "authorized-keys", "store"):
        if key in settings:
            check(any(settings[key].startswith(mount) for mount in mounts), f"{where}: nothing is mounted for {key}")
    for volume in pod["volumes"]:
        if name := volume.get("configMap", {}).get("name"):
            # The keys' are made by hand: README.md says how.
            check(("ConfigMap", name) in names or name in (HERE / "README.md").read_text(), f"{where}: there is no ConfigMap {name}")
        if name := volume.get("secret", {}).get("secretName"):
            check(name in (HERE / "README.md").read_text(), f"{where}: README.md does not say how to make {name}")


def check_settings(command: str, text: str) -> dict:
    """The settings as JSON, once the real program has taken them."""
    if nub := os.environ.get("NUB_BIN"):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            file.write(text)
            file.flush()
            done = subprocess.run([nub, command, "--config", file.name, "--print-config"], capture_output=True, text=True)
            check(done.returncode == 0, f"nub {command} refuses its settings: {done.stderr}")
    return json.loads(text)


def main() -> None:
    manifests = load()
    names = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests}
    (config,) = (manifest for manifest in manifests if manifest["kind"] == "ConfigMap")
    settings = {name: check_settings(name, config["data"][f"{name}.json"]) for name in ("worker", "broker")}
    pods = {}
    for manifest in manifests:
        if manifest["kind"] == "Deployment":
            component = manifest["metadata"]["labels"]["app.kubernetes.io/component"]
            pods[component] = manifest["spec"]["template"]
            check_workload(manifest, settings[component], names)
            check(pods[component]["spec"]["containers"][0]["args"][0] == component, f"{component}: its command is another")
    for manifest in manifests:
        if manifest["kind"] == "HorizontalPodAutoscaler":
            target = manifest["spec"]["scaleTargetRef"]
            check((target["kind"], target["name"]) in names, "the autoscaler scales nothing")
        if manifest["kind"] in ("Service", "PodDisruptionBudget"):
            selector = manifest["spec"]["selector"]
            selector = selector.get("matchLabels", selector)
            chosen = [pod for pod in pods.values() if selector.items() <= pod["metadata"]["labels"].items()]
            check(len(chosen) == 1, f"{manifest['kind']} {manifest['metadata']['name']} selects {len(chosen)} deployments")
            for port in manifest["spec"].get("ports", []):
                known = {port["name"] for port in chosen[0]["spec"]["containers"][0]["ports"]}
                check(port["targetPort"] in known, f"Service: there is no port {port['targetPort']}")
    broker = settings["worker"]["broker"][0].removeprefix("tcp://").split(":")
    check(("Service", broker[0]) in names and settings["broker"]["bind"][0].endswith(f":{broker[1]}"), "workers look for another broker")
    print(f"ops/k8s/check: {len(manifests)} manifests against the schemas of Kubernetes {VERSION}")
    if failures:
        print("\n".join(f"ops/k8s/check: {text}" for text in failures), file=sys.stderr)
        sys.exit(1)


main()
