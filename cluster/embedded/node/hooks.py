"""Lifecycle hooks of a container (Kubernetes: container lifecycle hooks)."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

from cluster.embedded.node.context import PodContext
from cluster.embedded.node.instance import Instance
from cluster.embedded.node.probes import Outcome, ProgramMissing, http_get
from cluster.embedded.resources import Object

_LONGEST_POST_START_SECONDS = 24 * 3600.0


class Hooked(Protocol):
    """A container that may have hooks."""

    @property
    def spec(self) -> Object: ...

    def mapped(self, words: list[str]) -> list[str]: ...


async def run_pre_stop(context: PodContext, container: Hooked, instance: Instance, grace_seconds: float) -> bool:
    """Run the ``preStop`` hook, for at most the grace. Returns whether it succeeded (True without a hook)."""
    hook = (container.spec.get("lifecycle") or {}).get("preStop")
    if not hook:
        return True
    return await _while_it_lives(instance, _run(context, container, instance, hook, grace_seconds))


async def run_post_start(context: PodContext, container: Hooked, instance: Instance) -> bool:
    """Run the ``postStart`` hook to its end. Returns whether it succeeded (True without a hook)."""
    hook = (container.spec.get("lifecycle") or {}).get("postStart")
    if not hook:
        return True
    return await _while_it_lives(instance, _run(context, container, instance, hook, _LONGEST_POST_START_SECONDS))


async def _while_it_lives(instance: Instance, work: Coroutine[Any, Any, bool]) -> bool:
    """What a hook says; True when the container ended first."""
    ended = asyncio.ensure_future(instance.gone())
    action = asyncio.ensure_future(work)
    await asyncio.wait({ended, action}, return_when=asyncio.FIRST_COMPLETED)
    for task in (ended, action):
        task.cancel()
    await asyncio.wait({ended, action})
    if instance.has_exited:
        return True
    return not action.cancelled() and action.exception() is None and action.result()


async def _run(context: PodContext, container: Hooked, instance: Instance, hook: Object, grace_seconds: float) -> bool:
    if "sleep" in hook:
        seconds = float(hook["sleep"].get("seconds") or 0)
        await asyncio.sleep(min(seconds, grace_seconds))
        return seconds <= grace_seconds
    if "httpGet" in hook:
        attempt = await http_get(hook["httpGet"], container.spec, context.ip, grace_seconds)
        return attempt.outcome is Outcome.SUCCESS
    try:
        code, _ = await instance.run_command(container.mapped(hook["exec"].get("command") or []), grace_seconds)
    except (ProgramMissing, TimeoutError):
        return False
    return code == 0
