"""A deleted pod ends gracefully; its object goes when its processes are gone."""

from __future__ import annotations

import asyncio

import pytest

from cluster.embedded.resources import PODS
from tests.cluster.node.conftest import app, condition, is_ready, processes_of, python, run, shell

_LEAVES = """
import os, signal, time
def leave(*_):
    print("TERM", flush=True); time.sleep(0.2); print("bye", flush=True); os._exit({code})
signal.signal(signal.SIGTERM, leave)
print("up", flush=True)
while True: time.sleep(1)
"""


async def _up(lab, name, container=None, **spec):
    await lab.run(name, container or {"command": python(_LEAVES.format(code=0))}, **spec)
    await lab.until(name, is_ready)

    async def printed():
        while "up" not in await lab.log(name):
            await asyncio.sleep(0.01)

    await asyncio.wait_for(printed(), 5)


async def _delete(lab, name, **options):
    await lab.client.delete(PODS, name, "test", **options)
    return asyncio.get_running_loop().time()


def test_a_container_is_asked_to_leave_and_the_pod_is_deleted_when_it_has(node):
    async def scenario():
        async with node() as lab:
            await _up(lab, "quick", terminationGracePeriodSeconds=10)
            began = await _delete(lab, "quick")
            ended = await lab.until("quick", lambda p: p["status"]["phase"] == "Succeeded")
            assert app(ended)["state"]["terminated"]["exitCode"] == 0
            assert condition(ended, "Ready")["reason"] == "PodCompleted"
            assert condition(ended, "PodReadyToStartContainers")["status"] == "False"
            await lab.gone("quick")
            assert 0.2 <= asyncio.get_running_loop().time() - began < 1.5
            assert lab.events.messages("quick", "Killing") == ["Stopping container app"]
            await lab.eventually(lambda: not (lab.settings.root / "pods" / ended["metadata"]["uid"]).exists())
            assert lab.addresses.held == {}

    run(scenario())


def test_what_ignores_the_signal_is_killed_after_the_grace(node):
    async def scenario():
        async with node() as lab:
            stubborn = python(
                "import signal, time\nsignal.signal(15, lambda *_: print('no', flush=True))\nprint('up')\n"
                "while True: time.sleep(0.1)"
            )
            await _up(lab, "stubborn", {"command": stubborn}, terminationGracePeriodSeconds=3)
            began = await _delete(lab, "stubborn")
            ended = await lab.until("stubborn", lambda p: p["status"]["phase"] == "Failed")
            assert asyncio.get_running_loop().time() - began == pytest.approx(3, abs=0.5)
            assert app(ended)["state"]["terminated"]["exitCode"] == 137
            assert condition(ended, "Ready")["reason"] == "PodFailed"
            await lab.gone("stubborn")

    run(scenario())


def test_a_container_always_has_two_seconds_even_if_the_deletion_gives_it_one(node):
    async def scenario():
        async with node() as lab:
            await _up(lab, "pod", {"command": shell("echo up; exec sleep 60")})
            began = await _delete(lab, "pod", grace_period_seconds=1)
            await lab.gone("pod")
            assert asyncio.get_running_loop().time() - began == pytest.approx(2, abs=0.4)

    run(scenario())


def test_a_forced_deletion_ends_the_processes_too(node):
    async def scenario():
        async with node() as lab:
            await _up(lab, "forced")
            await _delete(lab, "forced", grace_period_seconds=0)
            await lab.gone("forced", timeout_seconds=1)
            await lab.eventually(lambda: processes_of(lab.settings.root) == [])
            await lab.eventually(lambda: lab.addresses.held == {})

    run(scenario())


def test_a_pre_stop_hook_runs_before_the_signal(node):
    async def scenario():
        async with node() as lab:
            command = python(_LEAVES.format(code=0))
            hooks = {
                "good": {"exec": {"command": ["sh", "-c", 'sleep 0.3; echo hook > "$TMPDIR/hook"']}},
                "bad": {"exec": {"command": ["false"]}},
                "sleeps": {"sleep": {"seconds": 1}},
            }
            for name, hook in hooks.items():
                await _up(lab, name, {"command": command, "lifecycle": {"preStop": hook}})
            began = {name: await _delete(lab, name, grace_period_seconds=5) for name in hooks}
            took = {}
            for name in ("bad", "good", "sleeps"):
                await lab.gone(name)
                took[name] = asyncio.get_running_loop().time() - began[name]
            assert took["good"] >= 0.5
            assert took["sleeps"] >= 1.2
            assert lab.events.messages("bad", "FailedPreStopHook") == ["PreStopHook failed"]
            assert lab.events.messages("good", "FailedPreStopHook") == []

    run(scenario())


def test_a_pod_that_never_started_can_be_deleted(node):
    async def scenario():
        async with node() as lab:
            await lab.run("missing", {"image": "lab.local/nothing:1"})
            await lab.until("missing", lambda p: "waiting" in app(p)["state"])
            await _delete(lab, "missing")
            await lab.gone("missing", timeout_seconds=3)
            await lab.run("missing")
            await lab.until("missing", lambda p: "terminated" in app(p)["state"])

    run(scenario())


def test_a_crash_looping_pod_can_be_deleted_at_once(node):
    async def scenario():
        async with node(restart_backoff_base_seconds=60) as lab:
            await lab.run("crash", {"command": shell("exit 1")})
            await lab.until(
                "crash", lambda p: (app(p)["state"].get("waiting") or {}).get("reason") == "CrashLoopBackOff"
            )
            await _delete(lab, "crash")
            await lab.gone("crash", timeout_seconds=2)

    run(scenario())
