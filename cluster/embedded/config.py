"""What an embedded cluster is made of: read from YAML, with defaults that fit the vLLM chart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from clients.errors import InputError


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """One node: its capacity as Kubernetes quantities, its labels and taints."""

    name: str = "gpu-node-1"
    cpu: str = "16"
    memory: str = "64Gi"
    pods: str = "110"
    gpus: int = 4
    labels: Mapping[str, str] = field(default_factory=lambda: {"node-type": "gpu"})
    taints: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class VirtualNodesConfig:
    """Nodes on which pods are simulated: they get a status and an address, but no process.

    Attributes:
        count: how many nodes.
        name_prefix: the nodes are called PREFIX0, PREFIX1, ...
        ready_after_seconds: how long a pod is creating its containers before it runs and is ready.
    """

    count: int = 1
    cpu: str = "32"
    memory: str = "256Gi"
    pods: str = "110"
    gpus: int = 0
    name_prefix: str = "virtual-node-"
    ready_after_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """Settings of a cluster.

    Attributes:
        restart_backoff_base_seconds: delay of the first delayed restart of a container; Kubernetes has 10 s.
        metrics_window_seconds: over how long usage is measured for the metrics API; a kubelet has 10 s.
        virtual_nodes: nodes beside ``nodes`` on which pods are simulated, for clusters of thousands of pods.
    """

    nodes: tuple[NodeConfig, ...] = (NodeConfig(),)
    restart_backoff_base_seconds: float = 10.0
    metrics_window_seconds: float = 10.0
    virtual_nodes: VirtualNodesConfig | None = None

    @classmethod
    def load(cls, path: Path) -> ClusterConfig:
        """Read a config file. Raises InputError that names the file and the key."""
        try:
            content = yaml.safe_load(path.read_text()) or {}
        except OSError as error:
            raise InputError(f"cannot read the cluster config: {error.strerror}", where=str(path)) from error
        except yaml.YAMLError as error:
            raise InputError("the cluster config is not valid YAML", where=str(path), remedy=str(error)) from error
        values = _known(content, cls, str(path))
        if "nodes" in values:
            nodes = values["nodes"]
            if not isinstance(nodes, list) or not nodes:
                raise InputError("must be a list of nodes", where=f"{path}: nodes", remedy="name at least one node")
            values["nodes"] = tuple(_node(node, f"{path}: nodes[{n}]") for n, node in enumerate(nodes))
        if values.get("virtual_nodes") is not None:
            values["virtual_nodes"] = _virtual_nodes(values["virtual_nodes"], f"{path}: virtual_nodes")
        for key in ("restart_backoff_base_seconds", "metrics_window_seconds"):
            seconds = values.get(key, 10.0)
            if not isinstance(seconds, int | float) or seconds <= 0:
                raise InputError(
                    "must be a number of seconds above 0", where=f"{path}: {key}", remedy="Kubernetes has 10"
                )
        return cls(**values)


def _node(content: object, where: str) -> NodeConfig:
    values = _known(content, NodeConfig, where)
    if "taints" in values:
        values["taints"] = tuple(values["taints"])
    for key in ("cpu", "memory", "pods"):
        if key in values:
            values[key] = str(values[key])
    return NodeConfig(**values)


def _virtual_nodes(content: object, where: str) -> VirtualNodesConfig:
    values = _known(content, VirtualNodesConfig, where)
    for key in ("cpu", "memory", "pods"):
        if key in values:
            values[key] = str(values[key])
    for key, kind, least in (("count", int, 1), ("gpus", int, 0), ("ready_after_seconds", (int, float), 0)):
        value = values.get(key, least)
        if isinstance(value, bool) or not isinstance(value, kind) or value < least:
            raise InputError(f"must be a number, {least} or more", where=f"{where}.{key}", remedy="see ClusterConfig")
    if not isinstance(values.get("name_prefix", "-"), str) or not values.get("name_prefix", "-"):
        raise InputError(
            "must be the beginning of a name", where=f"{where}.name_prefix", remedy="such as virtual-node-"
        )
    return VirtualNodesConfig(**values)


def _known(content: object, kind: type, where: str) -> dict[str, Any]:
    names = [f.name for f in fields(kind)]
    if not isinstance(content, dict):
        raise InputError("must be a mapping", where=where, remedy=f"known keys: {', '.join(names)}")
    unknown = sorted(set(content) - set(names))
    if unknown:
        raise InputError(f"unknown key {unknown[0]!r}", where=where, remedy=f"known keys: {', '.join(names)}")
    return dict(content)
