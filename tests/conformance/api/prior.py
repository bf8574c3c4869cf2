"""What existed before a recording began, worked out from what it shows and never creates."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

from tests.conformance.api import prior_rows

_SERVER = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink", "ownerReferences")
_PLURALS = {
    "Deployment": "/apis/apps/v1/namespaces/{ns}/deployments",
    "ReplicaSet": "/apis/apps/v1/namespaces/{ns}/replicasets",
    "Pod": "/api/v1/namespaces/{ns}/pods",
    "Service": "/api/v1/namespaces/{ns}/services",
    "ConfigMap": "/api/v1/namespaces/{ns}/configmaps",
    "Secret": "/api/v1/namespaces/{ns}/secrets",
    "ServiceAccount": "/api/v1/namespaces/{ns}/serviceaccounts",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/{ns}/poddisruptionbudgets",
    "HorizontalPodAutoscaler": "/apis/autoscaling/v2/namespaces/{ns}/horizontalpodautoscalers",
    "Job": "/apis/batch/v1/namespaces/{ns}/jobs",
}
FIRST_NODE, _NODE_PREFIX = "gpu-node-1", "gpu-node-"
"""The recordings' README: there is always this node, also where nothing shows it."""
_EARLIER = re.compile(r"(\d+) s earlier")
_COMPACTED_SECONDS = 600
"""Every 5 minutes a server compacts to the revision of 5 minutes ago."""
_BUILT_IN = {"default", "kube-root-ca.crt", "kubernetes"}
_BEHAVIOURS = {"ContainerCreating": "creating", "CrashLoopBackOff": "crash", "Completed": "complete",
               "Error": "fail", "Terminating": "hang"}  # fmt: skip

Create = prior_rows.Create


def is_aged(parts: list[dict[str, Any]]) -> bool:
    """Whether a recording says that what it refers to was long ago, so that the server had compacted since."""
    told = " ".join(str(part.get(key) or "") for part in parts for key in ("about", "actors", "notes"))
    return any(int(seconds) >= _COMPACTED_SECONDS for seconds in _EARLIER.findall(told))


def namespaces(parts: list[dict[str, Any]]) -> set[str]:
    """Namespaces that requests succeed in and that the recording does not create."""
    used: set[str] = {"system"}
    made: set[str] = set()
    for exchange in _exchanges(parts):
        path = exchange["request"]["path"].split("/")
        if path[-1] == "namespaces" and exchange["request"]["method"] == "POST":
            made.add(((_sent(exchange) or {}).get("metadata") or {}).get("name", ""))
        if "namespaces" in path[:-2] and exchange["response"]["status"] == 201:
            used.add(path[path.index("namespaces") + 1])
        used |= {namespace for obj in _shown(exchange["response"].get("body")) if (namespace := _key(obj)[1])}
    return used - made - {"default", "kube-system", "kube-public", "kube-node-lease"}


def nodes(parts: list[dict[str, Any]]) -> set[str]:
    """Nodes that the recording shows and does not create: those listed, watched, or with a kubelet that reports."""
    found: set[str] = set()
    made: set[str] = set()
    for exchange in _exchanges(parts):
        created = exchange["response"]["status"] == 201
        for obj in _shown(exchange["response"].get("body")):
            if obj.get("kind") == "Node":
                (made if created and obj["metadata"]["name"] not in found else found).add(obj["metadata"]["name"])
            elif (node := (obj.get("spec") or {}).get("nodeName")) and "containerStatuses" in (obj.get("status") or {}):
                found.add(node)
    for part in parts:
        watched = (event for event in part.get("watch") or [] if event["resource"] == "nodes")
        found |= {event["object"]["metadata"]["name"] for event in watched}
    return (found - made) | ({FIRST_NODE} if all(node.startswith(_NODE_PREFIX) for node in found - made) else set())


