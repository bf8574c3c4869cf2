"""A small cluster for tests: the API in memory, the controllers, and a kubelet that does what it is told."""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from cluster.embedded.apiserver.local import LocalClient
from cluster.embedded.apiserver.registry import Registry
from cluster.embedded.client import ApiError, WatchEvent
from cluster.embedded.controllers.manager import ControllerSettings, run_controllers
from cluster.embedded.informer import Informer
from cluster.embedded.meta import is_deleted, key_of, now
from cluster.embedded.resources import (
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    EVENTS,
    PODS,
    REPLICA_SETS,
    SERVICES,
    Object,
    Resource,
)
from cluster.embedded.store import Store

NAMESPACE = "system"


class LaggingClient(LocalClient):
    """Its watches are late by some turns of the event loop, so that caches are stale."""

    def __init__(self, registry: Registry, turns: int) -> None:
        super().__init__(registry)
        self._turns = turns

    async def watch(self, *args: Any, **kwargs: Any) -> AsyncIterator[WatchEvent]:
        async for event in super().watch(*args, **kwargs):
            for _ in range(self._turns):
                await asyncio.sleep(0)
            yield event


class Kubelet:
    """Binds pods (unless told not to), makes them Ready, and removes those that are deleted."""

    def __init__(self, client: LocalClient, *, bind: bool = True) -> None:
        self._client = client
        self._bind = bind
        self._addresses = itertools.count(1)
        self.becomes_ready: Callable[[Object], bool] = lambda pod: True
        self.stops: Callable[[Object], bool] = lambda pod: True
        self.ends: Callable[[Object], str] = lambda pod: ""
        self.started = now()
        self._informer = Informer(client, PODS)
        self._work: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self._informer.add_handler(self._changed)

    def look_again(self) -> None:
        """Consider every pod anew, after what the kubelet is told has changed."""
        for key in self._informer.objects:
            self._work.put_nowait(key)

    def _changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self._work.put_nowait(key_of(new))

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._informer.run())
            while True:
                key = await self._work.get()
                try:
                    await self._handle(key)
                except ApiError as error:
                    if error.code not in (404, 409):
                        raise
                await asyncio.sleep(0)

    async def _handle(self, key: tuple[str, str]) -> None:
        pod = self._informer.get(*key)
        if pod is None:
            return
        if is_deleted(pod):
            if self.stops(pod):
                await self._client.delete(PODS, key[1], key[0], grace_period_seconds=0)
        elif not pod["spec"].get("nodeName"):
            if self._bind:
                await bind(self._client, pod, "node-1")
        elif pod["status"]["phase"] in ("Succeeded", "Failed"):
            return
        elif phase := self.ends(pod):
            await self.end(pod, phase)
        elif not is_ready(pod) and self.becomes_ready(pod):
            await self.set_ready(pod, True)

    async def end(self, pod: Object, phase: str, at: str = "2020-01-01T00:00:00Z") -> None:
        """Let the pod end; by default so long ago that nobody waits before it is replaced."""
        terminated = {"exitCode": int(phase == "Failed"), "finishedAt": at, "startedAt": at, "reason": "Completed"}
        container = {
            "name": "c", "image": "i", "imageID": "", "ready": False, "restartCount": 0,
            "state": {"terminated": terminated},
        }  # fmt: skip
        status = {**pod["status"], "phase": phase, "containerStatuses": [container]}
        await self._client.patch(PODS, pod["metadata"]["name"], {"status": status}, NAMESPACE, subresource="status")

    async def set_ready(self, pod: Object, ready: bool) -> None:
        current = pod.get("status") or {}
        conditions = [c for c in current.get("conditions", []) if c["type"] != "Ready"]
        condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": now()}
        address = current.get("podIP") or f"10.0.0.{next(self._addresses)}"
        status = {"phase": "Running", "startTime": self.started, "podIP": address}
        status = {**current, **status, "conditions": [*conditions, condition]}
        await self._client.patch(PODS, pod["metadata"]["name"], {"status": status}, NAMESPACE, subresource="status")


def is_ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


async def bind(client: LocalClient, pod: Object, node: str) -> None:
    metadata = {key: pod["metadata"][key] for key in ("name", "namespace")}
    target = {"apiVersion": "v1", "kind": "Node", "name": node}
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": metadata, "target": target}
    await client.create(PODS, binding, subresource="binding")


