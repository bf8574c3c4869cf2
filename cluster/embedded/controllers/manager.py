"""Runs all controllers on shared informers, as the kube-controller-manager does."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from cluster.embedded.client import ApiClient
from cluster.embedded.controllers.deployment import DeploymentController
from cluster.embedded.controllers.endpointslice import EndpointSliceController
from cluster.embedded.controllers.garbage_collector import GarbageCollector
from cluster.embedded.controllers.namespace import NamespaceController
from cluster.embedded.controllers.replicaset import ReplicaSetController
from cluster.embedded.informer import Informer
from cluster.embedded.resources import (
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    EVENTS,
    PODS,
    REPLICA_SETS,
    RESOURCES,
    SERVICES,
)


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """What the controllers need to know of their cluster.

    Attributes:
        ca_pem: the cluster's CA certificate, published in every namespace.
    """

    ca_pem: str = ""


async def run_controllers(client: ApiClient, settings: ControllerSettings) -> None:
    """Run every controller until cancelled."""
    informers = {resource: Informer(client, resource) for resource in RESOURCES if resource is not EVENTS}
    events = Informer(client, EVENTS)
    deployments, replica_sets, pods = informers[DEPLOYMENTS], informers[REPLICA_SETS], informers[PODS]
    controllers = (
        DeploymentController(client, deployments, replica_sets, pods),
        ReplicaSetController(client, replica_sets, pods),
        EndpointSliceController(client, informers[SERVICES], pods, informers[ENDPOINT_SLICES]),
        GarbageCollector(client, informers),
        NamespaceController(client, {**informers, EVENTS: events}, settings.ca_pem),
    )
    async with asyncio.TaskGroup() as group:
        for informer in (*informers.values(), events):
            group.create_task(informer.run())
        for controller in controllers:
            group.create_task(controller.run(), name=type(controller).__name__)
