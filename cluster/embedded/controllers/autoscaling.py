"""The HorizontalPodAutoscaler controller: replicas of a workload after the metrics API, every 15 seconds."""

from __future__ import annotations

import time
from typing import Any

from cluster.embedded.client import ApiClient, ApiError
from cluster.embedded.controllers.autoscaling_plan import NoMetrics, Proposal, bounded, propose, stabilised
from cluster.embedded.controllers.pods import is_active, is_ready
from cluster.embedded.events import EventRecorder
from cluster.embedded.informer import Informers, Key, WorkQueue
from cluster.embedded.meta import key_of, matches_selector, now
from cluster.embedded.quantity import parse_quantity
from cluster.embedded.resources import BY_KIND, HORIZONTAL_POD_AUTOSCALERS, PODS, Object, Resource

SYNC_PERIOD_SECONDS = 15.0
POD_METRICS = Resource("metrics.k8s.io", "v1beta1", "pods", "PodMetrics", singular="pod", verbs=("get", "list"))
_ABSENT = "the server could not find the requested resource (get pods.metrics.k8s.io)"
_LONGEST_HISTORY_SECONDS = 3600.0


class AutoscalingController:
    """Watches HorizontalPodAutoscalers; scales Deployments, ReplicaSets and other targets with ``/scale``."""

    def __init__(self, client: ApiClient, informers: Informers) -> None:
        self._client = client
        self._autoscalers, self._pods = informers.of(HORIZONTAL_POD_AUTOSCALERS), informers.of(PODS)
        self._history: dict[str, list[tuple[float, int]]] = {}
        self._recorder = EventRecorder(client, "horizontal-pod-autoscaler")
        self._queue = WorkQueue(self.reconcile, name="horizontal-pod-autoscaler")
        self._autoscalers.add_handler(self._changed)

    async def run(self) -> None:
        """Work until cancelled."""
        await self._queue.run()

    def _changed(self, old: Object | None, new: Object | None) -> None:
        if new is None and old is not None:
            self._history.pop(old["metadata"]["uid"], None)
        elif new is not None and (old is None or old["spec"] != new["spec"]):
            self._queue.add_after(key_of(new), SYNC_PERIOD_SECONDS)

    async def reconcile(self, key: Key) -> None:
        """Look at one autoscaler's target once, and again after the sync period."""
        autoscaler = self._autoscalers.get(*key)
        if autoscaler is None:
            return
        self._queue.add_after(key, SYNC_PERIOD_SECONDS)
        status = {"desiredReplicas": 0, "currentMetrics": None, **(autoscaler.get("status") or {})}
        try:
            target = await self._target(autoscaler)
        except ApiError as error:
            self._recorder.event(autoscaler, "Warning", "FailedGetScale", str(error))
            text = f"the HPA controller was unable to get the target's current scale: {error}"
            await self._write(autoscaler, _with_condition(status, "AbleToScale", "False", "FailedGetScale", text))
            return
        await self._scale(key, autoscaler, target, status)

    async def _target(self, autoscaler: Object) -> tuple[Resource, Object]:
        wanted = autoscaler["spec"]["scaleTargetRef"]
        resource = BY_KIND.get((wanted.get("apiVersion") or "v1", wanted["kind"]))
        if resource is None or "scale" not in resource.subresources:
            raise ApiError({"code": 404, "message": f'no matches for kind "{wanted["kind"]}"'})
        return resource, await self._client.get(resource, wanted["name"], autoscaler["metadata"]["namespace"])

    async def _scale(self, key: Key, autoscaler: Object, target: tuple[Resource, Object], status: Object) -> None:
        resource, workload = target
        spec, replicas = autoscaler["spec"], workload["spec"].get("replicas", 1)
        status["currentReplicas"] = (workload.get("status") or {}).get("replicas", 0)
        low, high = spec.get("minReplicas", 1), spec["maxReplicas"]
        if replicas == 0 and low != 0:
            text = "scaling is disabled since the replica count of the target is zero"
            await self._write(autoscaler, _with_condition(status, "ScalingActive", "False", "ScalingDisabled", text))
        elif replicas > high:
            text = "Current number of replicas above Spec.MaxReplicas"
            await self._rescale(autoscaler, resource, workload, status, high, text)
        elif replicas < low:
            text = "Current number of replicas below Spec.MinReplicas"
            await self._rescale(autoscaler, resource, workload, status, low, text)
        else:
            text = "the HPA controller was able to get the target's current scale"
            status = _with_condition(status, "AbleToScale", "True", "SucceededGetScale", text)
            await self._by_metrics(key, autoscaler, target, status)

    async def _by_metrics(self, key: Key, autoscaler: Object, target: tuple[Resource, Object], status: Object) -> None:
        resource, workload = target
        spec, replicas = autoscaler["spec"], workload["spec"].get("replicas", 1)
        try:
            proposals = await self._proposals(key, spec, workload, replicas)
        except NoMetrics as problem:
            await self._write(autoscaler, self._unmeasured(autoscaler, status, str(problem)))
            return
        best = max(proposals, key=lambda proposal: proposal.replicas)
        status["currentMetrics"] = [proposal.current for proposal in proposals]
        text = f"the HPA was able to successfully calculate a replica count from {best.metric}"
        status = _with_condition(status, "ScalingActive", "True", "ValidMetricFound", text)
        wanted = self._stable(autoscaler, best.replicas, replicas)
        wanted, reason, limit = bounded(wanted, spec)
        is_limited = "False" if reason == "DesiredWithinRange" else "True"
        status = _with_condition(status, "ScalingLimited", is_limited, reason, limit)
        if wanted == replicas:
            text = "recommended size matches current size"
            status = _with_condition(status, "AbleToScale", "True", "ReadyForNewScale", text)
            await self._write(autoscaler, {**status, "desiredReplicas": replicas})
            return
        cause = f"{best.metric} above target" if wanted > replicas else "All metrics below target"
        await self._rescale(autoscaler, resource, workload, status, wanted, cause)

    async def _proposals(self, key: Key, spec: Object, workload: Object, replicas: int) -> list[Proposal]:
        try:
            listed = await self._client.list(POD_METRICS, key[0])
        except ApiError:
            listed = None
        pods = [
            pod
            for pod in self._pods.in_namespace(key[0])
            if is_active(pod)
            and is_ready(pod)
            and matches_selector(workload["spec"].get("selector"), pod["metadata"].get("labels") or {})
        ]
        found = []
        for metric in spec["metrics"]:
            if metric["type"] != "Resource":
                raise NoMetrics(f"metrics of type {metric['type']} are not served")
            if listed is None or not listed.items:
                name, target = metric["resource"]["name"], metric["resource"]["target"]["type"]
                why = _ABSENT if listed is None else "no metrics returned from resource metrics API"
                fetched = f"unable to fetch metrics from resource metrics API: {why}" if listed is None else why
                kind = "utilization" if target == "Utilization" else "resource metric value"
                raise NoMetrics(f"failed to get {name} {kind}: unable to get metrics for resource {name}: {fetched}")
            found.append(propose(metric, pods, _usage(listed.items), replicas))
        return found

    def _unmeasured(self, autoscaler: Object, status: Object, problem: str) -> Object:
        metrics = autoscaler["spec"]["metrics"]
        name = (metrics[0].get("resource") or {}).get("name", "")
        self._recorder.event(autoscaler, "Warning", "FailedGetResourceMetric", problem)
        text = (
            f"invalid metrics ({len(metrics)} invalid out of {len(metrics)}), first error is: "
            f"failed to get {name} resource metric value: {problem}"
        )
        self._recorder.event(autoscaler, "Warning", "FailedComputeMetricsReplicas", text)
        text = f"the HPA was unable to compute the replica count: {problem}"
        unmeasured = {**status, "currentMetrics": [{"type": ""}]}
        return _with_condition(unmeasured, "ScalingActive", "False", "FailedGetResourceMetric", text)

    def _stable(self, autoscaler: Object, wanted: int, replicas: int) -> int:
        at, uid = time.monotonic(), autoscaler["metadata"]["uid"]
        history = [entry for entry in self._history.get(uid, []) if at - entry[0] <= _LONGEST_HISTORY_SECONDS]
        self._history[uid] = [*history, (at, wanted)]
        return stabilised(wanted, replicas, history, at, autoscaler["spec"])

    async def _rescale(
        self, autoscaler: Object, resource: Resource, workload: Object, status: Object, wanted: int, cause: str
    ) -> None:
        namespace, name = key_of(workload)
        patch = {"spec": {"replicas": wanted}}
        await self._client.patch(resource, name, patch, namespace, subresource="scale")
        self._recorder.event(autoscaler, "Normal", "SuccessfulRescale", f"New size: {wanted}; reason: {cause}")
        text = f"the HPA controller was able to update the target scale to {wanted}"
        status = _with_condition(status, "AbleToScale", "True", "SucceededRescale", text)
        await self._write(autoscaler, {**status, "desiredReplicas": wanted, "lastScaleTime": now()})

    async def _write(self, autoscaler: Object, status: Object) -> None:
        if status != autoscaler.get("status"):
            changed = {**autoscaler, "status": status}
            await self._client.update(HORIZONTAL_POD_AUTOSCALERS, changed, subresource="status")


def _with_condition(status: Object, kind: str, state: str, reason: str, message: str) -> dict[str, Any]:
    """The status with a condition set; its transition time moves only with its state."""
    conditions = list(status.get("conditions") or [])
    old = next((c for c in conditions if c["type"] == kind), None)
    since = old["lastTransitionTime"] if old and old["status"] == state else now()
    new = {"type": kind, "status": state, "lastTransitionTime": since, "reason": reason, "message": message}
    if old is None:
        conditions.append(new)
    else:
        conditions[conditions.index(old)] = new
    return {**status, "conditions": conditions}


def _usage(items: list[Object]) -> dict[str, dict[str, float]]:
    """Cores and bytes by pod name and resource."""
    usage: dict[str, dict[str, float]] = {}
    for item in items:
        total = usage.setdefault(item["metadata"]["name"], {})
        for container in item.get("containers") or []:
            for name, amount in (container.get("usage") or {}).items():
                total[name] = total.get(name, 0.0) + float(parse_quantity(amount))
    return usage
