"""kubectl on workloads and nodes: apply, patch, scale, rollout, delete, cordon, drain."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.cluster.clients.conftest import Kubectl, wait_for
from tests.cluster.clients.manifests import DEPLOYMENT, POD

BUDGET = """
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web}
spec: {maxUnavailable: 1, selector: {matchLabels: {app: web}}}
"""


@pytest.fixture
def web(kubectl: Kubectl) -> None:
    kubectl.ok("apply", "-f", "-", stdin=DEPLOYMENT)
    kubectl.ok("rollout", "status", "deploy/web", "--timeout=20s")


def image(kubectl: Kubectl) -> str:
    return kubectl.ok("get", "deploy", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image}")


@pytest.mark.usefixtures("web")
def test_a_rollout_is_followed_undone_and_restarted(kubectl: Kubectl) -> None:
    kubectl.ok("set", "image", "deploy/web", "app=lab/app:v2")
    status = kubectl.ok("rollout", "status", "deploy/web", "--timeout=30s")
    assert status.endswith('deployment "web" successfully rolled out\n')
    history = kubectl.ok("rollout", "history", "deploy/web").split()
    assert history[-4:] == ["1", "<none>", "2", "<none>"]
    assert "lab/app:v2" in kubectl.ok("rollout", "history", "deploy/web", "--revision=2")
    assert kubectl.ok("rollout", "undo", "deploy/web") == "deployment.apps/web rolled back\n"
    kubectl.ok("rollout", "status", "deploy/web", "--timeout=30s")
    assert image(kubectl) == "lab/app:v1"
    before = set(kubectl.ok("get", "pods", "-o", "name").split())
    kubectl.ok("rollout", "restart", "deploy/web")
    kubectl.ok("rollout", "status", "deploy/web", "--timeout=30s")
    wait_for(lambda: before.isdisjoint(kubectl.ok("get", "pods", "-o", "name").split()), "all pods are new")
    missing = kubectl("rollout", "undo", "deploy/web", "--to-revision=99")
    assert (missing.code, missing.err) == (1, "error: unable to find specified revision 99 in history\n")


@pytest.mark.usefixtures("web")
def test_a_rollout_that_is_stuck_says_so_and_pauses(kubectl: Kubectl) -> None:
    kubectl.ok("patch", "deploy", "web", "-p", '{"spec":{"progressDeadlineSeconds":2}}')
    kubectl.ok("set", "image", "deploy/web", "app=lab/app:v9")
    stuck = kubectl("rollout", "status", "deploy/web", "--timeout=20s")
    assert (stuck.code, stuck.err) == (1, 'error: deployment "web" exceeded its progress deadline\n')
    kubectl.ok("rollout", "undo", "deploy/web")
    kubectl.ok("rollout", "status", "deploy/web", "--timeout=20s")
    kubectl.ok("rollout", "pause", "deploy/web")
    assert "paused" in kubectl("rollout", "undo", "deploy/web").err
    kubectl.ok("rollout", "resume", "deploy/web")


@pytest.mark.usefixtures("web")
def test_scale_with_and_without_a_condition(kubectl: Kubectl) -> None:
    assert kubectl.ok("scale", "deploy/web", "--replicas=3") == "deployment.apps/web scaled\n"
    kubectl.ok("wait", "--for=jsonpath={.status.readyReplicas}=3", "deploy/web", "--timeout=20s")
    wrong = kubectl("scale", "deploy/web", "--current-replicas=7", "--replicas=1")
    assert (wrong.code, wrong.err) == (1, "error: Expected replicas to be 7, was 3\n")
    assert 'deployments.apps "no" not found' in kubectl("scale", "deploy/no", "--replicas=1").err


def test_apply_merges_what_others_changed(kubectl: Kubectl) -> None:
    assert kubectl.ok("apply", "-f", "-", stdin=DEPLOYMENT) == "deployment.apps/web created\n"
    assert kubectl.ok("apply", "-f", "-", stdin=DEPLOYMENT) == "deployment.apps/web unchanged\n"
    kubectl.ok("annotate", "deploy", "web", "by=hand")
    kubectl.ok("label", "deploy", "web", "extra=1")
    changed = DEPLOYMENT.replace("lab/app:v1", "lab/app:v2").replace(
        "labels: {app: web}}\nspec", "labels: {}}\nspec", 1
    )
    assert kubectl("diff", "-f", "-", stdin=changed).code == 1
    assert kubectl.ok("apply", "-f", "-", stdin=changed) == "deployment.apps/web configured\n"
    metadata = json.loads(kubectl.ok("get", "deploy", "web", "-o", "json"))["metadata"]
    assert metadata["labels"] == {"extra": "1"}
    assert metadata["annotations"]["by"] == "hand"
    assert image(kubectl) == "lab/app:v2"
    dry = kubectl.ok("apply", "--dry-run=server", "-f", "-", stdin=DEPLOYMENT)
    assert dry == "deployment.apps/web configured (server dry run)\n"
    assert image(kubectl) == "lab/app:v2"


def test_apply_on_the_server_finds_conflicts(kubectl: Kubectl) -> None:
    ours = ("apply", "--server-side", "-f", "-")
    kubectl.ok(*ours, "--field-manager=one", stdin=DEPLOYMENT)
    conflict = kubectl(*ours, "--field-manager=two", stdin=DEPLOYMENT.replace("replicas: 2", "replicas: 5"))
    assert conflict.code == 1
    assert 'conflict with "one": .spec.replicas' in conflict.err
    kubectl.ok(
        *ours, "--field-manager=two", "--force-conflicts", stdin=DEPLOYMENT.replace("replicas: 2", "replicas: 5")
    )
    assert kubectl.ok("get", "deploy", "web", "-o", "jsonpath={.spec.replicas}") == "5"


def test_patch_in_its_three_forms(kubectl: Kubectl) -> None:
    kubectl.ok("apply", "-f", "-", stdin=DEPLOYMENT)
    container = '{"spec":{"template":{"spec":{"containers":[{"name":"app","image":"lab/app:v2"}]}}}}'
    assert kubectl.ok("patch", "deploy", "web", "-p", container) == "deployment.apps/web patched\n"
    assert kubectl.ok("patch", "deploy", "web", "-p", container) == "deployment.apps/web patched (no change)\n"
    kubectl.ok("patch", "deploy", "web", "--type=merge", "-p", '{"spec":{"replicas":1}}')
    path = "/spec/template/spec/containers/0/image"
    kubectl.ok(
        "patch",
        "deploy",
        "web",
        "--type=json",
        "-p",
        json.dumps([{"op": "replace", "path": path, "value": "lab/app:v1"}]),
    )
    assert image(kubectl) == "lab/app:v1"
    bad = kubectl("patch", "deploy", "web", "-p", '{"spec":{"replicas":"many"}}')
    assert (bad.code, "cannot unmarshal string into Go" in bad.err) == (1, True)


@pytest.mark.usefixtures("web")
def test_delete_in_its_forms(kubectl: Kubectl) -> None:
    kubectl.ok("apply", "-f", "-", stdin=POD)
    kubectl.ok("wait", "--for=condition=Ready", "pod/web", "--timeout=20s")
    forced = kubectl("delete", "pod", "web", "--force", "--grace-period=0")
    assert forced.out == 'pod "web" force deleted\n'
    assert "Immediate deletion does not wait for confirmation" in forced.err
    assert kubectl.ok("delete", "deploy", "web", "--cascade=orphan") == 'deployment.apps "web" deleted\n'
    assert len(kubectl.ok("get", "rs", "-o", "name").split()) == 1
    kubectl.ok("delete", "rs", "-l", "app=web")
    wait_for(lambda: kubectl.ok("get", "pods", "-o", "name") == "", "the pods go with their ReplicaSet")
    assert kubectl.ok("delete", "pod", "no", "--ignore-not-found") == ""


@pytest.fixture
def uncordoned(kubectl: Kubectl) -> Iterator[None]:
    yield
    for node in ("node-1", "node-2"):
        kubectl.ok("uncordon", node)


@pytest.mark.usefixtures("web", "uncordoned")
def test_a_node_is_cordoned_and_drained_within_the_budget(kubectl: Kubectl) -> None:
    kubectl.ok("apply", "-f", "-", stdin=BUDGET)
    kubectl.ok("cordon", "node-2")
    kubectl.ok("rollout", "restart", "deploy/web")
    kubectl.ok("rollout", "status", "deploy/web", "--timeout=30s")
    assert "SchedulingDisabled" in kubectl.ok("get", "node", "node-2")
    kubectl.ok("uncordon", "node-2")
    drained = kubectl(
        "drain", "node-1", "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=30s", "--pod-selector=app=web"
    )
    assert drained.code == 0, drained.err
    assert drained.out.count("evicting pod") >= 2
    assert drained.out.endswith("node/node-1 drained\n")
    assert "Cannot evict pod as it would violate the pod's disruption budget" in drained.err
    kubectl.ok("wait", "--for=jsonpath={.status.readyReplicas}=2", "deploy/web", "--timeout=20s")
    nodes = kubectl.ok("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].spec.nodeName}").split()
    assert set(nodes) == {"node-2"}


@pytest.mark.usefixtures("uncordoned")
def test_drain_refuses_pods_that_nobody_replaces(kubectl: Kubectl) -> None:
    kubectl.ok("apply", "-f", "-", stdin=POD)
    kubectl.ok("wait", "--for=condition=Ready", "pod/web", "--timeout=20s")
    node = kubectl.ok("get", "pod", "web", "-o", "jsonpath={.spec.nodeName}")
    refused = kubectl("drain", node, "--pod-selector=app=one", "--timeout=10s")
    assert (refused.code, "cannot delete cannot delete" in refused.err or "declare no controller" in refused.err) == (
        1,
        True,
    )
    kubectl.ok("drain", node, "--pod-selector=app=one", "--force", "--timeout=20s")
    assert 'pods "web" not found' in kubectl("get", "pod", "web").err


def test_taints_are_set_and_removed(kubectl: Kubectl) -> None:
    assert kubectl.ok("taint", "node", "node-2", "gpu=broken:NoSchedule") == "node/node-2 tainted\n"
    assert kubectl.ok("get", "node", "node-2", "-o", "jsonpath={.spec.taints[*].key}") == "gpu"
    assert kubectl.ok("taint", "node", "node-2", "gpu-") == "node/node-2 untainted\n"


def test_create_expose_autoscale_and_delete_by_kubectl_alone(kubectl: Kubectl) -> None:
    kubectl.ok("create", "deployment", "d", "--image=lab/app:v1", "--port=8000")
    assert kubectl.ok("expose", "deploy", "d", "--port=80", "--target-port=8000") == "service/d exposed\n"
    kubectl.ok("set", "env", "deploy/d", "COLOUR=blue")
    kubectl.ok("set", "resources", "deploy/d", "--limits=memory=256Mi")
    kubectl.ok("rollout", "status", "deploy/d", "--timeout=30s")
    assert kubectl.ok("exec", "deploy/d", "--", "sh", "-c", "echo $COLOUR") == "blue\n"
    kubectl.ok("create", "configmap", "c", "--from-literal=a=b")
    kubectl.ok("create", "secret", "generic", "s", "--from-literal=a=b")
    assert kubectl.ok("auth", "can-i", "create", "pods/exec") == "yes\n"
    kubectl.ok("delete", "deploy,svc,cm,secret", "--all")
