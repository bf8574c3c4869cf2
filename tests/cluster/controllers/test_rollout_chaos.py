"""With real controllers, late caches and a kubelet that takes its time, a rollout keeps its bounds."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.embedded.controllers.rollout import bounds_of
from cluster.embedded.meta import is_deleted
from cluster.embedded.resources import DEPLOYMENTS
from tests.cluster.controllers.world import World, deployment, is_ready, rolling, run

_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("image"), st.integers(1, 3)),
        st.tuples(st.sampled_from(["ready", "stop"]), st.integers(0, 9)),
        st.tuples(st.just("turns"), st.integers(0, 40)),
    ),
    max_size=25,
)


class _Kubelet:
    """What the kubelet may do so far: it makes a pod ready, or lets one go, only when the test says so."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._ready: set[str] = set()
        self._stopped: set[str] = set()
        world.kubelet.becomes_ready = lambda pod: pod["metadata"]["uid"] in self._ready
        world.kubelet.stops = lambda pod: pod["metadata"]["uid"] in self._stopped

    async def allow(self, kind: str, number: int) -> None:
        concerned = [
            pod
            for pod in await self._world.pods()
            if (is_deleted(pod) if kind == "stop" else not is_deleted(pod) and not is_ready(pod))
        ]
        if concerned:
            allowed = self._stopped if kind == "stop" else self._ready
            allowed.add(concerned[number % len(concerned)]["metadata"]["uid"])
            self._world.kubelet.look_again()

    def allow_all(self) -> None:
        self._world.kubelet.becomes_ready = lambda pod: True
        self._world.kubelet.stops = lambda pod: True
        self._world.kubelet.look_again()


async def _check(world: World) -> None:
    bounds = bounds_of(await world.deployment())
    asked = sum(item["spec"]["replicas"] for item in await world.sets())
    assert asked <= bounds.max_total
    serving = sum(is_ready(pod) and not is_deleted(pod) for pod in await world.pods())
    assert serving >= bounds.min_available


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(1, 4), st.integers(0, 2), st.integers(0, 2), _STEPS, st.integers(0, 4))
def test_bounds_hold_at_every_moment(
    replicas: int, surge: int, unavailable: int, steps: list[tuple[str, Any]], lag: int
) -> None:
    async def body(world: World) -> None:
        strategy = rolling(surge, unavailable if surge or unavailable else 1)
        await world.create(DEPLOYMENTS, deployment(replicas=replicas, strategy=strategy))
        await world.available(replicas)
        kubelet = _Kubelet(world)
        for kind, value in steps:
            if kind == "image":
                await world.set_image("web", f"v{value}")
            elif kind == "turns":
                for _ in range(value):
                    await world.turns(3)
                    await _check(world)
            else:
                await kubelet.allow(kind, value)
            await _check(world)
        kubelet.allow_all()
        await world.available(replicas)
        await _check(world)

    run(body, lag=lag)
