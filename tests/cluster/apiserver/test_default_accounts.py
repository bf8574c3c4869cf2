"""A pod in a new namespace may be sooner than the namespace's account: it waits a moment, not for ever."""

from __future__ import annotations

import asyncio

from cluster.embedded.apiserver.registry import Registry
from cluster.embedded.apiserver.service_accounts import default_account
from cluster.embedded.resources import NAMESPACES, SERVICE_ACCOUNTS
from cluster.embedded.store import Store


def fresh() -> Registry:
    registry = Registry(Store(), service_accounts=True)
    registry.create(NAMESPACES, {"metadata": {"name": "new"}})
    return registry


def test_a_pod_waits_for_the_account_of_its_namespace() -> None:
    async def scenario() -> None:
        registry = fresh()
        waiting = asyncio.create_task(default_account(registry, "new", {"spec": {}}))
        await asyncio.wait({waiting}, timeout=0.05)
        registry.create(SERVICE_ACCOUNTS, {"metadata": {"name": "other", "namespace": "new"}})
        await asyncio.wait({waiting}, timeout=0.05)
        assert not waiting.done()
        registry.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default", "namespace": "new"}})
        await asyncio.wait_for(waiting, 0.5)

    asyncio.run(scenario())


def test_it_does_not_wait_for_an_account_that_nobody_makes() -> None:
    async def scenario() -> None:
        registry, loop = fresh(), asyncio.get_running_loop()
        began = loop.time()
        await default_account(registry, "new", {"spec": {"serviceAccountName": "nosuch"}})
        await default_account(registry, "nosuch", {"spec": {}})
        assert loop.time() - began < 0.5
        await asyncio.wait_for(default_account(registry, "new", {}), 3)

    asyncio.run(scenario())
