"""A PodDisruptionBudget says how many pods may be evicted now."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.embedded.controllers.disruption import budget_status
from cluster.embedded.resources import DEPLOYMENTS, POD_DISRUPTION_BUDGETS, PODS
from tests.cluster.controllers.world import NAMESPACE, World, deployment, run


def budget(**spec: Any) -> Any:
    selector = {"matchLabels": {"app": "web"}}
    return {"metadata": {"name": "b", "namespace": NAMESPACE}, "spec": {"selector": selector, **spec}}


def _pods(ready: int, not_ready: int) -> list[Any]:
    return [
        {
            "metadata": {"name": f"p{n}"},
            "status": {"conditions": [{"type": "Ready", "status": str(n < ready)}]},
        }
        for n in range(ready + not_ready)
    ]


@pytest.mark.parametrize(
    ("spec", "ready", "not_ready", "scale", "expected"),
    [
        ({"minAvailable": 1}, 2, 1, 3, (3, 1, 2, 1)),
        ({"minAvailable": 2}, 2, 0, 2, (2, 2, 2, 0)),
        ({"minAvailable": "50%"}, 3, 0, 3, (3, 2, 3, 1)),
        ({"maxUnavailable": 1}, 3, 0, 3, (3, 2, 3, 1)),
        ({"maxUnavailable": "10%"}, 3, 0, 3, (3, 2, 3, 1)),
        ({"maxUnavailable": 1}, 2, 1, 3, (3, 2, 2, 0)),
        ({"minAvailable": 1}, 0, 0, 0, (0, 1, 0, 0)),
    ],
)
def test_what_is_allowed(
    spec: Any, ready: int, not_ready: int, scale: int, expected: tuple[int, int, int, int]
) -> None:
    status = budget_status(budget(**spec), _pods(ready, not_ready), scale)
    names = ("expectedPods", "desiredHealthy", "currentHealthy", "disruptionsAllowed")
    assert tuple(status[name] for name in names) == expected
    condition = status["conditions"][0]
    reason = "SufficientPods" if expected[3] else "InsufficientPods"
    assert (condition["reason"], condition["message"]) == (reason, "")


def test_the_status_follows_the_pods() -> None:
    async def body(world: World) -> None:
        await world.create(POD_DISRUPTION_BUDGETS, budget(maxUnavailable=1))
        await world.create(DEPLOYMENTS, deployment(replicas=2))
        await world.available(2)
        await world.quiet()
        status = (await world.client.get(POD_DISRUPTION_BUDGETS, "b", NAMESPACE))["status"]
        assert (status["disruptionsAllowed"], status["expectedPods"]) == (1, 2)
        world.kubelet.becomes_ready = lambda pod: False
        world.kubelet.stops = lambda pod: False
        name = (await world.pods())[0]["metadata"]["name"]
        await world.client.delete(PODS, name, NAMESPACE)
        await world.quiet()
        status = (await world.client.get(POD_DISRUPTION_BUDGETS, "b", NAMESPACE))["status"]
        assert (status["disruptionsAllowed"], status["currentHealthy"]) == (0, 1)

    run(body)
