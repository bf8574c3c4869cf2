"""Runs all controllers on shared informers: what kube-controller-manager is to a real cluster."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

from cluster.embedded.client import ApiClient
from cluster.embedded.controllers.deployment import DeploymentController
from cluster.embedded.controllers.disruption import DisruptionController
from cluster.embedded.controllers.endpoints import EndpointsController
from cluster.embedded.controllers.garbage import GarbageCollector
from cluster.embedded.controllers.hpa import HorizontalPodAutoscalerController
from cluster.embedded.controllers.hpa_metrics import NoPodMetrics, PodMetrics
from cluster.embedded.controllers.jobs import JobController
from cluster.embedded.controllers.namespaces import NamespaceContentController, NamespaceController
from cluster.embedded.controllers.nodes import NodeController, TaintEvictionController
from cluster.embedded.controllers.replicaset import ReplicaSetController
from cluster.embedded.controllers.resourcequota import ResourceQuotaController
from cluster.embedded.controllers.ttl import TtlController
from cluster.embedded.informer import Informers


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """What can be set.

    Attributes:
        ca_pem: PEM of the API server's certificate authority, published in every namespace.
        node_grace_seconds: how long a node's Lease may go without renewal before the node is lost.
        hpa_sync_seconds: how often an autoscaler looks at its metrics.
        pod_metrics: the metrics API, for a cluster that has one.
        node_monitor_seconds: how often taints that drive pods away are brought in line with what nodes say.
        job_batch_seconds: how long a Job collects changes of its pods before it looks at them.
    """

    ca_pem: str = ""
    node_grace_seconds: float = 50.0
    node_monitor_seconds: float = 5.0
    job_batch_seconds: float = 1.0
    hpa_sync_seconds: float = 15.0
    pod_metrics: PodMetrics = field(default_factory=NoPodMetrics)


class Controller(Protocol):
    """Something that works until cancelled."""

    async def run(self) -> None: ...


async def run_controllers(client: ApiClient, settings: ControllerSettings) -> None:
    """Run every controller until cancelled.

    Args:
        client: the API to control.
        settings: see ControllerSettings.
    """
    informers = Informers(client)
    controllers = _controllers(client, informers, settings)
    async with asyncio.TaskGroup() as group:
        group.create_task(informers.run())
        await informers.synced()
        for controller in controllers:
            group.create_task(controller.run())


def _controllers(client: ApiClient, informers: Informers, settings: ControllerSettings) -> list[Controller]:
    return [
        NamespaceController(client, informers),
        NamespaceContentController(client, informers, settings.ca_pem),
        GarbageCollector(client, informers),
        DeploymentController(client, informers),
        ReplicaSetController(client, informers),
        JobController(client, informers, settings.job_batch_seconds),
        TtlController(client, informers),
        HorizontalPodAutoscalerController(client, informers, settings.pod_metrics, settings.hpa_sync_seconds),
        EndpointsController(client, informers),
        DisruptionController(client, informers),
        ResourceQuotaController(client, informers),
        NodeController(client, informers, settings.node_grace_seconds, settings.node_monitor_seconds),
        TaintEvictionController(client, informers),
    ]
