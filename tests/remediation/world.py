"""A small simulated platform behind the remediation's ports: objects as Kubernetes JSON, a model that needs memory.

It decides by itself what happens: a limit below the model's footprint kills pods, whatever the remediation
believes.
"""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import dataclass, field
from typing import Any

import yaml

from clients.errors import OperationFailed
from clients.helm_release import merge_values
from remediation.ports import Completion
from remediation.quantity import parse_quantity
from remediation.snapshot import RegistryEntry
from tests.remediation.samples import RELEASE

LABELS = {"app.kubernetes.io/instance": RELEASE}
DEFAULTS = {"replicaCount": 1, "resources": {"limits": {"memory": "1Gi", "nvidia.com/gpu": 1}}}
LONG_AGO = "2020-01-01T00:00:00Z"


@dataclass
class World:
    """The platform. `old_pods` of the previous revision serve on while the newest one fails."""

    desired: int = 4
    footprint: str = "100Mi"
    old_pods: int = 3
    status: str = "ready"
    reason: str = ""
    owner: str = ""
    helm_breaks: bool = False
    rollback_breaks: bool = False
    requests_per_scrape: int = 20
    errors_per_scrape: int = 0
    errors_remain: bool = False
    gpus: int = 8
    max_unavailable: int = 1
    revisions: list[dict[str, Any]] = field(default_factory=list)
    rolling: dict[str, Any] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    autoscaler: dict[str, Any] | None = None
    calls: list[str] = field(default_factory=list)
    _served: int = 0
    _failed: int = 0

    # Helm
    def install(self, **values: Any) -> World:
        """Record a revision whose values differ from the chart's defaults by `values`."""
        for revision in self.revisions:
            revision["info"]["status"] = "superseded"
        template = self._template(merge_values(DEFAULTS, values))
        document = {"kind": "Deployment", "metadata": {"name": RELEASE}, "spec": {"template": template}}
        self.revisions.append(
            {
                "name": RELEASE,
                "version": len(self.revisions) + 1,
                "info": {"status": "deployed", "description": "Upgrade complete"},
                "config": values,
                "manifest": yaml.safe_dump(document),
                "chart": {"metadata": {"name": "vllm-deployment", "version": "0.1.0"}, "values": DEFAULTS},
            }
        )
        return self

    def upgrade(self, release: str, chart: Any, values: Any, *, wait_seconds: float | None = None) -> None:
        self.calls.append("upgrade")
        assert (chart / "Chart.yaml").is_file()
        if self.helm_breaks:
            raise OperationFailed("the hook failed", where="helm upgrade")
        self.install(**values)

    def rollback(self, release: str, revision: int, *, wait_seconds: float | None = None) -> None:
        self.calls.append(f"rollback {revision}")
        if self.rollback_breaks:
            raise OperationFailed("there is no such revision", where="helm rollback")
        self.install(**self.revisions[revision - 1]["config"])

    # Kubernetes
    def list_objects(self, resource: str, namespace: str | None = None, *, labels: str = "", fields: str = "") -> Any:
        return getattr(self, f"_{resource}")()

    def read(self, resource: str, namespace: str, name: str) -> Any:
        found = [each for each in getattr(self, f"_{resource}")() if each["metadata"]["name"] == name]
        return found[0] if found else None

    def merge_patch(self, resource: str, namespace: str, name: str, body: Any) -> Any:
        """JSON merge patch of what the world keeps: a Deployment's strategy and annotations, an autoscaler."""
        self.calls.append(f"patch {resource} {body.get('spec')}")
        if resource == "horizontalpodautoscalers":
            assert self.autoscaler is not None
            self.autoscaler = merge_values(self.autoscaler, body)
            return self.autoscaler
        if (rolling := (body["spec"].get("strategy") or {}).get("rollingUpdate")) is not None:
            self.rolling = merge_values(self._rolling(), rolling)
        self.annotations = merge_values(self.annotations, body.get("metadata", {}).get("annotations", {}))
        return {}

    def _rolling(self) -> dict[str, Any]:
        return self.rolling or {
            "maxSurge": 0 if self.max_unavailable else "25%",
            "maxUnavailable": self.max_unavailable,
        }

    def _horizontalpodautoscalers(self) -> list[dict[str, Any]]:
        return [self.autoscaler] if self.autoscaler else []

    def watch(self, resource: str, namespace: str, *, labels: str = "", timeout_seconds: float) -> Any:
        return iter(self._deployments())

    @property
    def limit(self) -> str:
        return str(merge_values(DEFAULTS, self.revisions[-1]["config"])["resources"]["limits"]["memory"])

    @property
    def fits(self) -> bool:
        return parse_quantity(self.limit) >= parse_quantity(self.footprint)

    def _template(self, values: Any) -> dict[str, Any]:
        container = {
            "name": "vllm",
            "image": "vllm/vllm-openai:v1",
            "ports": [{"name": "http", "containerPort": 8000}],
            "resources": {"limits": values["resources"]["limits"]},
        }
        return {"metadata": {"labels": LABELS}, "spec": {"containers": [container]}}

    def _current(self) -> tuple[str, dict[str, Any]]:
        version = len(self.revisions)
        return f"rs-{version}", self._template(merge_values(DEFAULTS, self.revisions[-1]["config"]))

    def _deployments(self) -> list[dict[str, Any]]:
        done = self.desired if self.fits else 0
        status = {"observedGeneration": 1, "updatedReplicas": done, "availableReplicas": done, "replicas": done}
        revision = {"deployment.kubernetes.io/revision": str(len(self.revisions))}
        metadata = {"name": RELEASE, "uid": "d", "generation": 1, "annotations": {**revision, **self.annotations}}
        spec = {
            "replicas": self.desired,
            "strategy": {"rollingUpdate": self._rolling()},
            "template": self._current()[1],
        }
        return [{"metadata": metadata, "spec": spec, "status": status}]

    def _replicasets(self) -> list[dict[str, Any]]:
        found = []
        for number, revision in enumerate(self.revisions, 1):
            owner = {"controller": True, "uid": "d", "kind": "Deployment"}
            annotations = {"deployment.kubernetes.io/revision": str(number)}
            metadata = {"name": f"rs-{number}", "ownerReferences": [owner], "annotations": annotations}
            template = self._template(merge_values(DEFAULTS, revision["config"]))
            ready = self.old_pods if number == len(self.revisions) - 1 and not self.fits else 0
            found.append({"metadata": metadata, "spec": {"template": template}, "status": {"readyReplicas": ready}})
        return found

    def _pods(self) -> list[dict[str, Any]]:
        name, template = self._current()
        if self.fits:
            return [self._pod(f"{name}-{i}", name, template, True) for i in range(self.desired)]
        previous = f"rs-{len(self.revisions) - 1}"
        old = [self._pod(f"{previous}-{i}", previous, template, True) for i in range(self.old_pods)]
        new = range(max(1, self.desired - self.old_pods))
        return old + [self._pod(f"{name}-{i}", name, template, False) for i in new]

    def _pod(self, name: str, owner: str, template: dict[str, Any], ready: bool) -> dict[str, Any]:
        killed = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}
        waiting = {"waiting": {"reason": "CrashLoopBackOff"}}
        state = {"running": {"startedAt": LONG_AGO}} if ready else waiting
        container = {"name": "vllm", "ready": ready, "state": state, "restartCount": 0 if ready else 3}
        if not ready:
            container["lastState"] = killed
        condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": LONG_AGO}
        reference = {"controller": True, "kind": "ReplicaSet", "name": owner}
        return {
            "metadata": {"name": name, "ownerReferences": [reference]},
            "spec": {**template["spec"], "nodeName": "gpu-1"},
            "status": {
                "phase": "Running",
                "podIP": name,
                "conditions": [condition],
                "containerStatuses": [container],
            },
        }

    def _secrets(self) -> list[dict[str, Any]]:
        found = []
        for release in self.revisions:
            packed = base64.b64encode(gzip.compress(json.dumps(release).encode()))
            name = f"sh.helm.release.v1.{RELEASE}.v{release['version']}"
            metadata = {"name": name, "resourceVersion": release["info"]["status"]}
            found.append({"metadata": metadata, "data": {"release": base64.b64encode(packed).decode()}})
        return found

    def _nodes(self) -> list[dict[str, Any]]:
        allocatable = {"memory": "8Gi", "nvidia.com/gpu": str(self.gpus)}
        status = {"allocatable": allocatable, "conditions": [{"type": "Ready", "status": "True"}]}
        return [{"metadata": {"name": "gpu-1"}, "spec": {}, "status": status}]

    def _events(self) -> list[dict[str, Any]]:
        return []

    def register(self, environment: str, model: str, endpoint: str, namespace: str) -> RegistryEntry:
        self.calls.append(f"register {endpoint}")
        return self.entry(environment, model)

    def create(self, resource: str, namespace: str, body: Any) -> Any:
        raise AssertionError("nothing is created here")

    def delete(self, *_: Any, **__: Any) -> bool:
        raise AssertionError("nothing is deleted here")

    def logs(self, *_: Any, **__: Any) -> str:
        return ""

    def _endpointslices(self) -> list[dict[str, Any]]:
        return [{"ports": [{"port": 8080}], "endpoints": [{"addresses": ["router-1"]}]}]

    # registry
    def entry(self, environment: str, model: str) -> RegistryEntry:
        return RegistryEntry(model, environment, self.status, reason=self.reason, owner=self.owner)

    def entries(self) -> list[RegistryEntry]:
        return [self.entry("production", "llama-2-7b")]

    def enable(self, environment: str, model: str) -> RegistryEntry:
        self.calls.append("enable")
        self.status = "ready"
        return self.entry(environment, model)

    def clear_cache(self, environment: str, model: str) -> None:
        self.calls.append("clear cache")

    # HTTP
    def complete(self, base_url: str, model: str, *, api_key: str = "", timeout_seconds: float) -> Completion:
        at_router = base_url == "http://router:8080"
        self.calls.append("complete at router" if at_router else "complete at pod")
        if at_router and self.status != "ready":
            return Completion(503, "MODEL_DISABLED", "disabled")
        return Completion(200)

    def metrics(self, base_url: str) -> str:
        failing = self.errors_per_scrape if self.errors_remain or not self.fits else 0
        self._served += self.requests_per_scrape - failing
        self._failed += failing
        name, labels = "api_router_requests_total", 'model="llama-2-7b",outcome='
        rows = [f'{name}{{{labels}"success"}} {self._served}', f'{name}{{{labels}"error"}} {self._failed}']
        buckets = "api_router_request_duration_seconds_bucket"
        total = self._served + self._failed
        rows += [f'{buckets}{{model="llama-2-7b",le="{bound}"}} {total}' for bound in ("3.0", "+Inf")]
        counter = "# TYPE api_router_requests_total counter"
        histogram = "# TYPE api_router_request_duration_seconds histogram"
        return "\n".join([counter, *rows[:2], histogram, *rows[2:]])
