"""Tokens of pods: asked for once for each purpose, bound to the pod, renewed in time, forgotten with it."""

from __future__ import annotations

import asyncio
from typing import Any

from cluster.embedded.node.tokens import PodTokens

POD = {"metadata": {"name": "web", "namespace": "system", "uid": "u1"}, "spec": {"serviceAccountName": "robot"}}


class Api:
    """Answers TokenRequests with numbered tokens."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def create(self, resource: Any, obj: Any, *, subresource: str = "") -> Any:
        assert (resource.plural, subresource) == ("serviceaccounts", "token")
        self.asked.append(obj)
        return {"spec": obj["spec"], "status": {"token": f"token-{len(self.asked)}"}}


def tokens() -> tuple[Any, Api, list[float]]:
    api, now = Api(), [1000.0]
    return PodTokens(api, clock=lambda: now[0]), api, now  # type: ignore[arg-type]


def test_a_token_is_bound_to_its_pod_and_used_again() -> None:
    async def scenario() -> None:
        held, api, _ = tokens()
        source = {"expirationSeconds": 3607, "path": "token"}
        assert [await held.get(POD, source) for _ in range(2)] == [b"token-1", b"token-1"]
        [request] = api.asked
        assert request["metadata"] == {"name": "robot", "namespace": "system"}
        assert request["spec"]["boundObjectRef"] == {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "u1"}
        assert request["spec"]["expirationSeconds"] == 3607
        assert await held.get(POD, {"audience": "vault", "expirationSeconds": 600}) == b"token-2"
        assert api.asked[1]["spec"]["audiences"] == ["vault"]

    asyncio.run(scenario())


def test_a_token_is_renewed_when_four_fifths_of_its_life_are_over() -> None:
    async def scenario() -> None:
        held, _, now = tokens()
        source = {"expirationSeconds": 1000}
        await held.get(POD, source)
        now[0] += 799
        assert (held.due(POD), await held.get(POD, source)) == (False, b"token-1")
        now[0] += 1
        assert (held.due(POD), await held.get(POD, source)) == (True, b"token-2")
        assert not held.due(POD)

    asyncio.run(scenario())


def test_a_token_of_a_long_life_is_used_for_a_day() -> None:
    async def scenario() -> None:
        held, _, now = tokens()
        source = {"expirationSeconds": 10 * 24 * 3600}
        await held.get(POD, source)
        now[0] += 24 * 3600
        assert await held.get(POD, source) == b"token-2"

    asyncio.run(scenario())


def test_a_pod_that_is_gone_is_forgotten() -> None:
    async def scenario() -> None:
        held, _, _ = tokens()
        await held.get(POD, {})
        held.forget(POD)
        assert not held.due(POD)
        assert await held.get(POD, {}) == b"token-2"

    asyncio.run(scenario())
