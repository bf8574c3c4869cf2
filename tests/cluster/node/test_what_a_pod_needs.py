"""Images, ConfigMaps and Secrets that are missing keep a container waiting, and say why."""

from __future__ import annotations

import pytest

from clients.errors import InputError
from cluster.embedded.node.images import ImageMap, ImageNotFound
from cluster.embedded.resources import CONFIG_MAPS, SECRETS
from tests.cluster.node.conftest import app, condition, is_ready, run, shell


def _waiting(pod):
    return app(pod)["state"].get("waiting") or {}


def test_an_image_that_nobody_mapped_cannot_be_pulled(node):
    async def scenario():
        async with node() as lab:
            await lab.run("missing", {"image": "localhost:5999/missing:1"})
            text = (
                'rpc error: code = NotFound desc = failed to pull and unpack image "localhost:5999/missing:1": '
                'failed to resolve reference "localhost:5999/missing:1": localhost:5999/missing:1: not found'
            )
            failed = await lab.until("missing", lambda p: _waiting(p).get("reason") == "ErrImagePull")
            assert _waiting(failed)["message"] == text
            assert failed["status"]["phase"] == "Pending"
            backing_off = await lab.until("missing", lambda p: _waiting(p).get("reason") == "ImagePullBackOff")
            assert _waiting(backing_off)["message"] == (
                f'Back-off pulling image "localhost:5999/missing:1": ErrImagePull: {text}'
            )
            await lab.eventually(lambda: len(lab.events.messages("missing", "Pulling")) == 2)
            assert lab.events.reasons("missing")[:5] == ["Pulling", "Failed", "Failed", "BackOff", "Failed"]
            assert lab.events.messages("missing", "Failed")[:3] == [
                f'Failed to pull image "localhost:5999/missing:1": {text}',
                "Error: ErrImagePull",
                "Error: ImagePullBackOff",
            ]

    run(scenario())


def test_an_image_that_must_not_be_pulled_and_a_name_that_is_none(node):
    async def scenario():
        async with node() as lab:
            await lab.run("never", {"image": "lab.local/nothing:1", "imagePullPolicy": "Never"})
            await lab.run("badname", {"image": "Bad_Name//x:::1"})
            never = await lab.until("never", lambda p: _waiting(p).get("reason") == "ErrImageNeverPull")
            bad = await lab.until("badname", lambda p: _waiting(p).get("reason") == "InvalidImageName")
            present = 'Container image "lab.local/nothing:1" is not present with pull policy of Never'
            assert _waiting(never)["message"] == present
            assert lab.events.messages("never", "ErrImageNeverPull")[0] == present
            assert lab.events.messages("never", "Failed")[0] == "Error: ErrImageNeverPull"
            assert _waiting(bad)["message"] == lab.events.messages("badname", "InspectFailed")[0]

    run(scenario())


def test_one_container_of_two_can_wait_for_its_image(node):
    async def scenario():
        async with node() as lab:
            good = {"name": "app", "image": "lab.local/app:1", "command": shell("exec sleep 60")}
            await lab.run("mixed", containers=[good, {"name": "bad", "image": "lab.local/nothing:1"}])
            pod = await lab.until("mixed", lambda p: "running" in app(p)["state"])
            assert pod["status"]["phase"] == "Pending"
            assert condition(pod, "Ready")["message"] == "containers with unready status: [bad]"

    run(scenario())


def test_missing_configuration_keeps_a_container_waiting_until_it_is_there(node):
    async def scenario():
        async with node(sync_period_seconds=0.05) as lab:
            present = {"metadata": {"name": "present", "namespace": "test"}, "data": {"a": "1"}}
            await lab.client.create(CONFIG_MAPS, present)
            sources = {
                "cm-key": {"env": [_from("configMapKeyRef", "absent")]},
                "cm-nokey": {"env": [_from("configMapKeyRef", "present")]},
                "sec-from": {"envFrom": [{"secretRef": {"name": "absent"}}]},
                "opt": {"env": [_from("configMapKeyRef", "absent", optional=True)]},
            }
            for name, source in sources.items():
                await lab.run(name, {"command": shell("env; exec sleep 60"), **source})
            texts = {
                "cm-key": 'configmap "absent" not found',
                "cm-nokey": "couldn't find key k in ConfigMap test/present",
                "sec-from": 'secret "absent" not found',
            }
            for name, text in texts.items():
                pod = await lab.until(name, lambda p: _waiting(p).get("reason") == "CreateContainerConfigError")
                assert _waiting(pod)["message"] == text
                assert lab.events.messages(name, "Failed")[0] == f"Error: {text}"
            await lab.until("opt", is_ready)
            await lab.client.create(
                CONFIG_MAPS, {"metadata": {"name": "absent", "namespace": "test"}, "data": {"k": "v"}}
            )
            await lab.client.create(
                SECRETS, {"metadata": {"name": "absent", "namespace": "test"}, "data": {"K": "dg=="}}
            )
            for name in ("cm-key", "sec-from"):
                await lab.until(name, is_ready)
            await lab.eventually(lambda: True)
            await lab.client.patch(CONFIG_MAPS, "present", {"data": {"k": "v"}}, "test")
            await lab.until("cm-nokey", is_ready)

    run(scenario())


