"""A container with a CPU limit gets no more CPU time than that, and is none the worse for it otherwise."""

from __future__ import annotations

import asyncio

import pytest

from cluster.embedded.resources import PODS
from tests.cluster.node.conftest import NAMESPACE, app, python, run, shell

_BURN = """
import os, time
began = time.monotonic()
{fork}
while time.monotonic() < began + 3: pass
spent = os.times()
os.write(1, b"%f\\n" % (spent.user + spent.system))
"""


def _limited(command, cpu):
    return {"command": command, "resources": {"limits": {"cpu": cpu}}}


async def _burnt(lab, name):
    await lab.until(name, lambda p: "terminated" in app(p)["state"], 15)
    return sum(float(line) for line in (await lab.log(name)).split())


@pytest.mark.parametrize("fork", ["", "os.fork()"], ids=["one process", "two processes"])
def test_a_container_gets_the_cpu_time_of_its_limit(node, fork):
    async def scenario():
        async with node() as lab:
            await lab.run("burn", _limited(python(_BURN.format(fork=fork)), "200m"), restartPolicy="Never")
            spent = await _burnt(lab, "burn")
            assert 0.3 <= spent <= 0.2 * 3 * 1.3

    run(scenario())


def test_a_container_that_is_held_back_ends_like_any_other(node):
    async def scenario():
        async with node() as lab:
            await lab.run("burn", _limited(shell("trap 'exit 7' TERM; while :; do :; done"), "100m"))
            await lab.until("burn", lambda p: "running" in app(p)["state"])
            await asyncio.sleep(0.5)  # long enough to be in debt
            await lab.client.delete(PODS, "burn", NAMESPACE, grace_period_seconds=10)
            ended = await lab.until("burn", lambda p: "terminated" in app(p)["state"], 8)
            assert app(ended)["state"]["terminated"]["exitCode"] == 7
            await lab.gone("burn")

    run(scenario())


def test_a_container_below_its_limit_is_never_stopped(node):
    async def scenario():
        async with node() as lab:
            work = "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.1; done"
            await lab.run("calm", _limited(shell(work), "500m"), restartPolicy="Never")
            await lab.until("calm", lambda p: "running" in app(p)["state"])
            runner = lab.agent._runner(NAMESPACE, "calm", "app")
            await lab.until("calm", lambda p: "terminated" in app(p)["state"], 8)
            assert runner.instance.quota.throttled_seconds == 0
            assert runner.instance.quota.used_seconds > 0

    run(scenario())
