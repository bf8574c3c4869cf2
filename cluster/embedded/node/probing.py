"""Keeps probing one run of a container, and tells the container what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import Protocol

from cluster.embedded.node import podspec
from cluster.embedded.node.context import PodContext, background
from cluster.embedded.node.instance import Instance
from cluster.embedded.node.probes import Attempt, Outcome, ProbeSettings, ResultCounter, attempt
from cluster.embedded.node.status import ContainerView
from cluster.embedded.resources import Object

_RELIST_SECONDS = 1.0
_SETTLE_SECONDS = 0.1


class Probed(Protocol):
    """What a prober needs of a container."""

    name: str
    view: ContainerView
    started: asyncio.Event

    @property
    def spec(self) -> Object: ...

    async def fail_probe(self, kind: str, grace_seconds: float | None) -> None: ...

    def mapped(self, words: list[str]) -> list[str]: ...


class Prober:
    """The probes of one run.

    Ticks are a period apart, counted from when the node took the pod, as a kubelet's are; only the first readiness
    attempt comes at once.
    """

    def __init__(self, context: PodContext, container: Probed, instance: Instance) -> None:
        self._context = context
        self._container = container
        self._instance = instance
        self._tasks: list[asyncio.Task[None]] = []
        self._attempts: set[asyncio.Future[Attempt]] = set()
        self._began = asyncio.get_running_loop().time()
        self._look = asyncio.Event()
        self._readiness_base = context.began

    def start(self) -> None:
        """Set the initial results, and start to probe."""
        spec, view = self._container.spec, self._container.view
        view.passed_startup = "startupProbe" not in spec
        view.passed_readiness = "readinessProbe" not in spec
        if view.passed_startup:
            self._container.started.set()
        probes = {"startup": self._startup, "readiness": self._readiness, "liveness": self._liveness}
        for kind, probing in probes.items():
            if probe := spec.get(f"{kind}Probe"):
                self._tasks.append(
                    background(probing(probe, ProbeSettings.read(probe)), f"{kind} probe of {self._container.name}")
                )

    async def stop(self) -> None:
        """Probe no more; an attempt that the end of the container has broken off is told of first."""
        for task in self._tasks:
            task.cancel()
        if self._attempts:
            await asyncio.wait(self._attempts, timeout=_SETTLE_SECONDS)

    async def _startup(self, probe: Object, settings: ProbeSettings) -> None:
        counter = ResultCounter(settings)
        while True:
            await self._tick(settings)
            result = counter.add((await self._attempt("Startup", probe)).outcome)
            if result is False:
                await self._container.fail_probe("startup", settings.grace_seconds)
                return
            if result is True:
                self._container.view.passed_startup = True
                self._container.started.set()
                await self._context.publish()
                return

    async def _readiness(self, probe: Object, settings: ProbeSettings) -> None:
        await self._container.started.wait()
        await self._initial_delay(settings)
        counter, view = ResultCounter(settings), self._container.view
        # A kubelet learns of a new container when it next lists those of its runtime: after half the period on average.
        noticed = asyncio.get_running_loop().call_later(_RELIST_SECONDS / 2, self._look.set)
        try:
            while True:
                result = counter.add((await self._attempt("Readiness", probe)).outcome)
                if result is not None and result is not view.passed_readiness:
                    view.passed_readiness = result
                    await self._context.publish()
                    self._look.set()
                await self._tick_or_look(settings)
        finally:
            noticed.cancel()

    async def _liveness(self, probe: Object, settings: ProbeSettings) -> None:
        await self._container.started.wait()
        counter = ResultCounter(settings)
        while True:
            await self._tick(settings)
            if counter.add((await self._attempt("Liveness", probe)).outcome) is False:
                await self._container.fail_probe("liveness", settings.grace_seconds)
                return

    async def _attempt(self, kind: str, probe: Object) -> Attempt:
        running = asyncio.ensure_future(self._complete(kind, probe))
        self._attempts.add(running)
        running.add_done_callback(self._attempts.discard)
        return await asyncio.shield(running)

    async def _complete(self, kind: str, probe: Object) -> Attempt:
        """An attempt that is told to its end, even when the container ends meanwhile and is not probed any more."""
        result = await attempt(probe, self._container.spec, self._context.ip, self._run_command)
        is_ending = podspec.is_terminating(self._context.pod)
        if is_ending:  # a probe and the end it meets come in any order
            await asyncio.wait([asyncio.ensure_future(self._instance.gone())], timeout=_SETTLE_SECONDS / 2)
        gone = self._instance.has_exited
        if gone and ("exec" in probe or is_ending):
            return Attempt(Outcome.UNKNOWN)
        if result.outcome is Outcome.FAILURE:
            self._warn(f"{kind} probe failed: {result.output}")
        elif result.outcome is Outcome.UNKNOWN:
            self._warn(f"{kind} probe errored and resulted in unknown state: {result.output}")
        return Attempt(Outcome.UNKNOWN) if gone else result

    async def _run_command(self, argv: list[str], timeout_seconds: float) -> tuple[int, str]:
        return await self._instance.run_command(self._container.mapped(argv), timeout_seconds)

    async def _tick(self, settings: ProbeSettings) -> None:
        """Wait for the next tick of the probe's period, and at least for the initial delay."""
        await self._initial_delay(settings)
        now = asyncio.get_running_loop().time()
        await asyncio.sleep(_next_tick(self._context.began, settings.period_seconds, now) - now)

    async def _tick_or_look(self, settings: ProbeSettings) -> None:
        """Wait for the next tick, or less when the pod is looked at while the container is not ready.

        Looking starts the period over (Kubernetes: a manual run resets the worker's ticker).
        """
        loop = asyncio.get_running_loop()
        if self._container.view.passed_readiness:
            self._look.clear()
        due = _next_tick(self._readiness_base, settings.period_seconds, loop.time())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(due):
                await self._look.wait()
                self._look.clear()
                self._readiness_base = loop.time()

    async def _initial_delay(self, settings: ProbeSettings) -> None:
        left = self._began + settings.initial_delay_seconds - asyncio.get_running_loop().time()
        if left > 0:
            await asyncio.sleep(left)

    def _warn(self, message: str) -> None:
        self._context.event(self._container.name, "Warning", "Unhealthy", message)


def _next_tick(base: float, period_seconds: float, now: float) -> float:
    return base + (math.floor((now - base) / period_seconds) + 1) * period_seconds
