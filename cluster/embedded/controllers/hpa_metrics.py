"""What the HorizontalPodAutoscaler controller knows of pods' usage: the metrics API behind a small protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from cluster.embedded.client import ApiClient, ApiError
from cluster.embedded.quantity import to_milli
from cluster.embedded.resources import Object, Resource

POD_METRICS = Resource("metrics.k8s.io", "v1beta1", "pods", "PodMetrics", verbs=("get", "list"))


class PodMetrics(Protocol):
    """Where usage is read."""

    async def of_pods(self, namespace: str, labels: str) -> list[Object]:
        """The PodMetrics (``metrics.k8s.io/v1beta1``) of the pods that a label selector chooses. Raises ApiError."""
        ...


class NoPodMetrics:
    """A cluster without the metrics API."""

    async def of_pods(self, namespace: str, labels: str) -> list[Object]:
        """Raises the ApiError that a server gives that does not know the API."""
        message = "the server could not find the requested resource (get pods.metrics.k8s.io)"
        raise ApiError({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound", "message": message})


class ApiPodMetrics:
    """The metrics API of a server that serves it."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def of_pods(self, namespace: str, labels: str) -> list[Object]:
        """See PodMetrics."""
        return (await self._client.list(POD_METRICS, namespace, labels=labels)).items


class MetricsError(Exception):
    """Usage cannot be judged; the text says why, as Kubernetes words it."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one pod used.

    Attributes:
        milli: thousandths of cores or bytes.
        timestamp: end of the window, RFC 3339; empty for a value that was assumed.
        window_seconds: over how long it was measured.
    """

    milli: int
    timestamp: str = ""
    window_seconds: float = 0.0


async def usage_of_pods(
    source: PodMetrics, namespace: str, labels: str, resource: str, container: str = ""
) -> dict[str, Usage]:
    """Usage of a resource by pod name; pods that lack it are left out. Raises MetricsError.

    Args:
        source: the metrics API.
        namespace: of the pods.
        labels: selector of the pods.
        resource: ``cpu`` or ``memory``.
        container: one container, instead of all.
    """
    try:
        items = await source.of_pods(namespace, labels)
    except ApiError as error:
        raise MetricsError(f"unable to fetch metrics from resource metrics API: {error}") from error
    if not items:
        raise MetricsError("no metrics returned from resource metrics API")
    found = {item["metadata"]["name"]: _usage(item, resource, container) for item in items}
    return {name: usage for name, usage in found.items() if usage is not None}


def _usage(item: Object, resource: str, container: str) -> Usage | None:
    containers = [c for c in item.get("containers") or [] if container in ("", c["name"])]
    if not containers or any(resource not in (c.get("usage") or {}) for c in containers):
        return None
    milli = sum(to_milli(c["usage"][resource]) for c in containers)
    return Usage(milli, item.get("timestamp") or "", _seconds(item.get("window") or "0s"))


def _seconds(duration: str) -> float:
    """Seconds of a metav1.Duration as the metrics API writes it: ``15.4s``, ``1m0s``."""
    minutes, _, seconds = duration.removesuffix("s").rpartition("m")
    return float(seconds or 0) + 60 * float(minutes or 0)


def requests_of(pods: Iterable[Object], resource: str, container: str = "") -> dict[str, int]:
    """Requested thousandths by pod name. Raises MetricsError when a container requests none."""
    requests: dict[str, int] = {}
    for pod in pods:
        total = 0
        for spec in _containers(pod):
            if container not in ("", spec["name"]):
                continue
            amounts: Mapping[str, str] = (spec.get("resources") or {}).get("requests") or {}
            if resource not in amounts:
                name = pod["metadata"]["name"]
                raise MetricsError(f"missing request for {resource} in container {spec['name']} of Pod {name}")
            total += to_milli(amounts[resource])
        requests[pod["metadata"]["name"]] = total
    return requests


def _containers(pod: Object) -> list[Object]:
    """The containers that run as long as the pod: sidecars too."""
    sidecars = [c for c in pod["spec"].get("initContainers") or [] if c.get("restartPolicy") == "Always"]
    return [*(pod["spec"].get("containers") or []), *sidecars]
