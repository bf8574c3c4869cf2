"""One embedded cluster with the node of the recordings, and what a recording's script does to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from cluster.embedded.apiserver.bootstrap import bootstrap
from cluster.embedded.apiserver.local import LocalClient
from cluster.embedded.apiserver.registry import Registry
from cluster.embedded.client import ApiClient, ApiError
from cluster.embedded.controllers.manager import ControllerSettings, run_controllers
from cluster.embedded.events import EventRecorder
from cluster.embedded.network.addresses import AddressPool, Subnet
from cluster.embedded.network.network import Network
from cluster.embedded.node.agent import NodeAgent
from cluster.embedded.node.images import ImageMap
from cluster.embedded.node.settings import NodeSettings
from cluster.embedded.resources import (
    BY_KIND,
    DEPLOYMENTS,
    NAMESPACES,
    NODES,
    PODS,
    REPLICA_SETS,
    RESOURCES,
    Object,
    Resource,
)
from cluster.embedded.scheduler import run_scheduler
from cluster.embedded.server import POD_SHIM
from cluster.embedded.store import Store
from tests.conformance.kubelet.recording import Recording
from tests.conformance.kubelet.script import Step

_REVISION = "deployment.kubernetes.io/revision"
_START_SECONDS = 30.0
_PRESENT = re.compile(r'Container image "([^"]+)" (?:already present|is present)')
_FAILED = re.compile(r'Failed to pull image "([^"]+)": (.*)', re.DOTALL)
BY_PLURAL: Mapping[str, Resource] = {resource.plural: resource for resource in RESOURCES}


class NotServed(Exception):
    """The cluster does not serve what a recording needs."""


@dataclass
class Lab:
    """A cluster that runs.

    Attributes:
        client: its API.
        scratch: what stands for ``/tmp`` in the containers, which have no file system of their own.
    """

    client: ApiClient
    images: ImageMap
    settings: NodeSettings
    pods: AddressPool
    scratch: Path
    _nodes: list[asyncio.Task[None]] = field(default_factory=list)
    _agent: NodeAgent | None = None

    def start_node(self) -> None:
        """Start the node agent."""
        recorder = EventRecorder(self.client, "kubelet", self.settings.name)
        self._agent = NodeAgent(self.client, self.settings, self.images, self.pods, recorder)
        self._nodes.append(asyncio.create_task(self._agent.run()))

    async def stop_node(self) -> None:
        """Kill the node agent, if it runs."""
        for task in self._nodes:
            task.cancel()
        if self._nodes:
            await asyncio.wait(self._nodes)
        self._nodes.clear()

    async def perform(self, step: Step, namespace: str) -> None:
        """Do one step of a script. An answer of the API that says no is part of the recording."""
        with contextlib.suppress(ApiError):
            await self._perform(step, namespace)

    async def _perform(self, step: Step, namespace: str) -> None:
        grace = int(step.value) if step.value and step.verb in ("delete", "evict") else None
        if step.verb == "apply":
            await self.client.create(resource_of(step.object), self._applicable(step.object, namespace))
        elif step.verb == "delete":
            kind = next(resource for resource in RESOURCES if resource.kind == step.kind)
            await self.client.delete(kind, step.name, namespace, grace_period_seconds=grace, propagation="Background")
        elif step.verb == "evict":
            await self.client.create(PODS, _eviction(step.name, namespace, grace), subresource="eviction")
        elif step.verb == "scale":
            patch = {"spec": {"replicas": int(step.value)}}
            await self.client.patch(DEPLOYMENTS, step.name, patch, namespace, subresource="scale")
        elif step.verb == "update":
            await self._update(step, namespace, *step.value.split("=", 1))
        elif step.verb == "stop kubelet" and self._agent:
            await self._agent.stop_kubelet()
        elif step.verb == "start kubelet" and self._agent:
            await self._agent.start_kubelet()
        elif step.verb == "undo":
            await self._undo(step.name, namespace, step.value)
        elif step.verb == "capacity":
            patch = {"status": {"capacity": {step.name: step.value}}}
            await self.client.patch(NODES, self.settings.name, patch, subresource="status")

    def _applicable(self, obj: Object, namespace: str) -> Object:
        found: Object = json.loads(json.dumps(in_namespace(obj, namespace)).replace("/tmp/", f"{self.scratch}/"))
        return found

    async def _update(self, step: Step, namespace: str, name: str, value: str) -> None:
        found = await self.client.get(DEPLOYMENTS, step.name, namespace)
        container = found["spec"]["template"]["spec"]["containers"][0]["name"]
        changed = {"name": container, "env": [{"name": name, "value": value}], **step.object}
        patch = {"spec": {"template": {"spec": {"containers": [changed]}}}}
        await self.client.patch(DEPLOYMENTS, step.name, patch, namespace, patch_type="strategic")

    async def _undo(self, deployment: str, namespace: str, revision: str) -> None:
        """What ``kubectl rollout undo`` does: the pod template of a revision, or of the one before, comes back."""
        sets = {
            int((obj["metadata"].get("annotations") or {}).get(_REVISION, 0)): obj
            for obj in (await self.client.list(REPLICA_SETS, namespace)).items
            if any(owner["name"] == deployment for owner in obj["metadata"].get("ownerReferences", ()))
        }
        wanted = sets[int(revision) or sorted(sets)[-2]]["spec"]["template"]
        labels = {k: v for k, v in wanted["metadata"]["labels"].items() if k != "pod-template-hash"}
        template = {**wanted, "metadata": {**wanted["metadata"], "labels": labels}}
        patch = [{"op": "replace", "path": "/spec/template", "value": template}]
        await self.client.patch(DEPLOYMENTS, deployment, patch, namespace, patch_type="json")


def resource_of(obj: Object) -> Resource:
    """The resource of an object's kind. Raises NotServed."""
    found = BY_KIND.get((obj["apiVersion"], obj["kind"]))
    if found is None:
        raise NotServed(f"{obj['apiVersion']} {obj['kind']} is not served")
    return found


