"""The values a server fills in before an object is stored, kind by kind (Kubernetes API reference, v1.36).

Objects arrive freshly decoded. Parts of an update that did not change are shared with the stored object; they carry
their defaults already, so filling in what is missing never changes a stored object.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from typing import Any

from cluster.embedded.resources import (
    CLUSTER_ROLE_BINDINGS,
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    ENDPOINTS,
    HORIZONTAL_POD_AUTOSCALERS,
    JOBS,
    NAMESPACES,
    NETWORK_POLICIES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    PRIORITY_CLASSES,
    REPLICA_SETS,
    ROLE_BINDINGS,
    SECRETS,
    SERVICES,
    STATEFUL_SETS,
    Object,
    Resource,
)

_RBAC = "rbac.authorization.k8s.io"
_FILE_MODE = 0o644


def apply_defaults(resource: Resource, obj: Object) -> None:
    """Fill in the defaults of a decoded object, in place."""
    if fill := _BY_RESOURCE.get(resource.group_resource):
        fill(obj)


def pod_spec_defaults(spec: dict[str, Any]) -> None:
    """Defaults of a pod spec, in a Pod and in a template alike."""
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("securityContext", {})
    spec.setdefault("terminationGracePeriodSeconds", 30)
    _service_account_names(spec)
    for volume in spec.get("volumes", ()):
        _volume(volume)
    for container in containers_of(spec):
        _container(container)


def containers_of(spec: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """Init, normal and ephemeral containers of a pod spec."""
    for group in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(group) or ()


def _service_account_names(spec: dict[str, Any]) -> None:
    """``serviceAccount`` is the old name of ``serviceAccountName``; both are always written."""
    if name := spec.get("serviceAccountName") or spec.get("serviceAccount"):
        if spec.get("serviceAccount") != name:
            spec["serviceAccount"] = name
        spec.setdefault("serviceAccountName", name)


def _container(container: dict[str, Any]) -> None:
    container.setdefault("imagePullPolicy", _pull_policy(container.get("image", "")))
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    for port in container.get("ports", ()):
        port.setdefault("protocol", "TCP")
    for variable in container.get("env", ()):
        _field_reference(variable.get("valueFrom"))
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if name in container:
            _probe(container[name])
    for handler in container.get("lifecycle", {}).values():
        if isinstance(handler, dict):
            _http_get(handler)


def _pull_policy(image: str) -> str:
    if "@" in image:
        return "IfNotPresent"
    _, colon, tag = image.rpartition("/")[2].partition(":")
    return "Always" if not colon or tag == "latest" else "IfNotPresent"


def _field_reference(source: dict[str, Any] | None) -> None:
    if source and "fieldRef" in source:
        source["fieldRef"].setdefault("apiVersion", "v1")


def _probe(probe: dict[str, Any]) -> None:
    probe.setdefault("timeoutSeconds", 1)
    probe.setdefault("periodSeconds", 10)
    probe.setdefault("successThreshold", 1)
    probe.setdefault("failureThreshold", 3)
    _http_get(probe)
    if "grpc" in probe:
        probe["grpc"].setdefault("service", "")


def _http_get(handler: dict[str, Any]) -> None:
    if "httpGet" in handler:
        handler["httpGet"].setdefault("path", "/")
        handler["httpGet"].setdefault("scheme", "HTTP")


def _volume(volume: dict[str, Any]) -> None:
    if len(volume) == 1:
        volume["emptyDir"] = {}
    for source in ("configMap", "secret", "projected", "downwardAPI"):
        if source in volume:
            volume[source].setdefault("defaultMode", _FILE_MODE)
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")
    for item in volume.get("downwardAPI", {}).get("items", ()):
        _field_reference(item)
    for source in volume.get("projected", {}).get("sources", ()):
        _projection(source)


def _projection(source: dict[str, Any]) -> None:
    if "serviceAccountToken" in source:
        source["serviceAccountToken"].setdefault("expirationSeconds", 3600)
    for item in source.get("downwardAPI", {}).get("items", ()):
        _field_reference(item)


def _pod(pod: Object) -> None:
    spec = pod["spec"]
    spec.setdefault("enableServiceLinks", True)
    pod_spec_defaults(spec)
    for container in containers_of(spec):
        _requests_from_limits(container["resources"])
        if spec.get("hostNetwork"):
            for port in container.get("ports", ()):
                port.setdefault("hostPort", port.get("containerPort", 0))


def _requests_from_limits(resources: dict[str, Any]) -> None:
    missing = {
        name: limit for name, limit in resources.get("limits", {}).items() if name not in resources.get("requests", {})
    }
    if missing:
        resources["requests"] = {**resources.get("requests", {}), **missing}


def _deployment(deployment: Object) -> None:
    spec = deployment["spec"]
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    strategy = spec["strategy"]
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxSurge", "25%")
        rolling.setdefault("maxUnavailable", "25%")
    pod_spec_defaults(spec["template"]["spec"])


def _replica_set(replica_set: Object) -> None:
    replica_set["spec"].setdefault("replicas", 1)
    pod_spec_defaults(replica_set["spec"]["template"]["spec"])


def _service(service: Object) -> None:
    spec = service["spec"]
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    if spec["sessionAffinity"] == "ClientIP":
        config = spec.setdefault("sessionAffinityConfig", {"clientIP": {}})
        config.setdefault("clientIP", {}).setdefault("timeoutSeconds", 10800)
    else:
        spec.pop("sessionAffinityConfig", None)
    for port in spec.get("ports", ()):
        port.setdefault("protocol", "TCP")
        if port.get("targetPort") in (None, 0, ""):
            port["targetPort"] = port.get("port", 0)
    if spec["type"] != "ExternalName":
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if spec["type"] in ("NodePort", "LoadBalancer"):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)


def _secret(secret: Object) -> None:
    secret.setdefault("type", "Opaque")
    plain = secret.pop("stringData", None)
    if plain:
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
        secret["data"] = {**secret.get("data", {}), **encoded}


def _namespace(namespace: Object) -> None:
    metadata = namespace["metadata"]
    name, labels = metadata.get("name"), metadata.get("labels", {})
    if name and labels.get("kubernetes.io/metadata.name") != name:
        metadata["labels"] = {**labels, "kubernetes.io/metadata.name": name}


def _node(node: Object) -> None:
    status = node["status"]
    if "capacity" in status:
        status.setdefault("allocatable", dict(status["capacity"]))


def _network_policy(policy: Object) -> None:
    spec = policy["spec"]
    spec.setdefault("policyTypes", ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])
    for rule in (*spec.get("ingress", ()), *spec.get("egress", ())):
        for port in rule.get("ports", ()):
            port.setdefault("protocol", "TCP")


def _endpoints(endpoints: Object) -> None:
    for subset in endpoints.get("subsets", ()):
        for port in subset.get("ports", ()):
            port.setdefault("protocol", "TCP")


def _endpoint_slice(endpoint_slice: Object) -> None:
    for port in endpoint_slice.get("ports") or ():
        port.setdefault("name", "")
        port.setdefault("protocol", "TCP")


def _priority_class(priority_class: Object) -> None:
    priority_class.setdefault("preemptionPolicy", "PreemptLowerPriority")


def _role_binding(binding: Object) -> None:
    if not binding["roleRef"].get("apiGroup"):
        binding["roleRef"]["apiGroup"] = _RBAC
    for subject in binding.get("subjects", ()):
        if subject.get("kind") in ("User", "Group"):
            subject.setdefault("apiGroup", _RBAC)


def _job(job: Object) -> None:
    spec = job["spec"]
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("manualSelector", False)
    spec.setdefault("podReplacementPolicy", "TerminatingOrFailed")
    pod_spec_defaults(spec["template"]["spec"])


def _cron_job(cron_job: Object) -> None:
    spec = cron_job["spec"]
    spec.setdefault("concurrencyPolicy", "Allow")
    spec.setdefault("suspend", False)
    spec.setdefault("successfulJobsHistoryLimit", 3)
    spec.setdefault("failedJobsHistoryLimit", 1)
    template = ((spec.get("jobTemplate") or {}).get("spec") or {}).get("template") or {}
    if "spec" in template:
        pod_spec_defaults(template["spec"])


def _stateful_set(stateful_set: Object) -> None:
    spec = stateful_set["spec"]
    spec.setdefault("podManagementPolicy", "OrderedReady")
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("persistentVolumeClaimRetentionPolicy", {"whenDeleted": "Retain", "whenScaled": "Retain"})
    strategy = spec["updateStrategy"]
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        strategy.setdefault("rollingUpdate", {}).setdefault("partition", 0)
    pod_spec_defaults(spec["template"]["spec"])
    for claim in spec.get("volumeClaimTemplates", ()):
        _persistent_volume_claim(claim)


def _daemon_set(daemon_set: Object) -> None:
    spec = daemon_set["spec"]
    spec.setdefault("revisionHistoryLimit", 10)
    strategy = spec["updateStrategy"]
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxSurge", 0)
        rolling.setdefault("maxUnavailable", 1)
    pod_spec_defaults(spec["template"]["spec"])


def _persistent_volume_claim(claim: Object) -> None:
    claim.setdefault("status", {}).setdefault("phase", "Pending")
    claim["spec"].setdefault("volumeMode", "Filesystem")


def _autoscaler(autoscaler: Object) -> None:
    """Behaviour is completed only where a part of it was given (autoscaling/v2 defaults)."""
    spec = autoscaler["spec"]
    spec.setdefault("minReplicas", 1)
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    behavior = spec.get("behavior")
    if behavior is None:
        return
    percent = {"type": "Percent", "value": 100, "periodSeconds": 15}
    up = behavior.setdefault("scaleUp", {})
    up.setdefault("stabilizationWindowSeconds", 0)
    up.setdefault("selectPolicy", "Max")
    up.setdefault("policies", [{"type": "Pods", "value": 4, "periodSeconds": 15}, percent])
    down = behavior.setdefault("scaleDown", {})
    down.setdefault("selectPolicy", "Max")
    down.setdefault("policies", [percent])


_BY_RESOURCE: dict[str, Callable[[Object], None]] = {
    PODS.group_resource: _pod,
    DEPLOYMENTS.group_resource: _deployment,
    REPLICA_SETS.group_resource: _replica_set,
    SERVICES.group_resource: _service,
    SECRETS.group_resource: _secret,
    NAMESPACES.group_resource: _namespace,
    NODES.group_resource: _node,
    NETWORK_POLICIES.group_resource: _network_policy,
    ENDPOINTS.group_resource: _endpoints,
    ENDPOINT_SLICES.group_resource: _endpoint_slice,
    PRIORITY_CLASSES.group_resource: _priority_class,
    ROLE_BINDINGS.group_resource: _role_binding,
    CLUSTER_ROLE_BINDINGS.group_resource: _role_binding,
    JOBS.group_resource: _job,
    CRON_JOBS.group_resource: _cron_job,
    STATEFUL_SETS.group_resource: _stateful_set,
    DAEMON_SETS.group_resource: _daemon_set,
    PERSISTENT_VOLUME_CLAIMS.group_resource: _persistent_volume_claim,
    HORIZONTAL_POD_AUTOSCALERS.group_resource: _autoscaler,
}
