"""An API without HTTP, the real controllers and scheduler, and a kubelet that only pretends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from cluster.embedded.apiserver.local import LocalClient
from cluster.embedded.apiserver.registry import Registry
from cluster.embedded.client import ApiError
from cluster.embedded.controllers.manager import ControllerSettings, run_controllers
from cluster.embedded.informer import Informer
from cluster.embedded.resources import DEPLOYMENTS, NAMESPACES, NODES, PODS, Object, Resource
from cluster.embedded.scheduler import run_scheduler
from cluster.embedded.store import Store


class World:
    """A cluster whose kubelet makes every bound pod Ready at once, unless told otherwise.

    Attributes:
        broken: pods whose image is in here never become Ready.
    """

    def __init__(self) -> None:
        self.client = LocalClient(Registry(Store()))
        self.broken: set[str] = set()
        self.watched: list[tuple[int, int, int]] = []
        self._tasks: list[asyncio.Task[Any]] = []
        self._addresses = 0

    async def __aenter__(self) -> World:
        await self.client.create(NAMESPACES, {"metadata": {"name": "system"}})
        await self.add_node("node-1")
        informer = Informer(self.client, PODS)
        informer.add_handler(lambda old, new: self._tasks.append(asyncio.ensure_future(self._kubelet(new))))
        for job in (
            run_controllers(self.client, ControllerSettings()),
            run_scheduler(self.client),
            informer.run(),
        ):
            self._tasks.append(asyncio.ensure_future(job))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def add_node(self, name: str, *, gpus: int = 8) -> None:
        offer = {"cpu": "16", "memory": "64Gi", "pods": "110", "nvidia.com/gpu": str(gpus)}
        await self.client.create(
            NODES, {"metadata": {"name": name}, "status": {"allocatable": offer, "capacity": offer}}
        )

    async def pods(self) -> list[Object]:
        return (await self.client.list(PODS, "system")).items

    async def deployment(self, name: str = "web") -> Object:
        return await self.client.get(DEPLOYMENTS, name, "system")

    async def until(self, condition: Callable[[Object], bool], name: str = "web", *, seconds: float = 5.0) -> Object:
        """Wait until a Deployment satisfies a condition."""
        async with asyncio.timeout(seconds):
            while True:
                found = await self.deployment(name)
                if condition(found):
                    return found
                await asyncio.sleep(0.005)

    async def change(self, resource: Resource, name: str, **spec: Any) -> None:
        await self.client.patch(resource, name, {"spec": spec}, "system")

    async def _kubelet(self, pod: Object | None) -> None:
        if pod is None or not pod["spec"].get("nodeName"):
            return
        name = pod["metadata"]["name"]
        try:
            if pod["metadata"].get("deletionTimestamp"):
                await self.client.delete(PODS, name, "system", grace_period_seconds=0)
            elif pod.get("status", {}).get("phase") != "Running":
                self._addresses += 1
                ready = pod["spec"]["containers"][0]["image"] not in self.broken
                condition = {
                    "type": "Ready",
                    "status": str(ready),
                    "lastTransitionTime": pod["metadata"]["creationTimestamp"],
                }
                address = f"127.9.{self._addresses // 250}.{self._addresses % 250}"
                status = {"phase": "Running", "podIP": address, "conditions": [condition]}
                await self.client.patch(PODS, name, {"status": status}, "system", subresource="status")
        except ApiError as error:
            if error.code not in (404, 409):
                raise


def web(replicas: int = 3, image: str = "v1", **spec: Any) -> Object:
    """A Deployment named web."""
    labels = {"app": "web"}
    return {
        "metadata": {"name": "web", "namespace": "system"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": image}]}},
            **spec,
        },
    }


def complete(deployment: Object) -> bool:
    """Whether a rollout is done."""
    status, wanted = deployment.get("status", {}), deployment["spec"]["replicas"]
    counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")]
    return counts == [wanted] * 3 and status.get("observedGeneration") == deployment["metadata"]["generation"]
