"""The node agent: follows the pods bound to its node and gives each a worker."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any

from cluster.embedded.apiserver import status as api_status
from cluster.embedded.apiserver.pod_streams import ExecSession, LogOptions, PodConnection
from cluster.embedded.apiserver.usage import NodeUsage
from cluster.embedded.client import ApiClient, ApiError
from cluster.embedded.informer import Informer
from cluster.embedded.node import podspec, port_forward, streams
from cluster.embedded.node.container import ContainerRunner
from cluster.embedded.node.context import Gpus, NodeContext, make_interpreter_folder
from cluster.embedded.node.cpu import CpuMonitor
from cluster.embedded.node.images import ImageMap
from cluster.embedded.node.instance import Instance
from cluster.embedded.node.kubelet import Kubelet
from cluster.embedded.node.memory import MemoryMonitor
from cluster.embedded.node.pod import PodWorker
from cluster.embedded.node.processes import Launcher
from cluster.embedded.node.registration import NodeRegistration
from cluster.embedded.node.settings import NodeSettings, PodNetwork, Recorder
from cluster.embedded.node.status import REJECTED_BY_SHUTDOWN
from cluster.embedded.node.tokens import PodTokens
from cluster.embedded.node.usage import UsageMeter
from cluster.embedded.resources import CONFIG_MAPS, NODES, PODS, SECRETS, Object

log = logging.getLogger(__name__)
KUBELET_ANNOTATION = "chaos.gameday.dev/kubelet"
"""On a Node: ``stopped`` stops its kubelet, while the containers go on; ``shutdown`` switches the machine off in good
order; its removal starts the kubelet again."""
_RENEWAL_SECONDS = 30.0
"""How often tokens are looked at; the shortest lives for ten minutes."""


class NodeAgent:
    """Plays kubelet and container runtime of one node; serves logs and exec of its pods (``PodStreams``).

    Must run on an event loop whose thread lives as long as the containers should.

    Args:
        client: the API.
        settings: name, address, state folder, capacity and timings.
        images: which programs play which images.
        network: hands out pod addresses.
        recorder: writes events.
    """

    def __init__(
        self,
        client: ApiClient,
        settings: NodeSettings,
        images: ImageMap,
        network: PodNetwork,
        recorder: Recorder,
    ) -> None:
        self._client = client
        self._settings = settings
        self._kubelet = Kubelet(settings.address)
        self._registration = NodeRegistration(client, settings, self._kubelet)
        self._pods = Informer(client, PODS, fields=f"spec.nodeName={settings.name}")
        self._launcher = Launcher()
        self._monitor = MemoryMonitor(settings.memory_poll_seconds)
        self._cpu = CpuMonitor()
        self._usage = UsageMeter(settings.metrics_window_seconds)
        self._workers: dict[str, PodWorker] = {}
        self._chores: set[asyncio.Task[None]] = set()
        self._stale: set[str] = set()
        self._told = ""
        self._orders = {"stopped": self.stop_kubelet, "shutdown": self.shut_down}
        self._context = NodeContext(
            client=client,
            settings=settings,
            images=images,
            network=network,
            recorder=recorder,
            launcher=self._launcher,
            monitor=self._monitor,
            cpu=self._cpu,
            gpus=Gpus(),
            tokens=PodTokens(client),
            kubelet=self._kubelet,
            interpreter_folder=settings.root / "interpreter",
        )

    async def run(self) -> None:
        """Register the node and run its pods until cancelled; then kill every container."""
        self._settings.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        make_interpreter_folder(self._context.interpreter_folder)
        self._launcher.start()
        try:
            await self._registration.register()
            async with asyncio.TaskGroup() as group:
                for follower in self._followers():
                    group.create_task(follower.run())
                group.create_task(self._registration.heartbeat())
                group.create_task(self._monitor.run())
                group.create_task(self._cpu.run())
                group.create_task(self._usage.run(self._instances))
                group.create_task(self._renew_tokens())
        finally:
            for worker in self._workers.values():
                worker.abandon()
            for chore in self._chores:
                chore.cancel()
            self._launcher.stop()

    async def stop_kubelet(self) -> None:
        """Stop reporting, probing, restarting and ending; the containers go on (Kubernetes: the node becomes lost)."""
        self._kubelet.stop()
        for worker in list(self._workers.values()):
            await worker.leave_alone()

    async def shut_down(self) -> None:
        """Switch the machine off in good order: tell of it, end all pods, and be gone (Kubernetes: Node Shutdowns)."""
        self._registration.shutting_down = True
        await self._registration.report()
        longest_seconds = self._settings.shutdown_grace_seconds
        await asyncio.gather(*(worker.shut_down(longest_seconds) for worker in list(self._workers.values())))
        self._kubelet.stop()

    async def start_kubelet(self) -> None:
        """Be there again: report the node, then see to what became of its pods and of what they should be."""
        self._kubelet.start()
        self._registration.shutting_down = False
        self._context.recorder.forget()
        await self._registration.register()
        await self._registration.renew()
        known = {podspec.uid(pod): pod for pod in self._pods.objects.values()}
        for uid, worker in list(self._workers.items()):
            if uid in known:
                await worker.take_over()
            else:
                worker.forget()
        for pod in known.values():
            self._pod_seen(pod)

    def logs(self, namespace: str, pod: str, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        """Log lines of a container. Raises ApiError (at the first line) for a log that is not there."""
        return self._logs(namespace, pod, container, options)

    async def exec(
        self, namespace: str, pod: str, container: str, command: list[str], *, stdin: bool, tty: bool
    ) -> ExecSession:
        """Start a command in a running container. Raises ApiError."""
        runner = self._runner(namespace, pod, container)
        return await streams.start_command(runner, command, stdin=stdin, tty=tty)

    async def reach(self, namespace: str, pod: str) -> None:
        """See PodStreams. Raises ApiError 500 while the kubelet is gone."""
        if not self._kubelet.is_running:
            raise api_status.internal_error(f"error dialing backend: {self._kubelet.refusal}")

    async def attach(self, namespace: str, pod: str, container: str, *, stdin: bool) -> ExecSession:
        """Follow and feed a running container. Raises ApiError."""
        return streams.attach(self._runner(namespace, pod, container), stdin=stdin)

    async def connect(self, namespace: str, pod: str, port: int) -> PodConnection:
        """Connect to a port of a running pod. Raises ApiError and PortUnreachable."""
        return await port_forward.connect(self._worker(namespace, pod), port)

    def usage(self) -> NodeUsage | None:
        """What the node and its pods used in the last window; None before the first has passed."""
        if not self._kubelet.is_running:
            return None
        return self._usage.node(self._settings.name, self._workers.values())

    def _instances(self) -> Iterator[Instance]:
        for worker in self._workers.values():
            for runner in worker.runners.values():
                if runner.instance is not None:
                    yield runner.instance

    async def _logs(self, namespace: str, pod: str, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        stored = streams.find_log(self._runner(namespace, pod, container), pod, previous=options.previous)
        async for line in stored.read(options):
            yield line

    def _runner(self, namespace: str, name: str, container: str) -> ContainerRunner:
        worker = self._worker(namespace, name)
        return streams.choose_container(worker.pod, worker.runners, container)

    def _worker(self, namespace: str, name: str) -> PodWorker:
        if not self._kubelet.is_running:
            raise api_status.internal_error(self._kubelet.refusal)
        for worker in self._workers.values():
            if (podspec.namespace(worker.pod), podspec.name(worker.pod)) == (namespace, name):
                return worker
        raise api_status.not_found(PODS, name)

    def _followers(self) -> list[Informer]:
        self._pods.add_handler(self._pod_changed)
        node = Informer(self._client, NODES, fields=f"metadata.name={self._settings.name}")
        node.add_handler(self._node_changed)
        sources = [Informer(self._client, resource) for resource in (CONFIG_MAPS, SECRETS)]
        for informer in sources:
            informer.add_handler(self._source_changed)
        return [self._pods, node, *sources]

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        if not self._kubelet.is_running:
            return
        replaced = old is not None and (new is None or podspec.uid(old) != podspec.uid(new))
        if old is not None and replaced and podspec.uid(old) in self._workers:
            self._workers[podspec.uid(old)].forget()
        if new is not None:
            self._pod_seen(new)

    def _pod_seen(self, pod: Object) -> None:
        worker = self._workers.get(podspec.uid(pod))
        if worker is None:
            self._admit(pod)
        else:
            worker.update(pod)

    def _admit(self, pod: Object) -> None:
        if podspec.is_finished(pod) and not podspec.is_terminating(pod):
            return
        if self._registration.shutting_down:
            self._do(self._reject(pod))
            return
        worker = self._workers[podspec.uid(pod)] = PodWorker(self._context, pod)
        if podspec.is_terminating(pod):
            worker.update(pod)
        else:
            worker.start()
        self._do(self._release_when_ended(worker))

    async def _reject(self, pod: Object) -> None:
        """Run nothing on a machine that is being switched off; what ended for that says so already."""
        now = await self._client.get(PODS, podspec.name(pod), podspec.namespace(pod))
        if podspec.uid(now) == podspec.uid(pod) and not podspec.is_finished(now):
            patch = {"status": REJECTED_BY_SHUTDOWN}
            await self._client.patch(PODS, podspec.name(pod), patch, podspec.namespace(pod), subresource="status")

    async def _release_when_ended(self, worker: PodWorker) -> None:
        await worker.ended()
        self._context.tokens.forget(worker.pod)
        self._workers.pop(podspec.uid(worker.pod), None)

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            return
        told = str((new["metadata"].get("annotations") or {}).get(KUBELET_ANNOTATION, ""))
        if told != self._told:
            self._told = told
            self._do(self._orders.get(told, self.start_kubelet)())
        elif self._kubelet.is_running:
            self._do(self._registration.follow_capacity(new))

    def _source_changed(self, old: Object | None, new: Object | None) -> None:
        """Note whose volumes may be stale; they are refreshed one sync period later."""
        obj = new or old
        if obj is None or old is None or not self._kubelet.is_running:
            return
        key = _source_key(obj)
        users = {uid for uid, worker in self._workers.items() if key in _mounted(worker.pod)}
        if users and not self._stale:
            self._do(self._refresh_stale())
        self._stale |= users

    async def _renew_tokens(self) -> None:
        while True:
            await asyncio.sleep(_RENEWAL_SECONDS)
            for worker in list(self._workers.values()):
                if self._context.tokens.due(worker.pod):
                    await worker.refresh_volumes()

    async def _refresh_stale(self) -> None:
        await asyncio.sleep(self._settings.sync_period_seconds)
        stale, self._stale = self._stale, set()
        for uid in stale:
            if worker := self._workers.get(uid):
                await worker.refresh_volumes()

    def _do(self, chore: Coroutine[Any, Any, None]) -> None:
        async def guarded() -> None:
            with contextlib.suppress(asyncio.CancelledError):
                try:
                    await chore
                except ApiError as error:
                    log.warning("node %s: %s", self._settings.name, error)

        task = asyncio.create_task(guarded())
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)


def _source_key(obj: Object) -> tuple[str, str, str]:
    return obj["kind"], obj["metadata"].get("namespace") or "", obj["metadata"]["name"]


def _mounted(pod: Object) -> set[tuple[str, str, str]]:
    """ConfigMaps and Secrets in the pod's volumes."""
    found: set[tuple[str, str, str]] = set()
    for volume in pod["spec"].get("volumes") or []:
        for source in (volume, *(volume.get("projected") or {}).get("sources", [])):
            for key, kind in (("configMap", "ConfigMap"), ("secret", "Secret")):
                if reference := source.get(key):
                    name = reference.get("name") or reference.get("secretName") or ""
                    found.add((kind, podspec.namespace(pod), name))
    return found
