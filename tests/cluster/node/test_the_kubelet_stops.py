"""A node whose kubelet is gone for a while: containers go on, nobody reports; then everything is caught up with."""

from __future__ import annotations

import asyncio
from datetime import datetime

import pytest

from cluster.embedded.apiserver.pod_streams import LogOptions
from cluster.embedded.client import ApiError
from cluster.embedded.node.agent import KUBELET_ANNOTATION
from cluster.embedded.resources import LEASES, NODES, PODS
from tests.cluster.node.conftest import NAMESPACE, app, condition, is_ready, python, run, shell

_SERVER = """
import http.server, os
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(s): s.send_response(200); s.end_headers()
    def log_message(s, *a): print("probed", flush=True)
http.server.ThreadingHTTPServer((os.environ["POD_IP"], 8080), H).serve_forever()
"""


def _probed() -> dict[str, object]:
    return {"command": python(_SERVER), "readinessProbe": {"httpGet": {"port": 8080}, "periodSeconds": 1}}


def test_what_happens_meanwhile_is_told_and_mended_afterwards(node, tmp_path):
    end = tmp_path / "end"

    async def scenario():
        async with node() as lab:
            waits = f"while [ ! -e {end} ]; do sleep 0.02; done; exit 5"
            await lab.run("dies", {"command": shell(waits)})
            await lab.until("dies", is_ready)
            await lab.agent.stop_kubelet()
            end.touch()
            await asyncio.sleep(1.0)  # nobody may tell of the end, so there is nothing to wait for
            assert app(await lab.pod("dies"))["state"].keys() == {"running"}
            await lab.agent.start_kubelet()
            ended = await lab.until("dies", lambda p: app(p)["lastState"] or "terminated" in app(p)["state"])
            told = (app(ended)["state"].get("terminated") or app(ended)["lastState"]["terminated"])["exitCode"]
            assert told == 5
            await lab.until("dies", lambda p: app(p)["restartCount"] == 1)

    run(scenario())


def test_pods_that_were_deleted_meanwhile_end_when_it_is_back(node):
    async def scenario():
        async with node() as lab:
            for name in ("gentle", "forced"):
                await lab.run(name, {"command": shell("exec sleep 60")})
                await lab.until(name, is_ready)
            instances = [lab.agent._runner(NAMESPACE, name, "app").instance for name in ("gentle", "forced")]
            await lab.agent.stop_kubelet()
            await lab.client.delete(PODS, "gentle", NAMESPACE)
            await lab.client.delete(PODS, "forced", NAMESPACE, grace_period_seconds=0)
            await asyncio.sleep(0.5)  # nothing may happen
            assert not any(instance.has_exited for instance in instances)
            assert (await lab.pod("gentle"))["metadata"]["deletionTimestamp"]
            await lab.agent.start_kubelet()
            await lab.gone("gentle")
            await lab.eventually(lambda: all(instance.has_exited for instance in instances))

    run(scenario())


def test_an_end_that_was_under_way_is_told_when_it_is_back(node):
    async def scenario():
        async with node() as lab:
            stubborn = "trap '' TERM; touch $GAMEDAY_ROOTFS/on; while :; do sleep 0.05; done"
            probe = {"exec": {"command": shell("test -e $GAMEDAY_ROOTFS/on")}, "periodSeconds": 1}
            await lab.run("web", {"command": shell(stubborn), "readinessProbe": probe})
            await lab.until("web", is_ready)
            instance = lab.agent._runner(NAMESPACE, "web", "app").instance
            await lab.client.delete(PODS, "web", NAMESPACE)
            await lab.eventually(lambda: "Killing" in lab.events.reasons("web"))
            await lab.agent.stop_kubelet()
            told = await lab.pod("web")
            await lab.eventually(lambda: instance.has_exited)
            await asyncio.sleep(0.3)  # nothing may be told
            assert await lab.pod("web") == told
            await lab.agent.start_kubelet()
            await lab.gone("web")

    run(scenario())


def test_readiness_is_found_out_anew_and_what_others_wrote_is_put_right(node):
    async def scenario():
        async with node() as lab:
            await lab.run("web", _probed())
            await lab.until("web", is_ready)
            await lab.agent.stop_kubelet()
            wrong = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
            await lab.client.patch(PODS, "web", wrong, NAMESPACE, patch_type="strategic", subresource="status")
            await lab.agent.start_kubelet()
            await lab.until("web", lambda p: not app(p)["ready"])
            await lab.until("web", is_ready)

    run(scenario())