def objects(parts: list[dict[str, Any]]) -> list[Create]:
    """The objects to create before the first exchange; pods and ReplicaSets come from their Deployments."""
    known: set[tuple[str, str, str]] = set()
    seeds: dict[tuple[str, str, str], dict[str, Any]] = {}
    owned: list[dict[str, Any]] = []
    for exchange in _exchanges(parts):
        made = exchange["response"]["status"] == 201
        for obj in _shown(exchange["response"].get("body")):
            key = _key(obj)
            if key[0] not in _PLURALS or key in known or key[2] in _BUILT_IN:
                continue
            known.add(key)
            if not made and key[0] in ("ConfigMap", "Pod") and set(obj["metadata"]) == {"name", "namespace"}:
                seeds[key] = _by_name(obj, parts)
                continue
            if made or obj.get("_reduced") or "creationTimestamp" not in obj["metadata"]:
                continue
            if "pod-template-hash" in (obj["metadata"].get("labels") or {}) and not obj["metadata"].get(
                "ownerReferences"
            ):
                continue
            if obj["metadata"].get("ownerReferences"):
                owned.append(obj)
            else:
                seeds[key] = _before(obj, exchange, parts)
    for obj in owned:
        deployment = _deployment_behind(obj, parts)
        if deployment and _key(deployment) not in known:
            known.add(_key(deployment))
            seeds[_key(deployment)] = deployment
    made = {key for exchange in _exchanges(parts) if (key := _made(exchange))}
    rows = prior_rows.from_rows(list(_exchanges(parts)), known | made)
    return [*(_creation(obj) for obj in seeds.values()), *rows, *prior_rows.from_refusals(parts, known | made)]


def _made(exchange: dict[str, Any]) -> tuple[str, str, str] | None:
    """What a request creates, whether or not its answer was recorded."""
    sent, request = _sent(exchange), exchange["request"]
    if request["method"] not in ("POST", "PATCH") or not (sent.get("metadata") or {}).get("name"):
        return None
    parts = request["path"].split("/")
    namespace = parts[parts.index("namespaces") + 1] if "namespaces" in parts[:-1] else ""
    return str(sent.get("kind")), namespace, sent["metadata"]["name"]


def _before(obj: dict[str, Any], exchange: dict[str, Any], parts: list[dict[str, Any]]) -> dict[str, Any]:
    """The object as it was before the exchange that shows it first.

    The status of a workload that is just patched still tells how many replicas it had, and its oldest ReplicaSet
    which template.
    """
    if exchange["request"]["method"] not in ("PATCH", "PUT") or obj.get("kind") != "Deployment":
        return obj
    spec = {**obj["spec"], "replicas": (obj.get("status") or {}).get("replicas", obj["spec"].get("replicas", 1))}
    if template := _oldest_template(obj["metadata"]["name"], parts):
        spec["template"] = template
    return {**obj, "spec": spec}


def _by_name(obj: dict[str, Any], parts: list[dict[str, Any]]) -> dict[str, Any]:
    """An object of which only the name is shown. A pod that the kubelet never touched was not scheduled."""
    if obj["kind"] == "ConfigMap":
        return {"apiVersion": "v1", **obj, "data": {"k": "v"}}
    namespace, name = obj["metadata"]["namespace"], obj["metadata"]["name"]
    touched = {action["pod"] for part in parts for action in part.get("kubelet") or []}
    spec: dict[str, Any] = {"containers": [{"name": "vllm", "image": "vllm-emu:v1"}]}
    if f"{namespace}/{name}" not in touched:
        spec["schedulerName"] = "none"
    return {"apiVersion": "v1", **obj, "spec": spec}


