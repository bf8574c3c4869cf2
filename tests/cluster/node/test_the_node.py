"""The Node object, and that nothing outlives the node."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from cluster.embedded.resources import LEASES, NODES
from tests.cluster.node.conftest import is_ready, processes_of, python, run

ROOT = Path(__file__).parents[3]


def test_the_node_registers_and_says_that_it_is_alive(node):
    async def scenario():
        async with node(labels={"gpu": "yes"}, taints=({"key": "a", "effect": "NoSchedule"},)) as lab:
            registered = await _eventually(lab, NODES, "node-1", "", lambda o: "conditions" in o.get("status", {}))
            status = registered["status"]
            assert {c["type"]: c["status"] for c in status["conditions"]} == {
                "MemoryPressure": "False",
                "DiskPressure": "False",
                "PIDPressure": "False",
                "Ready": "True",
            }
            assert status["capacity"]["nvidia.com/gpu"] == "4"
            assert status["allocatable"] == status["capacity"]
            assert status["addresses"][0] == {"type": "InternalIP", "address": "127.0.0.1"}
            labels = registered["metadata"]["labels"]
            assert labels["kubernetes.io/hostname"] == "node-1"
            assert labels["gpu"] == "yes"
            assert registered["spec"]["taints"] == [
                {"key": "a", "effect": "NoSchedule"},
                {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"},  # until the node controller looks
            ]
            lease = await _eventually(lab, LEASES, "node-1", "kube-node-lease", lambda o: True)
            assert lease["spec"]["holderIdentity"] == "node-1"

    run(scenario())


def test_what_a_person_writes_into_the_capacity_stays_and_becomes_allocatable(node):
    async def scenario():
        async with node() as lab:
            await _eventually(lab, NODES, "node-1", "", lambda o: "capacity" in o.get("status", {}))
            patch = {"status": {"capacity": {"nvidia.com/gpu": "1", "example.com/dongle": "2"}}}
            await lab.client.patch(NODES, "node-1", patch, subresource="status")
            changed = await _eventually(
                lab, NODES, "node-1", "", lambda o: o["status"]["allocatable"].get("example.com/dongle") == "2"
            )
            assert changed["status"]["allocatable"]["nvidia.com/gpu"] == "1"
            assert changed["status"]["capacity"]["nvidia.com/gpu"] == "1"

    run(scenario())


async def _eventually(lab, resource, name, namespace, holds):
    from cluster.embedded.client import ApiError

    async with asyncio.timeout(5):
        while True:
            try:
                obj = await lab.client.get(resource, name, namespace)
                if holds(obj):
                    return obj
            except ApiError as error:
                if error.code != 404:
                    raise
            await asyncio.sleep(0.01)


_FAMILY = python(
    """
    import os, signal, subprocess, sys, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    subprocess.Popen(["sleep", "300"])
    subprocess.Popen(["sleep", "300"], start_new_session=True)
    print("up", flush=True)
    time.sleep(300)
    """
)


def test_no_process_is_left_when_the_node_stops(node):
    async def scenario():
        async with node() as lab:
            await lab.run("family", {"command": _FAMILY})
            await lab.until("family", is_ready)
            await lab.eventually(lambda: len(processes_of(lab.settings.root)) == 3)

    run(scenario())


_SERVER = """
import asyncio, sys
from pathlib import Path
from tests.cluster.node.conftest import *
from tests.cluster.node.test_the_node import _FAMILY

async def main(root, image_map):
    client = LocalClient(Registry(Store()))
    settings = NodeSettings(name="n", address="127.0.0.1", root=Path(root), capacity={"cpu": "1"})
    agent = NodeAgent(client, settings, ImageMap.load(Path(image_map)), Addresses(), Events())
    await client.create(NAMESPACES, {"metadata": {"name": "test"}})
    lab = Lab(client, agent, Events(), Addresses(), settings)
    await lab.run("family", {"command": _FAMILY})
    await agent.run()

asyncio.run(main(*sys.argv[1:]))
"""


def test_no_process_is_left_when_the_cluster_process_is_killed(image_map, tmp_path):
    root = tmp_path / "killed"
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER, str(root), str(image_map)], cwd=ROOT, env={**os.environ, "PYTHONPATH": "."}
    )
    try:
        _wait(lambda: len(processes_of(root)) == 3)
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()
    _wait(lambda: processes_of(root) == [])


def _wait(holds, timeout_seconds=10):
    deadline = time.monotonic() + timeout_seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