def deployment(name: str = "web", replicas: int = 3, image: str = "v1", **spec: Any) -> Object:
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "c", "image": image}]},
    }
    selector = {"matchLabels": {"app": name}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"replicas": replicas, "selector": selector, "template": template, **spec},
    }


def rolling(surge: int | str, unavailable: int | str) -> Object:
    return {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable},
    }


class World:
    """What a test touches."""

    def __init__(self, *, bind: bool = True, kubelet: bool = True, lag: int = 0) -> None:
        self.store = Store()
        self.client = LaggingClient(Registry(self.store), lag)
        self.kubelet = Kubelet(self.client, bind=bind)
        self.with_kubelet = kubelet

    async def create(self, resource: Resource, obj: Object) -> Object:
        return await self.client.create(resource, obj)

    async def pods(self) -> list[Object]:
        return (await self.client.list(PODS, NAMESPACE)).items

    async def sets(self) -> list[Object]:
        return (await self.client.list(REPLICA_SETS, NAMESPACE)).items

    async def slices(self) -> list[Object]:
        return (await self.client.list(ENDPOINT_SLICES, NAMESPACE)).items

    async def deployment(self, name: str = "web") -> Object:
        return await self.client.get(DEPLOYMENTS, name, NAMESPACE)

    async def change(self, name: str, **spec: Any) -> Object:
        return await self.client.patch(DEPLOYMENTS, name, {"spec": spec}, NAMESPACE)

    async def set_image(self, name: str, image: str) -> None:
        changed = copy.deepcopy(await self.deployment(name))
        changed["spec"]["template"]["spec"]["containers"][0]["image"] = image
        await self.client.update(DEPLOYMENTS, changed)

    async def messages(self, reason: str) -> list[str]:
        """Messages of events, in the order they were made."""
        await self.quiet()
        events = [e for e in (await self.client.list(EVENTS)).items if e["reason"] == reason]
        return [e["message"] for e in sorted(events, key=lambda e: e["metadata"]["name"].rsplit(".")[-1])]

    async def until(self, what: Callable[[], Awaitable[bool]], seconds: float = 5.0) -> None:
        """Wait for a condition with a deadline."""
        async with asyncio.timeout(seconds):
            while not await what():
                await asyncio.sleep(0.002)

    async def quiet(self, seconds: float = 5.0) -> None:
        """Wait until nobody writes any more (longer than a retry takes)."""
        async with asyncio.timeout(seconds):
            version = -1
            while version != self.store.version:
                version = self.store.version
                await asyncio.sleep(0.03)

    async def turns(self, count: int) -> None:
        """Let the others take some turns."""
        for _ in range(count):
            await asyncio.sleep(0)

    async def available(self, count: int, name: str = "web") -> None:
        """Wait until the Deployment is rolled out with that many replicas."""

        async def rolled_out() -> bool:
            obj = await self.deployment(name)
            status = obj.get("status") or {}
            fields = ("availableReplicas", "updatedReplicas", "replicas")
            current = status.get("observedGeneration") == obj["metadata"]["generation"]
            return current and all(status.get(field, 0) == count for field in fields)

        await self.until(rolled_out)


def run(
    body: Callable[[World], Awaitable[None]],
    *,
    node_grace_seconds: float = 50,
    settings: dict[str, Any] | None = None,
    **kwargs: Any,
) -> None:
    """Run a test's body in a world with controllers and a kubelet."""
    chosen = ControllerSettings(
        ca_pem="PEM",
        node_grace_seconds=node_grace_seconds,
        job_batch_seconds=0,
        **{"node_monitor_seconds": 0.02, **(settings or {})},
    )

    async def main() -> None:
        world = World(**kwargs)
        tasks = [asyncio.create_task(run_controllers(world.client, chosen))]
        if world.with_kubelet:
            tasks.append(asyncio.create_task(world.kubelet.run()))
        test = asyncio.ensure_future(body(world))
        await asyncio.wait([test, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                test.cancel()
                task.result()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await test

    asyncio.run(main())


def service(name: str = "web", app: str = "web", **spec: Any) -> Object:
    ports = [{"name": "http", "port": 80, "targetPort": 8000, "protocol": "TCP"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"selector": {"app": app}, "ports": ports, **spec},
    }


__all__ = ["DEPLOYMENTS", "NAMESPACE", "SERVICES", "World", "deployment", "rolling", "run", "service"]
