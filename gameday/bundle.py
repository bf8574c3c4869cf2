"""Takes the cluster's side of the evidence into the run folder: pods, events, and logs of anything that died."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kubernetes import client

from clients.errors import GamedayError
from clients.kube import KubeClient
from gameday.observer import kubernetes_client

LOG_LINES = 200


def collect_cluster_evidence(kubeconfig: Path, namespace: str, folder: Path) -> None:
    """Write pods, Deployments, events and the logs of containers that were terminated below ``folder``.

    What cannot be had is named in ``missing.txt``: evidence is collected as far as the cluster still answers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing: list[str] = []
    try:
        kube = KubeClient(kubeconfig)
        pods = kube.list_objects("pods", namespace)
        events = kube.list_objects("events", namespace)
        deployments = kube.list_objects("deployments", namespace)
    except GamedayError as error:
        (folder / "missing.txt").write_text(f"{error}\n")
        return
    for name, items in (("pods", pods), ("events", events), ("deployments", deployments)):
        (folder / f"{name}.json").write_text(json.dumps(items, indent=1) + "\n")
    core = client.CoreV1Api(kubernetes_client(kubeconfig))
    for pod in pods:
        missing.extend(_logs(core, namespace, pod, folder / "logs"))
    if missing:
        (folder / "missing.txt").write_text("\n".join(missing) + "\n")


def _logs(core: client.CoreV1Api, namespace: str, pod: dict[str, Any], folder: Path) -> list[str]:
    """Write the current logs of a pod's containers, and the previous ones of those that restarted."""
    missing = []
    name = pod["metadata"]["name"]
    for status in pod.get("status", {}).get("containerStatuses") or []:
        for previous in (False, True) if status.get("restartCount") else (False,):
            suffix = ".previous" if previous else ""
            try:
                text = core.read_namespaced_pod_log(
                    name, namespace, container=status["name"], previous=previous, tail_lines=LOG_LINES
                )
            except client.ApiException as error:
                missing.append(f"logs of {name}/{status['name']}{suffix}: {error.status} {error.reason}")
                continue
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{name}.{status['name']}{suffix}.log").write_text(text or "")
    return missing
