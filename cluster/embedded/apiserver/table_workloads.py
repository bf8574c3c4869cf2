"""The rows of workloads other than pods and Deployments, of autoscalers and of volume claims."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cluster.embedded.apiserver.table_format import NONE, UNKNOWN, age, containers, label_selector, labels, since
from cluster.embedded.resources import Object

UNSET = "<unset>"


def replication_controller(obj: Object, now: datetime) -> list[Any]:
    spec, status = _parts(obj)
    return [
        obj["metadata"]["name"],
        spec.get("replicas", 1),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        age(obj, now),
        *containers(spec.get("template") or {}),
        labels(spec.get("selector")),
    ]


def daemon_set(obj: Object, now: datetime) -> list[Any]:
    spec, status = _parts(obj)
    template = spec.get("template") or {}
    return [
        obj["metadata"]["name"],
        status.get("desiredNumberScheduled", 0),
        status.get("currentNumberScheduled", 0),
        status.get("numberReady", 0),
        status.get("updatedNumberScheduled", 0),
        status.get("numberAvailable", 0),
        labels((template.get("spec") or {}).get("nodeSelector")),
        age(obj, now),
        *containers(template),
        label_selector(spec.get("selector")),
    ]


def stateful_set(obj: Object, now: datetime) -> list[Any]:
    spec, status = _parts(obj)
    ready = f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 1)}"
    return [obj["metadata"]["name"], ready, age(obj, now), *containers(spec.get("template") or {})]


def cron_job(obj: Object, now: datetime) -> list[Any]:
    spec, status = _parts(obj)
    last = status.get("lastScheduleTime")
    job_spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    return [
        obj["metadata"]["name"],
        spec.get("schedule", ""),
        spec.get("timeZone") or NONE,
        bool(spec.get("suspend")),
        len(status.get("active") or []),
        since(last, now) if last else NONE,
        age(obj, now),
        *containers(job_spec.get("template") or {}),
        label_selector(job_spec.get("selector")),
    ]


def job(obj: Object, now: datetime) -> list[Any]:
    spec, status = _parts(obj)
    return [
        obj["metadata"]["name"],
        _job_status(obj),
        _completions(spec, status),
        _duration(status, now),
        age(obj, now),
        *containers(spec.get("template") or {}),
        label_selector(spec.get("selector")),
    ]


def _job_status(obj: Object) -> str:
    conditions = {c["type"] for c in (obj.get("status") or {}).get("conditions") or [] if c["status"] == "True"}
    for kind in ("Complete", "Failed"):
        if kind in conditions:
            return kind
    if "deletionTimestamp" in obj["metadata"]:
        return "Terminating"
    for kind in ("Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if kind in conditions:
            return kind
    return "Running"


def _completions(spec: Object, status: Object) -> str:
    succeeded, wanted, parallel = status.get("succeeded", 0), spec.get("completions"), spec.get("parallelism", 0)
    if wanted is not None:
        return f"{succeeded}/{wanted}"
    return f"{succeeded}/1 of {parallel}" if parallel > 1 else f"{succeeded}/1"


def _duration(status: Object, now: datetime) -> str:
    if not status.get("startTime"):
        return ""
    ended = status.get("completionTime")
    end = datetime.fromisoformat(ended.replace("Z", "+00:00")).astimezone(UTC) if ended else now
    return since(status["startTime"], end)


def autoscaler(obj: Object, now: datetime) -> list[Any]:
    spec, status = _parts(obj)
    target = spec.get("scaleTargetRef") or {}
    return [
        obj["metadata"]["name"],
        f"{target.get('kind', '')}/{target.get('name', '')}",
        _targets(spec, status),
        str(spec["minReplicas"]) if "minReplicas" in spec else UNSET,
        spec.get("maxReplicas", 0),
        status.get("currentReplicas", 0),
        age(obj, now),
    ]


def _targets(spec: Object, status: Object) -> str:
    shown = []
    current = {m.get("resource", {}).get("name"): m for m in status.get("currentMetrics") or []}
    for metric in spec.get("metrics") or []:
        resource = metric.get("resource") or {}
        name, target = resource.get("name", ""), resource.get("target") or {}
        now = ((current.get(name) or {}).get("resource") or {}).get("current") or {}
        if "averageUtilization" in target:
            value = f"{now['averageUtilization']}%" if "averageUtilization" in now else UNKNOWN
            shown.append(f"{name}: {value}/{target['averageUtilization']}%")
        else:
            shown.append(f"{name}: {now.get('averageValue', UNKNOWN)}/{target.get('averageValue', UNKNOWN)}")
    return ", ".join(shown) or NONE


def persistent_volume_claim(obj: Object, now: datetime) -> list[Any]:
    spec, status = _parts(obj)
    short = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
    bound = bool(spec.get("volumeName"))
    modes = ",".join(short.get(mode, mode) for mode in status.get("accessModes") or []) if bound else ""
    return [
        obj["metadata"]["name"],
        "Terminating" if "deletionTimestamp" in obj["metadata"] else status.get("phase", ""),
        spec.get("volumeName", ""),
        (status.get("capacity") or {}).get("storage", "") if bound else "",
        modes,
        spec.get("storageClassName", ""),
        spec.get("volumeAttributesClassName") or UNSET,
        age(obj, now),
        spec.get("volumeMode") or UNSET,
    ]


def _parts(obj: Object) -> tuple[Object, Object]:
    return obj.get("spec") or {}, obj.get("status") or {}
