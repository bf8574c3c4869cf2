"""A pod becomes a process with an address, an environment and a status."""

from __future__ import annotations

import sys

from cluster.embedded.apiserver.pod_streams import LogOptions
from cluster.embedded.resources import CONFIG_MAPS, PODS
from tests.cluster.node.conftest import app, condition, is_ready, python, run, shell


def test_a_pod_without_probes_is_running_and_ready(node):
    async def scenario():
        async with node() as lab:
            await lab.run("plain", {"command": shell("exec sleep 60")})
            pod = await lab.until("plain", is_ready)
            status = pod["status"]
            assert status["phase"] == "Running"
            assert status["podIP"] == lab.addresses.held[pod["metadata"]["uid"]]
            assert status["podIPs"] == [{"ip": status["podIP"]}]
            assert status["hostIP"] == "127.0.0.1"
            assert status["qosClass"] == "BestEffort"
            assert status["observedGeneration"] == 1
            assert [c["type"] for c in status["conditions"]] == [
                "PodReadyToStartContainers",
                "Initialized",
                "Ready",
                "ContainersReady",
                "PodScheduled",
            ]
            assert all(c["status"] == "True" for c in status["conditions"])
            container = app(pod)
            assert container["ready"]
            assert container["started"]
            assert container["containerID"].startswith("containerd://")
            assert container["imageID"].startswith("sha256:")
            assert "startedAt" in container["state"]["running"]
            assert lab.events.reasons("plain") == ["Pulled", "Created", "Started"]
            assert lab.events.messages("plain", "Pulled") == [
                'Container image "lab.local/app:1" already present on machine and can be accessed by the pod'
            ]

    run(scenario())


def test_a_pod_is_pending_while_its_container_is_created(node):
    async def scenario():
        async with node() as lab:
            await lab.run("plain", {"command": shell("exec sleep 60")})
            pod = await lab.until("plain", lambda p: "containerStatuses" in p["status"])
            assert pod["status"]["phase"] == "Pending"
            assert app(pod)["state"] == {"waiting": {"reason": "ContainerCreating"}}
            unready = condition(pod, "Ready")
            assert unready["reason"] == "ContainersNotReady"
            assert unready["message"] == "containers with unready status: [app]"
            assert condition(pod, "PodReadyToStartContainers")["status"] == "False"

    run(scenario())


def test_the_image_gives_entry_point_and_arguments_when_the_pod_does_not(node):
    async def scenario():
        async with node() as lab:
            await lab.run("defaults", restartPolicy="Never")
            await lab.run("args", {"args": ["you", "$(POD_NAMESPACE)", "$$(X)"]}, restartPolicy="Never")
            for name, text in (("defaults", "hello world\n"), ("args", "hello you test $(X)\n")):
                pod = await lab.until(name, lambda p: p["status"].get("phase") == "Succeeded")
                assert await lab.log(name) == text
                assert app(pod)["state"]["terminated"]["reason"] == "Completed"
                assert condition(pod, "Ready")["reason"] == "PodCompleted"

    run(scenario())


def test_a_container_gets_the_environment_of_image_pod_and_cluster_and_nothing_else(node, monkeypatch):
    monkeypatch.setenv("LEAKED", "secret")

    async def scenario():
        async with node() as lab:
            fields = [
                ("MY_NAME", "metadata.name"),
                ("MY_APP", "metadata.labels['app']"),
                ("MY_NODE", "spec.nodeName"),
                ("MY_IP", "status.podIP"),
            ]
            env = [{"name": n, "valueFrom": {"fieldRef": {"fieldPath": path}}} for n, path in fields]
            env += [
                {"name": "GREETING", "value": "I am $(MY_NAME) of $(NOBODY)"},
                {
                    "name": "MEMORY",
                    "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}},
                },
            ]
            container = {"command": ["env"], "env": env, "resources": {"limits": {"memory": "1Gi"}}}
            await lab.run("shows", container, restartPolicy="Never")
            pod = await lab.until("shows", lambda p: p["status"].get("phase") == "Succeeded")
            seen = dict(line.split("=", 1) for line in (await lab.log("shows")).splitlines())
            address = pod["status"]["podIP"]
            expected = {
                "MY_NAME": "shows",
                "MY_APP": "shows",
                "MY_NODE": "node-1",
                "MY_IP": address,
                "GREETING": "I am shows of $(NOBODY)",
                "MEMORY": "1024",
                "FROM_IMAGE": "yes",
                "POD_IP": address,
                "POD_NAMESPACE": "test",
                "CLUSTER_DNS": "127.0.0.1:5300",
                "HOSTNAME": "shows",
            }
            assert seen.items() >= expected.items()
            assert "LEAKED" not in seen

    run(scenario())