def test_the_lease_is_not_renewed_and_nobody_answers(node):
    async def scenario():
        async with node() as lab:
            await lab.run("web", {"command": shell("exec sleep 60")})
            await lab.until("web", is_ready)
            await lab.agent.stop_kubelet()
            stopped_at = await _renewed(lab)
            for call in (
                lab.agent.reach(NAMESPACE, "web"),
                lab.agent.exec(NAMESPACE, "web", "app", ["true"], stdin=False, tty=False),
                anext(aiter(lab.agent.logs(NAMESPACE, "web", "app", LogOptions()))),
            ):
                with pytest.raises(ApiError, match="10250: connect: connection refused"):
                    await call
            assert lab.agent.usage() is None
            await lab.agent.start_kubelet()
            assert await _renewed(lab) > stopped_at

    run(scenario())


async def _renewed(lab):
    lease = await lab.client.get(LEASES, lab.settings.name, "kube-node-lease")
    return datetime.fromisoformat(lease["spec"]["renewTime"])


def test_an_annotation_of_the_node_stops_it_and_its_removal_starts_it(node):
    async def scenario():
        async with node() as lab:
            await lab.run("web", {"command": shell("exec sleep 60")})
            await lab.until("web", is_ready)
            for value, running in (("stopped", False), (None, True)):
                patch = {"metadata": {"annotations": {KUBELET_ANNOTATION: value}}}
                await lab.client.patch(NODES, lab.settings.name, patch)
                await lab.eventually(lambda running=running: lab.agent._kubelet.is_running is running)
            await lab.run("after", {"command": shell("exec sleep 60")})
            await lab.until("after", is_ready)

    run(scenario())


def test_a_machine_that_is_switched_off_ends_its_pods_and_takes_no_more(node):
    async def scenario():
        async with node() as lab:
            stops_well = "trap 'exit 0' TERM; touch $GAMEDAY_ROOTFS/on; while :; do sleep 0.05; done"
            probe = {"exec": {"command": shell("test -e $GAMEDAY_ROOTFS/on")}, "periodSeconds": 1}
            await lab.run("web", {"command": shell(stops_well), "readinessProbe": probe})
            await lab.until("web", is_ready)
            patch = {"metadata": {"annotations": {KUBELET_ANNOTATION: "shutdown"}}}
            await lab.client.patch(NODES, lab.settings.name, patch)
            ended = await lab.until("web", lambda p: p["status"]["phase"] == "Failed")
            assert (ended["status"]["reason"], ended["status"]["message"]) == (
                "Terminated",
                "Pod was terminated in response to imminent node shutdown.",
            )
            assert app(ended)["state"]["terminated"]["exitCode"] == 0
            assert condition(ended, "DisruptionTarget")["reason"] == "TerminationByKubelet"
            assert not is_ready(ended)
            ready = condition(await lab.client.get(NODES, lab.settings.name), "Ready")
            assert (ready["status"], ready["message"]) == ("False", "node is shutting down")
            await lab.eventually(lambda: not lab.agent._kubelet.is_running)
            patch = {"metadata": {"annotations": {KUBELET_ANNOTATION: None}}}
            await lab.client.patch(NODES, lab.settings.name, patch)
            await lab.run("after", {"command": shell("exec sleep 60")})
            await lab.until("after", is_ready)
            assert (await lab.pod("web"))["status"]["phase"] == "Failed"
            assert condition(await lab.client.get(NODES, lab.settings.name), "Ready")["status"] == "True"

    run(scenario())


def test_a_pod_that_comes_while_the_machine_is_switched_off_is_rejected(node):
    async def scenario():
        async with node() as lab:
            await lab.run("slow", {"command": shell("trap '' TERM; while :; do sleep 0.05; done")})
            await lab.until("slow", is_ready)
            off = asyncio.create_task(lab.agent.shut_down())
            await lab.eventually(lambda: lab.agent._registration.shutting_down)
            await lab.run("late", {"command": shell("exec sleep 60")})
            rejected = await lab.until("late", lambda p: p["status"]["phase"] == "Failed")
            assert rejected["status"]["reason"] == "NodeShutdown"
            await off
            assert (await lab.pod("slow"))["status"]["reason"] == "Terminated"

    run(scenario())
