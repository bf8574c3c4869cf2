"""Tables: the rows that ``kubectl get`` prints (meta.k8s.io/v1 Table). Columns are those of a real server."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any

from cluster.embedded.apiserver import table_cells, table_pods, table_workloads
from cluster.embedded.apiserver.table_format import age
from cluster.embedded.resources import Object, Resource

Cells = Callable[[Object, datetime], list[Any]]


@dataclass(frozen=True, slots=True)
class _Layout:
    """Columns as ``Name``, ``Name:type`` or ``Name:type:1`` (shown by ``-o wide`` only), and the cells of a row."""

    columns: tuple[str, ...]
    cells: Cells


_LAYOUTS: dict[str, _Layout] = {
    "pods": _Layout(
        (
            "Name", "Ready", "Status", "Restarts", "Age",
            "IP::1", "Node::1", "Nominated Node::1", "Readiness Gates::1",
        ),
        table_pods.cells,
    ),
    "deployments.apps": _Layout(
        ("Name", "Ready", "Up-to-date", "Available", "Age", "Containers::1", "Images::1", "Selector::1"),
        table_cells.deployment,
    ),
    "replicasets.apps": _Layout(
        (
            "Name", "Desired:integer", "Current:integer", "Ready:integer", "Age",
            "Containers::1", "Images::1", "Selector::1",
        ),
        table_cells.replica_set,
    ),
    "services": _Layout(
        ("Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "Selector::1"), table_cells.service
    ),
    "endpoints": _Layout(("Name", "Endpoints", "Age"), table_cells.endpoints),
    "endpointslices.discovery.k8s.io": _Layout(
        ("Name", "AddressType", "Ports", "Endpoints", "Age"), table_cells.endpoint_slice
    ),
    "nodes": _Layout(
        (
            "Name", "Status", "Roles", "Age", "Version",
            "Internal-IP::1", "External-IP::1", "OS-Image::1", "Kernel-Version::1", "Container-Runtime::1",
        ),
        table_cells.node,
    ),
    "namespaces": _Layout(("Name", "Status", "Age"), table_cells.namespace),
    "configmaps": _Layout(("Name", "Data", "Age"), table_cells.config_map),
    "secrets": _Layout(("Name", "Type", "Data", "Age"), table_cells.secret),
    "events": _Layout(
        (
            "Last Seen", "Type", "Reason", "Object", "Subobject::1", "Source::1", "Message",
            "First Seen::1", "Count::1", "Name::1",
        ),
        table_cells.event,
    ),
    "leases.coordination.k8s.io": _Layout(("Name", "Holder", "Age"), table_cells.lease),
    "poddisruptionbudgets.policy": _Layout(
        ("Name", "Min Available", "Max Unavailable", "Allowed Disruptions:integer", "Age"),
        table_cells.disruption_budget,
    ),
    "networkpolicies.networking.k8s.io": _Layout(("Name", "Pod-Selector", "Age"), table_cells.network_policy),
    "priorityclasses.scheduling.k8s.io": _Layout(
        ("Name", "Value:integer", "Global-Default:boolean", "Age", "PreemptionPolicy"), table_cells.priority_class
    ),
    "replicationcontrollers": _Layout(
        (
            "Name", "Desired:integer", "Current:integer", "Ready:integer", "Age",
            "Containers::1", "Images::1", "Selector::1",
        ),
        table_workloads.replication_controller,
    ),
    "daemonsets.apps": _Layout(
        (
            "Name", "Desired:integer", "Current:integer", "Ready:integer", "Up-to-date:integer", "Available:integer",
            "Node Selector", "Age", "Containers::1", "Images::1", "Selector::1",
        ),
        table_workloads.daemon_set,
    ),
    "statefulsets.apps": _Layout(
        ("Name", "Ready", "Age", "Containers::1", "Images::1"), table_workloads.stateful_set
    ),
    "cronjobs.batch": _Layout(
        (
            "Name", "Schedule", "Timezone", "Suspend:boolean", "Active:integer", "Last Schedule", "Age",
            "Containers::1", "Images::1", "Selector::1",
        ),
        table_workloads.cron_job,
    ),
    "jobs.batch": _Layout(
        ("Name", "Status", "Completions", "Duration", "Age", "Containers::1", "Images::1", "Selector::1"),
        table_workloads.job,
    ),
    "horizontalpodautoscalers.autoscaling": _Layout(
        ("Name", "Reference", "Targets", "MinPods", "MaxPods", "Replicas", "Age"), table_workloads.autoscaler
    ),
    "persistentvolumeclaims": _Layout(
        (
            "Name", "Status", "Volume", "Capacity", "Access Modes", "StorageClass", "VolumeAttributesClass", "Age",
            "VolumeMode::1",
        ),
        table_workloads.persistent_volume_claim,
    ),
}  # fmt: skip
_GENERIC = _Layout(("Name", "Age"), lambda obj, now: [obj["metadata"]["name"], age(obj, now)])


def table(
    resource: Resource,
    items: list[Object],
    metadata: dict[str, Any],
    include_object: str,
    *,
    now: datetime | None = None,
) -> Object:
    """A Table of the objects.

    Args:
        metadata: the list metadata.
        include_object: ``Metadata``, ``Object`` or ``None``: what rows carry besides cells.
        now: what ages are counted to; the present when None.
    """
    layout, at = _LAYOUTS.get(resource.group_resource, _GENERIC), now or datetime.now(UTC)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": [_column(text, resource.group_resource) for text in layout.columns],
        "rows": [_row(layout, obj, at, include_object) for obj in items],
    }


@cache
def _descriptions() -> dict[str, dict[str, str]]:
    """What a real server says of each column, by resource and column name."""
    packed = resources.files(__package__).joinpath("data/columns.json.gz").read_bytes()
    known: dict[str, dict[str, str]] = json.loads(gzip.decompress(packed))
    return known


def _column(text: str, group_resource: str) -> Object:
    descriptions = {**_descriptions()["configmaps"], **_descriptions().get(group_resource, {})}
    name, kind, priority = [*text.split(":"), "", ""][:3]
    return {
        "name": name,
        "type": kind or "string",
        "format": "name" if name == "Name" else "",
        "description": descriptions.get(name, f"{name} of the object"),
        "priority": int(priority or 0),
    }


def _row(layout: _Layout, obj: Object, now: datetime, include_object: str) -> Object:
    row: Object = {"cells": layout.cells(obj, now)}
    if layout.cells is table_pods.cells and (conditions := table_pods.row_conditions(obj)):
        row["conditions"] = conditions
    if include_object == "Object":
        row["object"] = obj
    elif include_object != "None":
        row["object"] = {
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": obj["metadata"],
        }
    return row
