"""The life of one container of a pod: image, configuration, runs, restarts with back-off, the end."""

from __future__ import annotations

import asyncio
from pathlib import Path

from cluster.embedded.node import podspec
from cluster.embedded.node.backoff import RestartBackOff
from cluster.embedded.node.context import PROJECT_ROOT, PodContext, StopFlag, search_path
from cluster.embedded.node.durations import go_duration
from cluster.embedded.node.environment import ConfigError, command_line, variables
from cluster.embedded.node.hooks import run_post_start, run_pre_stop
from cluster.embedded.node.images import Image, ImageNotFound
from cluster.embedded.node.instance import Instance, Plan, StartError
from cluster.embedded.node.logs import ContainerLog
from cluster.embedded.node.probing import Prober
from cluster.embedded.node.status import ContainerView, wall_clock
from cluster.embedded.node.volumes import rewrite
from cluster.embedded.resources import Object

_MINIMUM_GRACE_SECONDS = 2.0
_RETRY_PERIODS = 12.5
_LONG_BACKOFF_REMINDER_SECONDS = 60.0
_PRESENT = "already present on machine and can be accessed by the pod"
_START_ERROR = 128
_EPOCH = "1970-01-01T00:00:00Z"
_SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"


class ContainerRunner:
    """Runs one container of a pod until it ends for good.

    Attributes:
        view: its state, for the pod's status.
        instance: the current or last run.
        logs: of the current run and the one before.
        started: set once the container runs and its startup probe passed.
        attempted: set once the first attempt to start it is over, whatever came of it.
    """

    def __init__(self, context: PodContext, spec: Object, *, is_init: bool = False, reason: str = "") -> None:
        settings = context.node.settings
        self.name = str(spec["name"])
        self.view = ContainerView(self.name, {"waiting": {"reason": reason or "ContainerCreating"}})
        self.instance: Instance | None = None
        self.logs: list[ContainerLog] = []
        self.started = asyncio.Event()
        self.attempted = asyncio.Event()
        self._context = context
        self._is_init = is_init
        self._original = spec
        self._stop = StopFlag()
        self._runs = 0
        self._image_id = ""
        self._image_delay_seconds = 0.0
        self._killed_by_probe = False
        self._prober: Prober | None = None
        self._backoff = RestartBackOff(
            settings.restart_backoff_base_seconds,
            settings.restart_backoff_max_seconds,
            settings.backoff_reset_seconds,
        )

    @property
    def spec(self) -> Object:
        """The container's spec as last seen (its image may be changed in place)."""
        return podspec.container(self._context.pod, self.name) or self._original

    async def run(self) -> None:
        """Run and restart, as the restart policy says, until it ends for good or is stopped."""
        end_before: float | None = None
        while (plan := await self._plan()) is not None and not self._stop:
            await self._run_once(plan)
            ended_at = asyncio.get_running_loop().time()
            killed_by_probe, self._killed_by_probe = self._killed_by_probe, False
            if not self._restarts():
                if not self._stop:
                    await self._context.publish()
                return
            await self._await_restart(ended_at, end_before if killed_by_probe else ended_at)
            end_before = ended_at
            self._runs += 1

    async def stop(self, grace_seconds: float, message: str) -> None:
        """End the container for good. Returns once its process is gone."""
        self._stop.set()
        self.attempted.set()
        self.view.stop_waiting()
        await self._end_instance(grace_seconds, message)

    def hasten(self, grace_seconds: float) -> None:
        """Cut the grace of a stop that is under way."""
        if self.instance is not None:
            delay = max(grace_seconds, _MINIMUM_GRACE_SECONDS)
            asyncio.get_running_loop().call_later(delay, self.instance.kill)

    async def leave_alone(self) -> None:
        """The kubelet is gone: probe no more."""
        await self._rest()

    async def take_over(self) -> None:
        """The kubelet is back: probe what runs, from the beginning."""
        if self._prober is None and self.instance is not None and self.view.is_running:
            self._prober = Prober(self._context, self, self.instance)
            self._prober.start()

    async def _rest(self) -> None:
        prober, self._prober = self._prober, None
        if prober is not None:
            await prober.stop()

    async def fail_probe(self, kind: str, grace_seconds: float | None) -> None:
        """End the current run since a probe failed; the restart policy decides on the next."""
        if self._stop:
            return
        self._killed_by_probe = True
        grace = podspec.grace_seconds(self._context.pod) if grace_seconds is None else grace_seconds
        await self._end_instance(grace, f"Container {self.name} failed {kind} probe, will be restarted")

    def mapped(self, words: list[str]) -> list[str]:
        """A command line with mount paths replaced by the folders that stand for them."""
        assert self.instance is not None
        return [rewrite(word, self.spec, self.instance.plan.root) for word in words]

    # -- before a run

    async def _plan(self) -> Plan | None:
        """What to start, once image and configuration can be had; None when stopped before."""
        retry_periods = 1.0
        while not self._stop:
            await self._context.node.kubelet.wait()
            image = await self._image()
            if image is None:
                continue
            reference = self.spec.get("image", "")
            self._event("Normal", "Pulled", f'Container image "{reference}" {_PRESENT}')
            try:
                return await self._configured(image)
            except ConfigError as error:
                self._event("Warning", "Failed", f"Error: {error}")
                await self._show_waiting("CreateContainerConfigError", str(error))
            await self._stop.pause(retry_periods * self._context.node.settings.sync_period_seconds)
            retry_periods = _RETRY_PERIODS
        return None

    async def _image(self) -> Image | None:
        """The image, or None after having waited for the next attempt."""
        reference = str(self.spec.get("image", ""))
        try:
            image = self._context.node.images.resolve(reference)
        except ImageNotFound as missing:
            if missing.reason == "InvalidImageName":
                await self._image_unusable(missing.reason, "InspectFailed", missing.message)
            elif podspec.pull_policy(self.spec) == "Never":
                message = f'Container image "{reference}" is not present with pull policy of Never'
                await self._image_unusable("ErrImageNeverPull", "ErrImageNeverPull", message)
            else:
                await self._pull_failed(reference, missing.message)
            return None
        self._image_id = image.identity
        return image

    async def _image_unusable(self, reason: str, event_reason: str, message: str) -> None:
        first = (self.view.state.get("waiting") or {}).get("reason") != reason
        self._event("Warning", event_reason, message)
        self._event("Warning", "Failed", f"Error: {reason}")
        await self._show_waiting(reason, message)
        await self._stop.pause((1 if first else _RETRY_PERIODS) * self._context.node.settings.sync_period_seconds)

    async def _pull_failed(self, reference: str, message: str) -> None:
        settings = self._context.node.settings
        self._event("Normal", "Pulling", f'Pulling image "{reference}"')
        self._event("Warning", "Failed", f'Failed to pull image "{reference}": {message}')
        self._event("Warning", "Failed", "Error: ErrImagePull")
        await self._show_waiting("ErrImagePull", message)
        longest = settings.restart_backoff_max_seconds
        doubled = self._image_delay_seconds * 2 or settings.restart_backoff_base_seconds
        self._image_delay_seconds = min(doubled, longest)
        if not await self._stop.pause(min(settings.sync_period_seconds, self._image_delay_seconds)):
            return
        self._event("Normal", "BackOff", f'Back-off pulling image "{reference}"')
        self._event("Warning", "Failed", "Error: ImagePullBackOff")
        await self._show_waiting("ImagePullBackOff", f'Back-off pulling image "{reference}": ErrImagePull: {message}')
        await self._stop.pause(self._image_delay_seconds - settings.sync_period_seconds)

    async def _configured(self, image: Image) -> Plan:
        context, spec = self._context, self.spec
        root = context.volumes.root(spec)
        wanted = await variables(context.node.client, context.pod, spec, context.facts)
        given = {**image.env, **{name: rewrite(value, spec, root) for name, value in wanted.items()}}
        env = {**self._cluster_variables(root), **given}
        shim = context.node.settings.pod_shim
        env["PATH"] = search_path([image.bin, context.node.interpreter_folder], given, "PATH", _SYSTEM_PATH)
        env["PYTHONPATH"] = search_path([shim, image.python, PROJECT_ROOT], given, "PYTHONPATH")
        argv = [rewrite(word, spec, root) for word in command_line(spec, image, env)]
        cwd = root.joinpath(*(part for part in str(spec.get("workingDir") or "").split("/") if part not in ("", "..")))
        cwd.mkdir(parents=True, exist_ok=True)
        memory, cpu = podspec.memory_limit_bytes(spec), podspec.cpu_limit(spec)
        stdin, once, tty = (bool(spec.get(key)) for key in ("stdin", "stdinOnce", "tty"))
        return Plan(argv, env, root, cwd, memory, cpu, stdin, once, tty)

    def _cluster_variables(self, root: Path) -> dict[str, str]:
        context, pod = self._context, self._context.pod
        holder = f"{podspec.uid(pod)}/{self.name}"
        devices = context.node.gpus.allocate(holder, podspec.gpus(self.spec))
        env = {
            **context.node.base_environment,
            "HOME": str(root / "root"),
            "TMPDIR": str(root / "tmp"),
            "HOSTNAME": str(pod["spec"].get("hostname") or podspec.name(pod)),
            "POD_IP": context.ip,
            "POD_NAMESPACE": podspec.namespace(pod),
            "GAMEDAY_ROOTFS": str(root),
        }
        return env | ({"NVIDIA_VISIBLE_DEVICES": ",".join(map(str, devices))} if devices else {})

    # -- a run

    async def _run_once(self, plan: Plan) -> None:
        self._event("Normal", "Created", "Container created")
        node = self._context.node
        instance = self.instance = Instance(plan, self._new_log(), node.launcher, node.monitor, node.cpu)
        self.view.container_id, self.view.image_id = instance.container_id, self._image_id
        try:
            await instance.start()
        except StartError as error:
            await self._start_failed(instance, str(error))
            return
        self._event("Normal", "Started", "Container started")
        started_at = wall_clock()
        if "terminated" in self.view.state:
            self.view.last_state = self.view.state
        self.view.state = {"running": {"startedAt": started_at}}
        self.view.restart_count = self._runs
        if not await run_post_start(self._context, self, instance):
            self._event("Warning", "FailedPostStartHook", "PostStartHook failed")
            self._event("Normal", "Killing", "FailedPostStartHook")
            await instance.stop(podspec.grace_seconds(self._context.pod))
        self.attempted.set()
        self._prober = Prober(self._context, self, instance)
        self._prober.start()
        await self._context.publish()
        code = await instance.wait()
        await self._rest()
        self.started.clear()
        self.view.passed_startup = self.view.passed_readiness = False
        self.view.state = {"terminated": self._terminated(instance, code, started_at)}
        await self._context.node.kubelet.wait()
        if not self._killed_by_probe and not self._stop:
            await self._context.publish()  # who stops a container says what came of it, once everything is done

    async def _start_failed(self, instance: Instance, error: str) -> None:
        message = (
            "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create "
            f"failed: unable to start container process: error during container init: {error}: unknown"
        )
        instance.log.close()
        self._event("Warning", "Failed", f"Error: {message}")
        self.view.restart_count = self._runs
        self.view.state = {
            "terminated": {
                "exitCode": _START_ERROR,
                "reason": "StartError",
                "message": message,
                "startedAt": _EPOCH,
                "finishedAt": wall_clock(),
                "containerID": instance.container_id,
            }
        }
        if self._restarts():
            self.view.waiting("RunContainerError", message)
        self.attempted.set()
        await self._context.publish()

    def _terminated(self, instance: Instance, code: int, started_at: str) -> Object:
        reason = "OOMKilled" if instance.oom_killed else "Completed" if code == 0 else "Error"
        message = ""
        if code and self.spec.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            message = instance.log.last_text(max_bytes=2048, max_lines=80)
        return {
            "exitCode": code,
            "reason": reason,
            **({"message": message} if message else {}),
            "startedAt": started_at,
            "finishedAt": wall_clock(),
            "containerID": instance.container_id,
        }

    def _new_log(self) -> ContainerLog:
        path = self._context.folder / "logs" / self.name / f"{self._runs}.log"
        log = ContainerLog(path, self._context.node.settings.log_max_bytes)
        for old in self.logs[:-1]:
            old.remove()
        self.logs = [*self.logs[-1:], log]
        return log

    async def _end_instance(self, grace_seconds: float, message: str) -> None:
        instance = self.instance
        if instance is None or instance.has_exited:
            return
        self._event("Normal", "Killing", message)
        began = asyncio.get_running_loop().time()
        if not await run_pre_stop(self._context, self, instance, grace_seconds):
            self._event("Warning", "FailedPreStopHook", "PreStopHook failed")
        left = grace_seconds - (asyncio.get_running_loop().time() - began)
        await instance.stop(max(left, _MINIMUM_GRACE_SECONDS))

    # -- after a run

    def _restarts(self) -> bool:
        if self._stop:
            return False
        policy = podspec.restart_policy(self._context.pod)
        if self._is_init:
            policy = "Always" if podspec.is_sidecar(self.spec) else "Never" if policy == "Never" else "OnFailure"
        ended = self.view.state.get("terminated") or self.view.last_state.get("terminated") or {}
        return policy == "Always" or (policy == "OnFailure" and ended.get("exitCode") != 0)

    async def _await_restart(self, ended_at: float, judged_end: float | None) -> None:
        """Wait until the container may start again.

        Args:
            ended_at: when the last run ended.
            judged_end: the end that decides whether there is a back-off at all: that of the run before, when a
                probe killed the last one, since the kubelet then decides before it has seen the run's end.
        """
        loop = asyncio.get_running_loop()
        if judged_end is None:
            return
        reminded = 0
        while (left := self._backoff.remaining(judged_end, loop.time())) > 0:
            judged_end = ended_at
            await self._back_off(left, reminded)
            reminded += 1
            if self._stop:
                return
        self._backoff.advance(judged_end, loop.time())

    async def _back_off(self, left: float, reminded: int) -> None:
        pod, settings = self._context.pod, self._context.node.settings
        place = f"{podspec.name(pod)}_{podspec.namespace(pod)}({podspec.uid(pod)})"
        self._event("Warning", "BackOff", f"Back-off restarting failed container {self.name} in pod {place}")
        if reminded == 0:
            unnoticed = min(settings.sync_period_seconds, self._backoff.delay_seconds / 10)
            await self._stop.pause(min(left, unnoticed))
            return
        delay = go_duration(self._backoff.delay_seconds)
        message = f"back-off {delay} restarting failed container={self.name} pod={place}"
        await self._show_waiting("CrashLoopBackOff", message)
        await self._stop.pause(min(left, _LONG_BACKOFF_REMINDER_SECONDS))

    async def _show_waiting(self, reason: str, message: str) -> None:
        self.view.waiting(reason, message)
        self.attempted.set()
        await self._context.publish()

    def _event(self, event_type: str, reason: str, message: str) -> None:
        self._context.event(self.name, event_type, reason, message)