def _from(kind, name, **more):
    return {"name": "VALUE", "valueFrom": {kind: {"name": name, "key": "k", **more}}}


def test_a_volume_from_a_missing_map_keeps_the_pod_in_creation(node):
    async def scenario():
        async with node() as lab:
            mounts = [{"name": "c", "mountPath": "/c"}]
            container = {"command": shell("exec sleep 60"), "volumeMounts": mounts}
            await lab.run("vol", container, volumes=[{"name": "c", "configMap": {"name": "absent"}}])
            await lab.eventually(lambda: len(lab.events.messages("vol", "FailedMount")) == 2)
            assert lab.events.messages("vol", "FailedMount")[0] == (
                'MountVolume.SetUp failed for volume "c" : configmap "absent" not found'
            )
            pod = await lab.pod("vol")
            assert _waiting(pod) == {"reason": "ContainerCreating"}
            assert condition(pod, "PodReadyToStartContainers")["status"] == "False"
            await lab.client.create(CONFIG_MAPS, {"metadata": {"name": "absent", "namespace": "test"}})
            await lab.until("vol", is_ready)

    run(scenario())


def test_init_containers_run_one_after_the_other_before_the_app(node):
    async def scenario():
        async with node() as lab:
            init = [
                {"name": f"i{n}", "image": "lab.local/app:1", "command": shell(f"sleep 0.1; echo {n}")} for n in (0, 1)
            ]
            await lab.run("ok", {"command": shell("exec sleep 60")}, initContainers=init)
            first = await lab.until("ok", lambda p: "initContainerStatuses" in p["status"])
            assert condition(first, "Initialized")["message"] == "containers with incomplete status: [i0 i1]"
            assert _waiting(first) == {"reason": "PodInitializing"}
            ready = await lab.until("ok", is_ready)
            assert [s["ready"] for s in ready["status"]["initContainerStatuses"]] == [True, True]
            assert condition(ready, "Initialized")["status"] == "True"
            init = [{"name": "i0", "image": "lab.local/app:1", "command": ["false"]}]
            await lab.run("never", restartPolicy="Never", initContainers=init)
            failed = await lab.until("never", lambda p: p["status"].get("phase") == "Failed")
            assert _waiting(failed) == {"reason": "PodInitializing"}
            await lab.run("fails", initContainers=init)
            again = await lab.until(
                "fails", lambda p: (p["status"].get("initContainerStatuses") or [{}])[0].get("restartCount") == 1
            )
            assert again["status"]["phase"] == "Pending"

    run(scenario())


def test_a_sidecar_starts_before_the_app_and_ends_after_it(node):
    async def scenario():
        async with node() as lab:
            side = {
                "name": "side",
                "image": "lab.local/app:1",
                "command": shell("trap 'exit 0' TERM; echo up; while true; do sleep 0.05; done"),
                "restartPolicy": "Always",
            }
            quits = {"command": shell("sleep 0.3")}
            await lab.run("pair", quits, restartPolicy="Never", initContainers=[side])
            both = await lab.until("pair", is_ready)
            assert [s["ready"] for s in both["status"]["initContainerStatuses"]] == [True]
            alone = await lab.until("pair", lambda p: "terminated" in app(p)["state"])
            assert alone["status"]["phase"] == "Running"
            pod = await lab.until("pair", lambda p: p["status"].get("phase") == "Succeeded")
            (status,) = pod["status"]["initContainerStatuses"]
            assert status["state"]["terminated"]["exitCode"] == 0
            assert lab.events.messages("pair", "Killing") == ["Stopping container side"]

    run(scenario())


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("images: {}", "images"),
        ("images: [3]", "images[0]"),
        ("images: [{tags: [a]}]", "images[0].repository"),
        ("images: [{repository: a, entrypoint: x}]", "images[0].entrypoint"),
        ("images: [{repository: a, bin: no/such}]", "images[0].bin"),
        ("images: [{repository: a, binn: x}]", "images[0]"),
        ("images: [", ""),
    ],
)
def test_a_broken_image_map_is_refused_with_file_and_key(tmp_path, text, where):
    path = tmp_path / "images.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        ImageMap.load(path)
    assert str(path) in caught.value.where
    assert where in caught.value.where


def test_references_find_images_whatever_their_registry(tmp_path):
    path = tmp_path / "images.yaml"
    path.write_text("images: [{repository: vllm/vllm-openai, tags: [v1, latest]}, {repository: redis}]")
    images = ImageMap.load(path)
    good = [
        "vllm/vllm-openai:v1",
        "vllm/vllm-openai",
        "docker.io/vllm/vllm-openai:v1",
        "localhost:5000/vllm/vllm-openai:v1",
        f"docker.io/library/redis:7@sha256:{'0' * 64}",
    ]
    assert [images.resolve(reference).repository for reference in good] == ["vllm/vllm-openai"] * 4 + ["redis"]
    for reference in ("vllm/vllm-openai:v2", "other/vllm-openai:v1"):
        with pytest.raises(ImageNotFound):
            images.resolve(reference)