def in_namespace(obj: Object, namespace: str) -> Object:
    """A copy of the object that says its namespace."""
    copy: Object = json.loads(json.dumps(obj))
    if resource_of(copy).namespaced:
        copy["metadata"]["namespace"] = namespace
    for container in copy["spec"]["containers"] if copy["kind"] == "Pod" else ():
        if "command" in container:
            container["command"] = with_rooted_mounts(container)
    return copy


def with_rooted_mounts(container: Object) -> list[str]:
    """The command, with mount paths inside a shell script below the container's root: there is no mount namespace."""
    command = [str(word) for word in container.get("command") or []]
    if command[:2] == ["sh", "-c"]:
        for mount in container.get("volumeMounts") or []:
            path = re.escape(mount["mountPath"].rstrip("/"))
            command[2] = re.sub(rf"(?<![\w/]){path}(?=/)", f"$GAMEDAY_ROOTFS{mount['mountPath']}", command[2])
    return command


@asynccontextmanager
async def running(recording: Recording) -> AsyncIterator[Lab]:
    """The cluster of one recording: the API, controllers, scheduler, Services and the one node, which is ready."""
    with tempfile.TemporaryDirectory(prefix="conformance-") as place, contextlib.closing(Subnet.claim()) as subnet:
        registry = Registry(Store(), service_addresses=subnet.pool("service").next_address)
        bootstrap(registry)
        client = LocalClient(registry)
        network = Network(client)
        lab = await _assemble(client, subnet, recording, Path(place), network)
        work = asyncio.create_task(_components(client, network, lab))
        try:
            await _ready(client, lab.settings.name, recording.namespace)
            yield lab
            if work.done():
                work.result()
        finally:
            work.cancel()
            await asyncio.wait([work])
            await lab.stop_node()
            network.stop()


async def _assemble(client: ApiClient, subnet: Subnet, recording: Recording, place: Path, network: Network) -> Lab:
    image_map = place / "images.yaml"
    image_map.write_text(yaml.safe_dump({"images": [*image_rows(recording)]}), encoding="utf-8")
    nodes = subnet.pool("node")
    addresses = await network.start(nodes.next_address())
    settings = NodeSettings(
        name=_node_name(recording),
        address=nodes.next_address(),
        root=place / "node",
        capacity={"cpu": "2", "memory": "24682416Ki", "pods": "110", "ephemeral-storage": "264212084Ki"},
        dns=addresses.dns,
        relay=addresses.relay,
        pod_shim=POD_SHIM,
    )
    await client.create(NAMESPACES, {"metadata": {"name": recording.namespace}})
    (scratch := place / "tmp").mkdir()
    return Lab(client, ImageMap.load(image_map), settings, subnet.pool("pod"), scratch)


async def _components(client: ApiClient, network: Network, lab: Lab) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(run_controllers(client, ControllerSettings()))
        group.create_task(run_scheduler(client))
        group.create_task(network.run())
        lab.start_node()


async def _ready(client: ApiClient, node: str, namespace: str) -> None:
    """Wait until the node takes pods and the namespace has its service account."""
    async with asyncio.timeout(_START_SECONDS):
        listed = await client.list(NODES)
        if any(_takes_pods(obj) for obj in listed.items):
            return
        async for event in client.watch(NODES, resource_version=listed.resource_version):
            if event.object["metadata"].get("name") == node and _takes_pods(event.object):
                return


def _takes_pods(node: Object) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or []
    ready = any((c["type"], c["status"]) == ("Ready", "True") for c in conditions)
    return ready and not (node.get("spec") or {}).get("taints")


def image_rows(recording: Recording) -> Iterable[Object]:
    """Rows of an image map: an image that was there is played by the machine's programs, the others fail alike."""
    messages = [str(e.object.get("message", "")) for e in recording.timeline if e.resource == "events"]
    present = {match[1] for message in messages if (match := _PRESENT.search(message))} | _ran(recording)
    failed = dict(match.groups() for message in messages if (match := _FAILED.search(message)))
    for reference in sorted(present):
        repository, _, tag = reference.rpartition(":")
        yield {"repository": repository, "tags": [tag]}
    for reference, failure in sorted(failed.items()):
        repository, _, tag = reference.rpartition(":")
        yield {"repository": repository, "tags": [tag], "failure": failure}


def _ran(recording: Recording) -> set[str]:
    """Images of containers that ran."""
    return {
        str(status["image"])
        for entry in recording.timeline
        if entry.resource == "pods"
        for status in (entry.object.get("status") or {}).get("containerStatuses") or []
        if status.get("containerID")
    }


def _node_name(recording: Recording) -> str:
    for entry in recording.timeline:
        if entry.resource == "pods" and (name := (entry.object.get("spec") or {}).get("nodeName")):
            return str(name)
    return "lab-node"


def _eviction(name: str, namespace: str, grace: int | None) -> Object:
    eviction: Object = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace},
    }
    return eviction | ({"deleteOptions": {"gracePeriodSeconds": grace}} if grace is not None else {})