def _oldest_template(deployment: str, parts: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The pod template of the Deployment's first revision, if a ReplicaSet of it is shown."""
    for exchange in _exchanges(parts):
        for obj in _shown(exchange["response"].get("body")):
            metadata = obj["metadata"]
            owners = [owner["name"] for owner in metadata.get("ownerReferences") or []]
            revision = (metadata.get("annotations") or {}).get("deployment.kubernetes.io/revision")
            if obj.get("kind") == "ReplicaSet" and deployment in owners and revision == "1" and "spec" in obj:
                template = obj["spec"].get("template")
                if not template:
                    continue
                labels = {k: v for k, v in template["metadata"]["labels"].items() if k != "pod-template-hash"}
                return {**template, "metadata": {"labels": labels}}
    return None


def pods_of_tables(parts: list[dict[str, Any]]) -> list[Create]:
    """Pods that only tables show: their state is asked of the player by its annotation."""
    created = {_key(obj) for exchange in _exchanges(parts) for obj in _shown(exchange["response"].get("body"))}
    rows: dict[str, tuple[str, Any]] = {}
    for exchange in _exchanges(parts):
        table = exchange["response"].get("body")
        if isinstance(table, dict) and table.get("kind") == "Table" and exchange["request"]["path"].endswith("/pods"):
            for row in table.get("rows") or []:
                metadata = row["object"]["metadata"]
                if "pod-template-hash" not in (metadata.get("labels") or {}):
                    rows.setdefault(metadata["name"], (metadata["namespace"], row))
    return [
        _table_pod(name, namespace, row)
        for name, (namespace, row) in rows.items()
        if ("Pod", namespace, name) not in created
    ]


def services(parts: list[dict[str, Any]]) -> list[Create]:
    """Services of which only a table row, or the EndpointSlice that an observer saw, tells."""
    shown = {
        _key(obj)[1:]
        for e in _exchanges(parts)
        for obj in _shown(e["response"].get("body"))
        if obj["kind"] == "Service"
    }
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for namespace, name, ports, selector in (*_service_rows(parts), *_service_slices(parts)):
        if (namespace, name) not in shown:
            spec = {"selector": selector, "ports": ports}
            metadata = {"name": name, "namespace": namespace}
            found.setdefault(
                (namespace, name), {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
            )
    return [(_PLURALS["Service"].format(ns=namespace), obj) for (namespace, _), obj in found.items()]


def _service_rows(parts: list[dict[str, Any]]) -> Iterator[tuple[str, str, list[Any], dict[str, str]]]:
    for exchange in _exchanges(parts):
        body, path = exchange["response"].get("body"), exchange["request"]["path"]
        if not isinstance(body, dict) or body.get("kind") != "Table" or not path.endswith("/services"):
            continue
        for row in body.get("rows") or []:
            name, cells = row["cells"][0], row["cells"]
            if name == "kubernetes" or "=" not in cells[6]:
                continue
            ports = [{"port": int(port.partition("/")[0]), "targetPort": 8000} for port in cells[4].split(",")]
            selector = dict(pair.split("=", 1) for pair in cells[6].split(","))
            yield row["object"]["metadata"].get("namespace", "default"), name, ports, selector


def _service_slices(parts: list[dict[str, Any]]) -> Iterator[tuple[str, str, list[Any], dict[str, str]]]:
    for part in parts:
        for event in part.get("watch") or []:
            if event["resource"] != "endpointslices":
                continue
            metadata, ports = event["object"]["metadata"], event["object"].get("ports") or [{}]
            name = (metadata.get("labels") or {}).get("kubernetes.io/service-name") or metadata["name"].rpartition("-")[
                0
            ]
            if name == "kubernetes":
                continue
            first = ports[0]
            port = {
                "port": 80,
                "targetPort": first.get("port", 8000),
                **({"name": first["name"]} if first.get("name") else {}),
            }
            yield metadata["namespace"], name, [port], {"app": name}


def terminating_pods(parts: list[dict[str, Any]]) -> list[str]:
    """Paths of pods that are terminating where a recording shows them first, before anybody deletes them there."""
    found: list[str] = []
    seen: set[str] = set()
    for exchange in _exchanges(parts):
        path = exchange["request"]["path"]
        if exchange["request"]["method"] != "GET":
            seen.add(path)
            continue
        for metadata, terminating in _pods_shown(exchange):
            pod = f"{_PLURALS['Pod'].format(ns=metadata.get('namespace', ''))}/{metadata['name']}"
            if terminating and pod not in seen:
                found.append(pod)
            seen.add(pod)
    return found


def _pods_shown(exchange: dict[str, Any]) -> Iterator[tuple[dict[str, Any], bool]]:
    """Metadata of the pods of an answer, and whether they are terminating."""
    body, path = exchange["response"].get("body"), exchange["request"]["path"]
    if isinstance(body, dict) and body.get("kind") == "Table" and path.endswith("/pods"):
        for row in body.get("rows") or []:
            yield row["object"]["metadata"], len(row["cells"]) > 2 and row["cells"][2] == "Terminating"
        return
    for obj in _shown(body):
        if obj["kind"] == "Pod":
            yield obj["metadata"], "deletionTimestamp" in obj["metadata"]


def _table_pod(name: str, namespace: str, row: dict[str, Any]) -> Create:
    ready, state = row["cells"][1], row["cells"][2]
    count = int(str(ready).partition("/")[2])
    behaviour = _BEHAVIOURS.get(state, "notready" if state == "Running" and ready.startswith("0/") else "")
    image = "vllm-emu:bad" if "Image" in state else "vllm-emu:v1"
    metadata = {"name": name, "namespace": namespace, "labels": row["object"]["metadata"].get("labels") or {}}
    if behaviour:
        metadata["annotations"] = {"golden/kubelet": behaviour}
    containers = [{"name": "vllm" if n == 0 else f"c{n}", "image": image} for n in range(count)]
    spec: dict[str, Any] = {"containers": containers}
    if state == "Pending" and row["cells"][6] == "<none>":
        spec["schedulerName"] = "none"
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    return _PLURALS["Pod"].format(ns=namespace), pod


def _exchanges(parts: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for part in parts:
        yield from part.get("exchanges") or []


def _sent(exchange: dict[str, Any]) -> dict[str, Any]:
    body = exchange["request"].get("body")
    return body if isinstance(body, dict) else {}


def _shown(body: Any) -> Iterator[dict[str, Any]]:
    """The objects of an answer."""
    if not isinstance(body, dict) or body.get("kind") in ("Status", None):
        return
    if body["kind"] == "Table":
        for row in body.get("rows") or []:
            if "spec" in (row.get("object") or {}):
                yield row["object"]
        return
    if "items" in body:
        kind = str(body["kind"]).removesuffix("List")
        for item in body["items"] or []:
            if isinstance(item, dict) and isinstance(item.get("metadata"), dict):
                yield {"kind": kind, "apiVersion": body.get("apiVersion"), **item}
    elif isinstance(body.get("metadata"), dict) and body["metadata"].get("name"):
        yield body


def _key(obj: dict[str, Any]) -> tuple[str, str, str]:
    metadata = obj["metadata"]
    return str(obj.get("kind")), metadata.get("namespace") or "", metadata.get("name") or ""


def _creation(obj: dict[str, Any]) -> Create:
    seed = copy.deepcopy({key: value for key, value in obj.items() if key not in ("status", "_reduced")})
    metadata = {key: value for key, value in seed["metadata"].items() if key not in _SERVER}
    annotations = {
        key: value
        for key, value in (metadata.get("annotations") or {}).items()
        if not key.startswith("deployment.kubernetes.io/")
    }
    metadata["annotations"] = annotations
    if not annotations:
        del metadata["annotations"]
    seed["metadata"] = metadata
    if seed["kind"] == "Service":
        for key in ("clusterIP", "clusterIPs"):
            if seed["spec"].get(key) not in ("None", ["None"]):
                seed["spec"].pop(key, None)
    if seed["kind"] == "Pod":
        seed["spec"].pop("nodeName", None)
    return _PLURALS[seed["kind"]].format(ns=metadata.get("namespace", "")), seed


def _deployment_behind(obj: dict[str, Any], parts: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The Deployment that a pod or ReplicaSet belongs to, as far as the recording tells."""
    owner, metadata = obj["metadata"]["ownerReferences"][0], obj["metadata"]
    hash_value = (metadata.get("labels") or {}).get("pod-template-hash")
    if owner["kind"] not in ("ReplicaSet", "Deployment") or not hash_value:
        return None
    name = owner["name"].removesuffix(f"-{hash_value}")
    labels = {key: value for key, value in metadata["labels"].items() if key != "pod-template-hash"}
    template = (obj.get("spec") or {}).get("template") or {"spec": _template_spec(obj.get("spec") or {})}
    seen = _watched_deployment(name, parts)
    spec = {key: seen["spec"][key] for key in ("strategy", "progressDeadlineSeconds") if key in seen.get("spec", {})}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": metadata["namespace"], "labels": labels, "creationTimestamp": ""},
        "spec": {
            "replicas": _replicas_before(name, seen, parts)
            or _first_rows(owner["name"], parts)
            or _most_pods(owner["name"], parts)
            or 2,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": template["spec"]},
            **spec,
        },
    }


def _replicas_before(name: str, seen: dict[str, Any], parts: list[dict[str, Any]]) -> int:
    """How many replicas a Deployment had: as its spec says, or its status while a recorded request changes the spec."""
    written = any(
        exchange["request"]["method"] in ("PATCH", "PUT")
        and exchange["request"]["path"].removesuffix("/scale").endswith(f"/deployments/{name}")
        for exchange in _exchanges(parts)
    )
    return int((seen.get("status" if written else "spec") or {}).get("replicas") or 0)


def _first_rows(owner: str, parts: list[dict[str, Any]]) -> int:
    """How many pods of a ReplicaSet the first table of pods shows that are not going."""
    for exchange in _exchanges(parts):
        body, query = exchange["response"].get("body"), exchange["request"].get("query") or ""
        if not exchange["request"]["path"].endswith("/pods") or "Selector" in query or not isinstance(body, dict):
            continue
        names = [row["cells"][0] for row in body.get("rows") or [] if row["cells"][2] != "Terminating"]
        if any(str(name).startswith(f"{owner}-") for name in names):
            return sum(str(name).startswith(f"{owner}-") for name in names)
    return 0


def _most_pods(owner: str, parts: list[dict[str, Any]]) -> int:
    """The most pods of one ReplicaSet that a single answer shows."""
    counts = [
        sum(
            1
            for o in _shown(e["response"].get("body"))
            if o["kind"] == "Pod" and o["metadata"]["name"].startswith(owner)
        )
        for e in _exchanges(parts)
    ]
    return max(counts, default=0)


_TEMPLATE_FIELDS = (
    "containers", "initContainers", "terminationGracePeriodSeconds", "topologySpreadConstraints", "nodeSelector",
    "affinity", "hostNetwork",
)  # fmt: skip
_ADMITTED = [
    {"key": f"node.kubernetes.io/{what}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    for what in ("not-ready", "unreachable")
]
"""What the server adds to every pod."""


def _template_spec(spec: dict[str, Any]) -> dict[str, Any]:
    result = {key: spec[key] for key in _TEMPLATE_FIELDS if key in spec}
    if tolerations := [toleration for toleration in spec.get("tolerations", []) if toleration not in _ADMITTED]:
        result["tolerations"] = tolerations
    result["containers"] = [
        {**c, "volumeMounts": [m for m in c.get("volumeMounts", []) if "kube-api-access" not in m["name"]]}
        for c in result["containers"]
    ]
    return result


def _watched_deployment(name: str, parts: list[dict[str, Any]]) -> dict[str, Any]:
    for part in parts:
        for event in part.get("watch") or []:
            if event["resource"] == "deployments" and event["object"]["metadata"]["name"] == name:
                found: dict[str, Any] = event["object"]
                return found
    return {}
