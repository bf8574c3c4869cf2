"""One pod on the node: address, volumes, containers in order, status, and the end."""

from __future__ import annotations

import asyncio
import logging
import math
import shutil

from cluster.embedded.client import ApiError
from cluster.embedded.node import podspec
from cluster.embedded.node.container import ContainerRunner
from cluster.embedded.node.context import NodeContext, PodContext, StopFlag, background
from cluster.embedded.node.status import NODE_SHUTDOWN, PodFacts, failed, pod_status, wall_clock
from cluster.embedded.node.volumes import MountError, PodVolumes
from cluster.embedded.resources import PODS, Object

log = logging.getLogger(__name__)

_SANDBOX_CHANGED = "Pod sandbox changed, it will be killed and re-created."
_FIRST_MOUNT_RETRY_SECONDS = 0.5
_LAST_MOUNT_RETRY_SECONDS = 122.0
_WRITE_RETRY_SECONDS = 1.0


class PodWorker:
    """Runs a pod from the moment the node sees it until its object is gone."""

    def __init__(self, node: NodeContext, pod: Object) -> None:
        self._node = node
        self._stop = StopFlag()
        self._terminated = False
        self._deleted = False
        self._sandbox_ready = False
        self._sandbox_seen = False
        self._starting = False
        self._finished = False
        self._failed: Object = {}
        self._start_time = wall_clock()
        self._written: Object | None = None
        self._write_lock = asyncio.Lock()
        folder = node.settings.root / "pods" / podspec.uid(pod)
        self._context = PodContext(
            node=node,
            pod=pod,
            folder=folder,
            volumes=PodVolumes(node.client, folder, node.settings.root / "hostpath", node.tokens),
            publish=self.publish,
            began=asyncio.get_running_loop().time(),
        )
        reason = "PodInitializing" if podspec.init_containers(pod) else ""
        self.runners = {
            spec["name"]: ContainerRunner(self._context, spec, is_init=is_init, reason=reason)
            for is_init, specs in ((True, podspec.init_containers(pod)), (False, podspec.containers(pod)))
            for spec in specs
        }
        self._sidecars: dict[str, asyncio.Task[None]] = {}
        self._main: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._grace_seconds = math.inf
        self._gone = asyncio.Event()

    @property
    def pod(self) -> Object:
        return self._context.pod

    @property
    def address(self) -> str:
        """The pod's IP while it has a network, else empty."""
        return self._context.ip if self._sandbox_ready else ""

    def start(self) -> None:
        """Run the pod; one that ran before the machine's restart runs again in a new sandbox."""
        before = self.pod.get("status") or {}
        known = [*(before.get("initContainerStatuses") or []), *(before.get("containerStatuses") or [])]
        if any(status.get("containerID") for status in known):
            self._context.event("", "Normal", "SandboxChanged", _SANDBOX_CHANGED)
            for status in known:
                if status["name"] in self.runners:
                    self.runners[status["name"]].resume(status)
        self._main = background(self._run(), f"pod {podspec.name(self.pod)}")

    def update(self, pod: Object) -> None:
        """Take note of the object as it is now; a deletion begins the end."""
        self._context.pod = pod
        if podspec.is_terminating(pod):
            self.end(podspec.deletion_grace_seconds(pod))

    def forget(self) -> None:
        """The object is gone from the API: end without a grace, and write nothing any more."""
        self._deleted = True
        self.end(0)

    def end(self, grace_seconds: float) -> None:
        """End all containers, then the pod. A second call can only shorten the grace."""
        shorter, self._grace_seconds = grace_seconds < self._grace_seconds, grace_seconds
        if self._ending is None:
            self._stop.set()
            self._ending = background(self._end(grace_seconds), f"end of pod {podspec.name(self.pod)}")
            return
        for runner in self.runners.values() if shorter else ():
            runner.hasten(grace_seconds)

    async def shut_down(self, longest_seconds: float) -> None:
        """End since the machine is about to be switched off; the object stays, and says so."""
        self._failed = NODE_SHUTDOWN
        self.end(min(longest_seconds, podspec.grace_seconds(self.pod)))
        await self.ended()

    async def ended(self) -> None:
        """Wait until the pod has ended and its folder is gone."""
        await self._gone.wait()

    def abandon(self) -> None:
        """Stop all work at once; the processes are killed by whoever owns the launcher."""
        tasks = [self._main, self._ending, *self._sidecars.values()]
        for task in tasks:
            if task is not None:
                task.cancel()

    async def leave_alone(self) -> None:
        """The kubelet is gone: the containers go on, unobserved."""
        for runner in self.runners.values():
            await runner.leave_alone()

    async def take_over(self) -> None:
        """The kubelet is back: say how the pod is, whatever was said of it meanwhile, and probe it again."""
        for runner in self.runners.values():
            await runner.take_over()
        self._written = None
        await self.publish()

    async def refresh_volumes(self) -> None:
        """Bring mounted ConfigMaps and Secrets up to date."""
        if self._sandbox_ready and not self._stop:
            try:
                await self._context.volumes.set_up(self.pod, self._context.facts)
            except MountError as error:
                self._context.event("", "Warning", "FailedMount", str(error))

    async def publish(self) -> None:
        """Write the status if it changed."""
        async with self._write_lock:
            if self._deleted or self._starting or not self._node.kubelet.is_running:
                return
            views = {name: runner.view for name, runner in self.runners.items()}
            facts = PodFacts(
                host_ip=self._node.settings.address,
                pod_ip=self._context.ip if self._sandbox_seen else "",
                start_time=self._start_time,
                sandbox_ready=self._sandbox_ready,
                terminating=self._terminated,
                finished=self._finished,
                last_phase=(self._written or {}).get("phase", "Pending"),
            )
            previous = (self._written or {}).get("conditions") or []
            status = pod_status(self.pod, views, facts, previous)
            if self._failed and self._terminated:
                status = failed(status, self._failed, self._written)
            if status != self._written:
                await self._write(status)

    async def _write(self, status: Object) -> None:
        pod = self.pod
        try:
            await self._node.client.patch(
                PODS, podspec.name(pod), {"status": status}, podspec.namespace(pod), subresource="status"
            )
        except ApiError as error:
            if error.code != 404:
                log.warning("status of pod %s/%s: %s", podspec.namespace(pod), podspec.name(pod), error)
                asyncio.get_running_loop().call_later(_WRITE_RETRY_SECONDS, self._republish)
            return
        self._written = status

    def _republish(self) -> None:
        self._retry = background(self.publish(), "status of a pod")

    async def _run(self) -> None:
        settings = self._node.settings
        self._context.facts = {
            "hostIP": settings.address,
            "cpu": settings.capacity.get("cpu", "0"),
            "memory": settings.capacity.get("memory", "0"),
        }
        await self.publish()
        self._context.facts["podIP"] = self._node.network.allocate(podspec.uid(self.pod))
        if not await self._set_up_volumes():
            return
        self._sandbox_ready = True
        await self.publish()
        self._sandbox_seen = True
        if not await self._initialize():
            if not self._stop:
                await self._finish()
            return
        for spec in podspec.containers(self.pod):
            view = self.runners[spec["name"]].view
            if "PodInitializing" in str(view.state):
                view.waiting("ContainerCreating")
        await self._run_containers()
        if not self._stop:
            await self._finish()

    async def _run_containers(self) -> None:
        """Start the containers one after the other, tell of it when all were tried, and wait until they ended."""
        async with asyncio.TaskGroup() as group:
            self._starting = True
            for spec in podspec.containers(self.pod):
                runner = self.runners[spec["name"]]
                group.create_task(runner.run())
                await runner.attempted.wait()
            self._starting = False
            await self.publish()

    async def _set_up_volumes(self) -> bool:
        delay_seconds = _FIRST_MOUNT_RETRY_SECONDS
        while not self._stop:
            try:
                await self._context.volumes.set_up(self.pod, self._context.facts)
            except MountError as error:
                self._context.event("", "Warning", "FailedMount", str(error))
            else:
                return True
            await self._stop.pause(delay_seconds)
            delay_seconds = min(delay_seconds * 2, _LAST_MOUNT_RETRY_SECONDS)
        return False

    async def _initialize(self) -> bool:
        """Run the init containers one after the other; False when they did not all succeed."""
        for spec in podspec.init_containers(self.pod):
            runner = self.runners[spec["name"]]
            if podspec.is_sidecar(spec):
                self._sidecars[spec["name"]] = background(runner.run(), f"sidecar {runner.name}")
                await self._started_or_stopped(runner)
            else:
                await runner.run()
                if runner.view.exit_code != 0:
                    return False
            if self._stop:
                return False
        return True

    async def _started_or_stopped(self, runner: ContainerRunner) -> None:
        started = asyncio.create_task(runner.started.wait())
        stopped = asyncio.create_task(self._stop.wait())
        await asyncio.wait({started, stopped}, return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        stopped.cancel()

    async def _finish(self) -> None:
        """No container runs any more or will: give back what the pod held."""
        if self._sidecars:
            self._sandbox_ready = False
            await self._stop_sidecars()
            await self.publish()
        self._sandbox_ready, self._finished = False, True
        self._node.gpus.release(podspec.uid(self.pod))
        await self.publish()

    async def _stop_sidecars(self) -> None:
        """End the sidecars, the last one first."""
        grace = podspec.deletion_grace_seconds(self.pod)
        for name in reversed(list(self._sidecars)):
            await self.runners[name].stop(grace, f"Stopping container {name}")
            await self._sidecars[name]

    async def _end(self, grace_seconds: float) -> None:
        self._starting = False
        await self.publish()
        others = [runner for name, runner in self.runners.items() if name not in self._sidecars]
        await asyncio.gather(*(r.stop(grace_seconds, f"Stopping container {r.name}") for r in others))
        if self._main is not None:
            await self._main
        await self._stop_sidecars()
        self._terminated, self._sandbox_ready = True, False
        await self.publish()
        self._node.network.release(podspec.uid(self.pod))
        self._node.gpus.release(podspec.uid(self.pod))
        if not self._failed or podspec.is_terminating(self.pod):
            await self._delete_object()
        for runner in self.runners.values():
            for stored in runner.logs:
                stored.close()
        shutil.rmtree(self._context.folder, ignore_errors=True)
        self._gone.set()

    async def _delete_object(self) -> None:
        pod = self.pod
        while not self._deleted:
            await self._node.kubelet.wait()
            try:
                await self._node.client.delete(
                    PODS,
                    podspec.name(pod),
                    podspec.namespace(pod),
                    grace_period_seconds=0,
                    uid=podspec.uid(pod),
                )
            except ApiError as error:
                if error.code not in (404, 409):
                    log.warning("deletion of pod %s/%s: %s", podspec.namespace(pod), podspec.name(pod), error)
                    await asyncio.sleep(_WRITE_RETRY_SECONDS)
                    continue
            return
