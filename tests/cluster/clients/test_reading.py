"""kubectl get, describe, explain, events, wait and discovery on a running Deployment."""

from __future__ import annotations

import json

import pytest
import yaml

from clients.addresses import reachable
from tests.cluster.clients.conftest import Kubectl, wait_for
from tests.cluster.clients.manifests import DEPLOYMENT, POD, SERVICE


@pytest.fixture(autouse=True)
def web(kubectl: Kubectl) -> None:
    kubectl.ok("apply", "-f", "-", stdin=DEPLOYMENT + "---" + SERVICE)
    kubectl.ok("rollout", "status", "deploy/web", "--timeout=20s")


def test_get_prints_tables(kubectl: Kubectl) -> None:
    header, *rows = kubectl.ok("get", "pods").splitlines()
    assert header.split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert [row.split()[1:4] for row in rows] == [["1/1", "Running", "0"]] * 2
    wide = kubectl.ok("get", "pods", "-o", "wide").splitlines()
    assert wide[0].split()[5:] == ["IP", "NODE", "NOMINATED", "NODE", "READINESS", "GATES"]
    assert all(reachable(row.split()[5]).startswith("127.") and row.split()[6].startswith("node-") for row in wide[1:])
    assert "app=web" in kubectl.ok("get", "pods", "--show-labels")
    assert kubectl.ok("get", "pods", "-L", "app").splitlines()[1].split()[-1] == "web"
    assert "deployment.apps/web" in kubectl.ok("get", "all")
    deployment = kubectl.ok("get", "deploy", "web", "-o", "wide", "--no-headers").split()
    assert deployment[:4] == ["web", "2/2", "2", "2"]
    assert deployment[-3:] == ["app", "lab/app:v1", "app=web"]
    assert kubectl.ok("get", "svc", "web").splitlines()[1].split()[1] == "ClusterIP"


def test_get_prints_objects_in_every_other_form(kubectl: Kubectl) -> None:
    assert json.loads(kubectl.ok("get", "deploy", "web", "-o", "json"))["kind"] == "Deployment"
    assert yaml.safe_load(kubectl.ok("get", "deploy,svc", "-o", "yaml"))["kind"] == "List"
    names = kubectl.ok("get", "pods", "-o", "name").split()
    assert len(names) == 2
    assert all(name.startswith("pod/web-") for name in names)
    assert kubectl.ok("get", "pods", "-o", "jsonpath={.items[*].status.phase}") == "Running Running"
    columns = kubectl.ok("get", "deploy", "-o", "custom-columns=N:.metadata.name,R:.spec.replicas").splitlines()
    assert [line.split() for line in columns] == [["N", "R"], ["web", "2"]]
    assert kubectl.ok("get", "deploy", "web", "-o", "go-template={{.metadata.name}}") == "web"
    assert (
        kubectl.ok("get", "pods", "-l", "app=web", "--field-selector=status.phase=Running", "-o", "name").split()
        == names
    )
    assert kubectl("get", "pods", "-l", "app in (a,b)").err.startswith("No resources found in ")
    by_name = kubectl.ok("get", "pods", "--sort-by=.metadata.name", "-o", "name").split()
    assert by_name == sorted(names)
    assert f"{kubectl.namespace} " in kubectl.ok("get", "pods", "-A")


def test_get_follows_changes(kubectl: Kubectl) -> None:
    with kubectl.running("get", "deploy", "web", "-w", "--no-headers") as process:
        assert process.stdout
        assert process.stdout.readline().split()[:2] == ["web", "2/2"]
        kubectl.ok("scale", "deploy/web", "--replicas=1")
        seen = [process.stdout.readline().split()[1]]
        while seen[-1] != "1/1":
            seen.append(process.stdout.readline().split()[1])
    with kubectl.running("get", "pods", "-w", "--no-headers", "--output-watch-events") as process:
        assert process.stdout
        assert process.stdout.readline().startswith("ADDED")
        kubectl.ok("apply", "-f", "-", stdin=POD)
        lines = iter(process.stdout.readline, "")
        assert any(line.split()[:2] == ["ADDED", "web"] for line in lines)
        kubectl.ok("delete", "pod", "web", "--wait=false")
        assert any(line.split()[:2] == ["DELETED", "web"] for line in lines)


def test_describe_tells_the_story(kubectl: Kubectl) -> None:
    pods = kubectl.ok("describe", "pods", "-l", "app=web")
    for part in ("Controlled By:  ReplicaSet/web-", "Image:          lab/app:v1", "Readiness:", "cpu:        100m"):
        assert part in pods
    wait_for(lambda: "Started  " in kubectl.ok("describe", "pods", "-l", "app=web"), "events of the pods")
    deployment = kubectl.ok("describe", "deploy", "web")
    assert "Replicas:               2 desired | 2 updated | 2 total | 2 available | 0 unavailable" in deployment
    assert "ScalingReplicaSet" in deployment
    service = kubectl.ok("describe", "svc", "web")
    assert "TargetPort:               http/TCP" in service
    assert service.count(":8000") == 2
    node = kubectl.ok("describe", "node", "node-1")
    assert "Ready" in node
    assert "Allocated resources:" in node


def test_events_are_listed_for_an_object_and_by_time(kubectl: Kubectl) -> None:
    events = kubectl.ok("events", "--for=deployment/web")
    assert "ScalingReplicaSet" in events
    assert "Scaled up replica set web-" in events
    listed = kubectl.ok("get", "events", "--sort-by=.lastTimestamp", "--field-selector=reason=SuccessfulCreate")
    assert listed.count("Created pod: web-") == 2
    assert "Scheduled" in kubectl.ok("events", "--types=Normal")


def test_wait_for_conditions_fields_and_deletion(kubectl: Kubectl) -> None:
    assert kubectl.ok("wait", "--for=condition=Available", "deploy/web") == "deployment.apps/web condition met\n"
    kubectl.ok("wait", "--for=jsonpath={.status.readyReplicas}=2", "deploy/web")
    late = kubectl("wait", "--for=condition=Progressing=False", "deploy/web", "--timeout=300ms")
    assert (late.code, "timed out waiting for the condition on deployments/web" in late.err) == (1, True)
    with kubectl.running("wait", "--for=delete", "deploy/web", "--timeout=10s") as process:
        kubectl.ok("delete", "deploy", "web")
        assert process.wait(10) == 0


def test_what_is_not_there_is_said_so(kubectl: Kubectl) -> None:
    assert kubectl("get", "pods", "no").err == 'Error from server (NotFound): pods "no" not found\n'
    assert kubectl("get", "widgets").err == 'error: the server doesn\'t have a resource type "widgets"\n'
    gone = kubectl("get", "pods", "-n", "nosuch")
    assert (gone.code, gone.err) == (0, "No resources found in nosuch namespace.\n")
    assert "pods" in kubectl.ok("api-resources", "--namespaced=true", "--verbs=list", "-o", "name").split()
    assert "v1.36" in kubectl.ok("version")


def test_explain_knows_the_fields_of_a_kind(kubectl: Kubectl) -> None:
    told = kubectl.ok("explain", "deployment.spec.strategy")
    assert ("FIELD: strategy <DeploymentStrategy>" in told, "rollingUpdate\t<RollingUpdateDeployment>" in told) == (
        True,
        True,
    )
    assert "name\t<string> -required-" in kubectl.ok("explain", "pods.spec.containers.env")
    assert "value\t<string>" in kubectl.ok("explain", "pod.spec.containers.env", "--recursive")
    assert 'field "nosuch" does not exist' in kubectl("explain", "pod.spec.nosuch").err