def test_python_in_a_container_is_the_interpreter_of_the_cluster(node):
    async def scenario():
        async with node() as lab:
            await lab.run("which", {"command": python("import sys; print(sys.prefix)")}, restartPolicy="Never")
            await lab.until("which", lambda p: p["status"].get("phase") == "Succeeded")
            assert await lab.log("which") == f"{sys.prefix}\n"

    run(scenario())


def test_gpus_are_handed_out_by_index_and_come_back(node):
    async def scenario():
        async with node() as lab:
            command = shell("trap exit TERM; echo $NVIDIA_VISIBLE_DEVICES; while true; do sleep 0.05; done")
            for name, count in (("two", 2), ("one", 1), ("none", 0)):
                resources = {"limits": {"nvidia.com/gpu": str(count)}} if count else {}
                await lab.run(name, {"command": command, "resources": resources})
                await lab.until(name, is_ready)
            assert [await _first_line(lab, name) for name in ("two", "one", "none")] == ["0,1", "2", ""]
            await lab.client.delete(*_pod_key("two"), grace_period_seconds=1)
            await lab.gone("two")
            await lab.run("next", {"command": command, "resources": {"limits": {"nvidia.com/gpu": "1"}}})
            await lab.until("next", is_ready)
            assert await _first_line(lab, "next") == "0"

    run(scenario())


async def _first_line(lab, name):
    async for line in lab.agent.logs("test", name, "app", LogOptions(follow=True)):
        return line.decode().rstrip("\n")
    raise AssertionError("no line")


def _pod_key(name):
    return PODS, name, "test"


def test_a_program_that_is_not_there_ends_with_a_start_error(node):
    async def scenario():
        async with node() as lab:
            await lab.run("missing", {"command": ["no-such-program"]}, restartPolicy="Never")
            pod = await lab.until("missing", lambda p: p["status"].get("phase") == "Failed")
            ended = app(pod)["state"]["terminated"]
            assert (ended["exitCode"], ended["reason"]) == (128, "StartError")
            assert 'exec: "no-such-program": executable file not found in $PATH: unknown' in ended["message"]
            assert lab.events.reasons("missing") == ["Pulled", "Created", "Failed"]

    run(scenario())


def test_a_mount_is_a_folder_that_command_lines_and_variables_name_by_its_mount_path(node):
    script = 'cat "$0" "$FILE" "$GAMEDAY_ROOTFS/etc/vllm/a.txt"; exec sleep 60'

    async def scenario():
        async with node() as lab:
            await lab.client.create(
                CONFIG_MAPS, {"metadata": {"name": "conf", "namespace": "test"}, "data": {"a.txt": "one"}}
            )
            container = {
                "command": [*shell(script), "/etc/vllm/a.txt"],
                "env": [{"name": "FILE", "value": "/etc/vllm/a.txt"}],
                "volumeMounts": [{"name": "conf", "mountPath": "/etc/vllm"}],
            }
            await lab.run("reads", container, volumes=[{"name": "conf", "configMap": {"name": "conf"}}])
            pod = await lab.until("reads", is_ready)
            assert app(pod)["volumeMounts"] == [{"name": "conf", "mountPath": "/etc/vllm"}]
            file = lab.settings.root / "pods" / pod["metadata"]["uid"] / "rootfs/app/etc/vllm/a.txt"
            assert file.read_text() == "one"
            await lab.client.patch(CONFIG_MAPS, "conf", {"data": {"a.txt": "two"}}, "test")
            await lab.eventually(lambda: file.read_text() == "two")

    run(scenario())


def test_containers_start_one_after_the_other(node):
    async def scenario():
        async with node() as lab:
            hook = {"postStart": {"sleep": {"seconds": 1}}}
            first = {"name": "app", "image": "lab.local/app:1", "command": shell("sleep 9"), "lifecycle": hook}
            second = {"name": "more", "image": "lab.local/app:1", "command": shell("sleep 9")}
            await lab.run("both", containers=[first, second])
            up = await lab.until("both", lambda p: "running" in app(p)["state"])
            assert all("running" in status["state"] for status in up["status"]["containerStatuses"])
            began, later = lab.events.times("both", "Started")
            assert later - began >= 1

    run(scenario())


def test_a_container_whose_post_start_hook_fails_is_killed_and_starts_again(node):
    async def scenario():
        async with node() as lab:
            hook = {"postStart": {"exec": {"command": ["false"]}}}
            await lab.run("hooked", {"command": shell("trap 'exit 4' TERM; sleep 9 & wait"), "lifecycle": hook})
            again = await lab.until("hooked", lambda p: app(p).get("restartCount") == 1)
            assert app(again)["lastState"]["terminated"]["exitCode"] == 4
            assert lab.events.messages("hooked", "FailedPostStartHook")[0] == "PostStartHook failed"
            assert lab.events.messages("hooked", "Killing")[0] == "FailedPostStartHook"

    run(scenario())
