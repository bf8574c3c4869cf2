"""Programs in pods that use the API with the credentials of their ServiceAccount, as in any cluster."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cluster.clients.conftest import Kubectl

_PROGRAM = """
import json
from kubernetes import client, config
config.load_incluster_config()
try:
    pods = client.CoreV1Api().list_namespaced_pod("{namespace}").items
    print(json.dumps([pod.metadata.name for pod in pods]))
except client.ApiException as error:
    print(json.dumps([error.status, json.loads(error.body)["message"]]))
"""


def _pod(name: str, namespace: str, **spec: Any) -> str:
    container = {
        "name": "app",
        "image": "lab/app:v1",
        "command": ["python3", "-c", _PROGRAM.format(namespace=namespace)],
    }
    metadata = {"name": name}
    whole = {"restartPolicy": "Never", "containers": [container], **spec}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": whole})


def _said(kubectl: Kubectl, name: str) -> Any:
    kubectl.ok("wait", f"pod/{name}", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=30s")
    return json.loads(kubectl.ok("logs", name))


def test_a_pod_may_what_its_account_may(kubectl: Kubectl) -> None:
    kubectl.ok("create", "serviceaccount", "reader")
    kubectl.ok("create", "role", "reader", "--verb=list", "--resource=pods")
    kubectl.ok("create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={kubectl.namespace}:reader")
    kubectl.ok("apply", "-f", "-", stdin=_pod("reading", kubectl.namespace, serviceAccountName="reader"))
    assert _said(kubectl, "reading") == ["reading"]
    kubectl.ok("apply", "-f", "-", stdin=_pod("refused", kubectl.namespace))
    code, message = _said(kubectl, "refused")
    assert code == 403
    assert f'User "system:serviceaccount:{kubectl.namespace}:default" cannot list resource "pods"' in message


def test_credentials_are_a_volume_of_the_pod(kubectl: Kubectl) -> None:
    kubectl.ok("run", "web", "--image=lab/app:v1")
    kubectl.ok("wait", "pod/web", "--for=condition=Ready", "--timeout=20s")
    [volume] = json.loads(kubectl.ok("get", "pod", "web", "-o", "jsonpath={.spec.volumes}"))
    assert volume["name"].startswith("kube-api-access-")
    place = "$GAMEDAY_ROOTFS/var/run/secrets/kubernetes.io/serviceaccount"
    shown = kubectl.ok("exec", "web", "--", "sh", "-c", f"cat {place}/namespace; echo; head -1 {place}/ca.crt")
    assert shown.splitlines() == [kubectl.namespace, "-----BEGIN CERTIFICATE-----"]
    token = kubectl.ok("exec", "web", "--", "sh", "-c", f"cat {place}/token")
    assert token.count(".") == 2


def test_a_pod_without_its_account_or_without_a_token(kubectl: Kubectl) -> None:
    missing = kubectl("apply", "-f", "-", stdin=_pod("lost", kubectl.namespace, serviceAccountName="nosuch"))
    assert 'serviceaccount "nosuch" not found' in missing.err
    kubectl.ok("apply", "-f", "-", stdin=_pod("bare", kubectl.namespace, automountServiceAccountToken=False))
    assert kubectl.ok("get", "pod", "bare", "-o", "jsonpath={.spec.volumes}") == ""


@pytest.mark.usefixtures("kubectl")
def test_each_component_signs_its_writes(kubectl: Kubectl) -> None:
    kubectl.ok("create", "deployment", "web", "--image=lab/app:v1")
    kubectl.ok("rollout", "status", "deploy/web", "--timeout=20s")
    managers = kubectl.ok(
        "get", "pods", "-o", "jsonpath={.items[0].metadata.managedFields[*].manager}", "--show-managed-fields"
    )
    assert set(managers.split()) == {"kube-controller-manager", "kubelet"}
