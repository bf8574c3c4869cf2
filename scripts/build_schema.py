"""Extract a compact schema of the served kinds from the published OpenAPI definitions.

Run after a change of the Kubernetes version or of the served kinds:

    python scripts/build_schema.py

It reads the definitions that the development dependency ``kubernetes-validate`` ships, follows the references from
each served kind, and writes ``cluster/embedded/apiserver/data/schema.json.gz``. What the published schema does not
say, and the wire format needs, is stated below: which zero values are written, and which fields are always written.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate

from cluster.embedded.resources import NETWORK_FAULTS, RESOURCES

VERSION = "v1.36.0"
TARGET = Path(__file__).parents[1] / "cluster" / "embedded" / "apiserver" / "data" / "schema.json.gz"

EXTRA_KINDS = (
    ("autoscaling/v1", "Scale"),
    ("policy/v1", "Eviction"),
    ("v1", "Binding"),
    ("v1", "DeleteOptions"),
    ("events.k8s.io/v1", "Event"),
)

ABBREVIATIONS = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "quantity",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "intorstring",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": "time",
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": "time",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": "any",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "any",
}

# Optional numbers and booleans are pointers (zero is written) except these, of which zero means absent.
ZERO_IS_ABSENT = {
    "initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold", "hostPort",
    "nodePort", "healthCheckNodePort", "minReadySeconds", "observedGeneration", "generation", "count", "signal",
    "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "updatedReplicas", "unavailableReplicas",
    "hostNetwork", "hostPID", "hostIPC", "tty", "stdin", "stdinOnce", "paused", "unschedulable", "readOnly",
    "publishNotReadyAddresses", "globalDefault",
}  # fmt: skip

# Exceptions by type: optional fields of which zero means absent here only, or is written here only.
ZERO_IS_ABSENT_IN = {
    "autoscaling.v1.ScaleSpec": {"replicas"},
    "apps.v1.DeploymentStatus": {"replicas"},
}
ZERO_IS_WRITTEN_IN = {
    "discovery.v1.EndpointPort": {"name", "protocol"},
    "core.v1.HostPathVolumeSource": {"type"},
    "core.v1.EndpointSubset": set[str](),
    "coordination.v1.LeaseSpec": {"holderIdentity"},
}

# Fields that are written even when nobody set them.
ALWAYS: dict[str, dict[str, Any]] = {
    "core.v1.Pod": {"spec": {"containers": None}, "status": {}},
    "core.v1.Container": {"name": "", "resources": {}},
    "core.v1.EphemeralContainer": {"name": "", "resources": {}},
    "core.v1.ContainerStatus": {
        "image": "", "imageID": "", "lastState": {}, "name": "", "ready": False, "restartCount": 0, "state": {},
    },
    "core.v1.ContainerStateRunning": {"startedAt": None},
    "core.v1.ContainerStateTerminated": {"exitCode": 0, "finishedAt": None, "startedAt": None},
    "core.v1.PodTemplateSpec": {"metadata": {}, "spec": {"containers": None}},
    "core.v1.PodSpec": {"containers": None},
    "core.v1.PodCondition": {"lastProbeTime": None, "lastTransitionTime": None},
    "core.v1.NodeCondition": {"lastHeartbeatTime": None, "lastTransitionTime": None},
    "core.v1.NamespaceCondition": {"lastTransitionTime": None},
    "apps.v1.DeploymentCondition": {"lastTransitionTime": None, "lastUpdateTime": None},
    "apps.v1.ReplicaSetCondition": {"lastTransitionTime": None},
    "core.v1.Namespace": {"spec": {}, "status": {}},
    "core.v1.Node": {
        "spec": {},
        "status": {
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
            "nodeInfo": {
                "architecture": "", "bootID": "", "containerRuntimeVersion": "", "kernelVersion": "",
                "kubeProxyVersion": "", "kubeletVersion": "", "machineID": "", "operatingSystem": "", "osImage": "",
                "systemUUID": "",
            },
        },
    },
    "core.v1.NodeStatus": {
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
        "nodeInfo": {
            "architecture": "", "bootID": "", "containerRuntimeVersion": "", "kernelVersion": "",
            "kubeProxyVersion": "", "kubeletVersion": "", "machineID": "", "operatingSystem": "", "osImage": "",
            "systemUUID": "",
        },
    },
    "core.v1.Service": {"spec": {}, "status": {"loadBalancer": {}}},
    "core.v1.ServiceStatus": {"loadBalancer": {}},
    "core.v1.Event": {
        "eventTime": None, "firstTimestamp": None, "involvedObject": {}, "lastTimestamp": None,
        "reportingComponent": "", "reportingInstance": "", "source": {},
    },
    "events.v1.Event": {
        "eventTime": None, "deprecatedFirstTimestamp": None, "deprecatedLastTimestamp": None, "deprecatedSource": {},
        "regarding": {},
    },
    "apps.v1.Deployment": {
        "spec": {"selector": None, "strategy": {}, "template": {"metadata": {}, "spec": {"containers": None}}},
        "status": {},
    },
    "apps.v1.DeploymentSpec": {
        "selector": None, "strategy": {}, "template": {"metadata": {}, "spec": {"containers": None}},
    },
    "apps.v1.ReplicaSet": {
        "spec": {"selector": None, "template": {"metadata": {}, "spec": {"containers": None}}},
        "status": {"replicas": 0},
    },
    "apps.v1.ReplicaSetSpec": {"selector": None, "template": {"metadata": {}, "spec": {"containers": None}}},
    "apps.v1.ReplicaSetStatus": {"replicas": 0},
    "discovery.v1.EndpointSlice": {"addressType": "", "endpoints": None, "ports": None},
    "discovery.v1.Endpoint": {"addresses": None, "conditions": {}},
    "coordination.v1.Lease": {"spec": {}},
    "policy.v1.PodDisruptionBudget": {
        "spec": {},
        "status": {"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0},
    },
    "policy.v1.PodDisruptionBudgetStatus": {
        "currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0,
    },
    "apps.v1.StatefulSet": {
        "spec": {"selector": None, "template": {"metadata": {}, "spec": {"containers": None}}, "updateStrategy": {}},
        "status": {"replicas": 0, "availableReplicas": 0},
    },
    "apps.v1.StatefulSetSpec": {
        "selector": None, "template": {"metadata": {}, "spec": {"containers": None}}, "updateStrategy": {},
    },
    "apps.v1.StatefulSetStatus": {"replicas": 0, "availableReplicas": 0},
    "apps.v1.DaemonSet": {
        "spec": {"selector": None, "template": {"metadata": {}, "spec": {"containers": None}}, "updateStrategy": {}},
        "status": {
            "currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0,
        },
    },
    "apps.v1.DaemonSetSpec": {
        "selector": None, "template": {"metadata": {}, "spec": {"containers": None}}, "updateStrategy": {},
    },
    "batch.v1.CronJobSpec": {
        "jobTemplate": {"metadata": {}, "spec": {"template": {"metadata": {}, "spec": {"containers": None}}}},
    },
    "batch.v1.Job": {"spec": {"template": {"metadata": {}, "spec": {"containers": None}}}, "status": {}},
    "batch.v1.JobSpec": {"template": {"metadata": {}, "spec": {"containers": None}}},
    "batch.v1.CronJob": {"spec": {}, "status": {}},
    "batch.v1.JobTemplateSpec": {
        "metadata": {}, "spec": {"template": {"metadata": {}, "spec": {"containers": None}}},
    },
    "core.v1.PersistentVolumeClaim": {"spec": {"resources": {}}, "status": {}},
    "core.v1.PersistentVolumeClaimSpec": {"resources": {}},
    "core.v1.PersistentVolume": {"spec": {}, "status": {}},
    "core.v1.ResourceQuota": {"spec": {}, "status": {}},
    "autoscaling.v2.HorizontalPodAutoscaler": {
        "spec": {"scaleTargetRef": {"kind": "", "name": ""}, "maxReplicas": 0},
        "status": {"desiredReplicas": 0, "currentMetrics": None},
    },
    "autoscaling.v2.HorizontalPodAutoscalerStatus": {"desiredReplicas": 0, "currentMetrics": None},
    "networking.v1.Ingress": {"spec": {}, "status": {"loadBalancer": {}}},
    "scheduling.v1.PriorityClass": {"value": 0},
    "networking.v1.NetworkPolicy": {"spec": {"podSelector": {}}},
    "networking.v1.NetworkPolicySpec": {"podSelector": {}},
    "rbac.v1.Role": {"rules": None},
    "rbac.v1.ClusterRole": {"rules": None},
    "rbac.v1.RoleBinding": {"roleRef": {"apiGroup": "", "kind": "", "name": ""}},
    "rbac.v1.ClusterRoleBinding": {"roleRef": {"apiGroup": "", "kind": "", "name": ""}},
}  # fmt: skip

# Keys of associative lists that a server fills in, so that two spellings of one entry are one entry.
KEY_DEFAULTS = {"protocol": "TCP"}


def main() -> int:
    """Write the schema; returns the exit code."""
    definitions = _load()
    kinds = {
        f"{r.api_version}/{r.kind}": _definition_of(definitions, r.api_version, r.kind)
        for r in RESOURCES
        if r is not NETWORK_FAULTS
    }
    kinds |= {f"{version}/{kind}": _definition_of(definitions, version, kind) for version, kind in EXTRA_KINDS}
    types: dict[str, Any] = {}
    for name in kinds.values():
        _collect(definitions, name, types)
    missing = [name for name in ALWAYS if name not in types]
    document = {
        "version": VERSION,
        "kinds": {kind: _short(name) for kind, name in sorted(kinds.items())},
        "types": types,
        "keyDefaults": KEY_DEFAULTS,
    }
    TARGET.parent.mkdir(exist_ok=True)
    data = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    TARGET.write_bytes(gzip.compress(data, 9, mtime=0))
    print(f"{TARGET.name}: {len(types)} types, {TARGET.stat().st_size} bytes; stated but unused: {missing}")
    return 0


def _load() -> dict[str, Any]:
    folder = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema" / f"{VERSION}-local"
    definitions: dict[str, Any] = json.loads((folder / "_definitions.json").read_text())["$defs"]
    return definitions


def _definition_of(definitions: dict[str, Any], api_version: str, kind: str) -> str:
    group, _, version = api_version.rpartition("/")
    wanted = {"group": group, "kind": kind, "version": version}
    found = [name for name, body in definitions.items() if wanted in body.get("x-kubernetes-group-version-kind", ())]
    return min(found, key=len)


def _short(name: str) -> str:
    return ".".join(name.split(".")[-3:])


def _collect(definitions: dict[str, Any], name: str, types: dict[str, Any]) -> None:
    short = _short(name)
    if name in ABBREVIATIONS or short in types:
        return
    body = definitions[name]
    entry: dict[str, Any] = types.setdefault(short, {})
    properties = body.get("properties", {})
    entry["fields"] = {field: _expression(spec) for field, spec in properties.items()}
    entry["required"] = sorted(body.get("required", ()))
    entry["written"] = sorted(field for field, spec in properties.items() if _zero_is_written(short, field, spec, body))
    if short in ALWAYS:
        entry["always"] = ALWAYS[short]
    if body.get("x-kubernetes-map-type") == "atomic":
        entry["atomic"] = True
    for spec in properties.values():
        for reference in _references(spec):
            _collect(definitions, reference, types)


def _zero_is_written(type_name: str, field: str, spec: dict[str, Any], body: dict[str, Any]) -> bool:
    if field in ZERO_IS_ABSENT_IN.get(type_name, ()):
        return False
    if field in body.get("required", ()) or field in ZERO_IS_WRITTEN_IN.get(type_name, ()):
        return True
    scalar = _scalar(spec)
    return scalar in ("bool", "int32", "int64", "number", "intorstring") and field not in ZERO_IS_ABSENT


def _references(spec: dict[str, Any]) -> list[str]:
    if "$ref" in spec:
        return [spec["$ref"].removeprefix("#/$defs/")]
    return [
        name
        for nested in ("items", "additionalProperties")
        if isinstance(spec.get(nested), dict)
        for name in _references(spec[nested])
    ]


def _expression(spec: dict[str, Any]) -> Any:
    """A scalar is a string, a reference starts with ``@``; lists, maps and annotated references are objects."""
    extras: dict[str, Any] = {}
    if strategy := spec.get("x-kubernetes-patch-strategy"):
        extras["strategy"] = sorted(strategy.split(","))
    if key := spec.get("x-kubernetes-patch-merge-key"):
        extras["mergeKey"] = key
    if keys := spec.get("x-kubernetes-list-map-keys"):
        extras["keys"] = keys
    if list_type := spec.get("x-kubernetes-list-type"):
        extras["listType"] = list_type
    if spec.get("x-kubernetes-map-type") == "atomic":
        extras["atomic"] = True
    if "items" in spec:
        return {"list": _expression(spec["items"]), **extras}
    if isinstance(spec.get("additionalProperties"), dict):
        return {"map": _expression(spec["additionalProperties"]), **extras}
    if "$ref" in spec and _scalar(spec) is None:
        reference = "@" + _short(_references(spec)[0])
        return {"ref": reference, **extras} if extras else reference
    return _scalar(spec) or "any"


def _scalar(spec: dict[str, Any]) -> str | None:
    if "$ref" in spec:
        return ABBREVIATIONS.get(_references(spec)[0])
    declared = spec.get("type", ())
    names = [declared] if isinstance(declared, str) else list(declared)
    if "integer" in names:
        return str(spec.get("format", "int64"))
    if "string" in names:
        return "bytes" if spec.get("format") == "byte" else "string"
    return {"boolean": "bool", "number": "number"}.get(next(iter(names), ""))


if __name__ == "__main__":
    sys.exit(main())
