"""The HorizontalPodAutoscaler controller: every 15 s it scales its targets to what their metrics ask for."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cluster.embedded.client import ApiClient, ApiError
from cluster.embedded.controllers.hpa_limits import WITHIN, History, limit
from cluster.embedded.controllers.hpa_metrics import (
    MetricsError,
    PodMetrics,
    requests_of,
    usage_of_pods,
)
from cluster.embedded.controllers.hpa_replicas import Ratio, Target, group, replicas_for
from cluster.embedded.events import EventRecorder
from cluster.embedded.informer import Informers, Key, WorkQueue
from cluster.embedded.meta import key_of, labels_of, matches_selector, now
from cluster.embedded.quantity import from_milli, to_milli
from cluster.embedded.resources import BY_KIND, HORIZONTAL_POD_AUTOSCALERS, PODS, Object, Resource

_OPERATORS = {"In": "in", "NotIn": "notin"}
_NO_API = "unable to fetch metrics from {0} metrics API: no {0} metrics API ({0}.metrics.k8s.io) registered"


class _Unscalable(Exception):
    """The target cannot be scaled; the text says why."""


@dataclass(frozen=True, slots=True)
class _Scaled:
    """What an autoscaler scales: the object, and what its scale subresource says of it."""

    resource: Resource
    object: Object

    @property
    def replicas(self) -> int:
        replicas = self.object["spec"].get("replicas")
        return 1 if replicas is None else int(replicas)

    @property
    def selector(self) -> Object:
        selector: Object = self.object["spec"].get("selector") or {}
        plain = selector and all(isinstance(value, str) for value in selector.values())
        return {"matchLabels": selector} if plain else selector  # ReplicationControllers have plain labels


@dataclass(slots=True)
class _Proposal:
    """What the metrics ask for; no replicas when none of them can be judged."""

    replicas: int | None = None
    metric: str = ""
    statuses: list[Object] = field(default_factory=list)
    error: str = ""


class HorizontalPodAutoscalerController:
    """Watches autoscalers and pods; scales Deployments, ReplicaSets, StatefulSets and ReplicationControllers.

    Args:
        client: the API.
        informers: shared ones.
        metrics: where usage is read.
        sync_seconds: how often each autoscaler is looked at.
    """

    def __init__(
        self, client: ApiClient, informers: Informers, metrics: PodMetrics, sync_seconds: float = 15.0
    ) -> None:
        self._client, self._metrics = client, metrics
        self._sync_seconds = sync_seconds
        self._autoscalers, self._pods = informers.of(HORIZONTAL_POD_AUTOSCALERS), informers.of(PODS)
        self._histories: dict[Key, History] = {}
        self._recorder = EventRecorder(client, "horizontal-pod-autoscaler")
        self._queue = WorkQueue(self.reconcile, name="horizontal-pod-autoscaler")
        self._autoscalers.add_handler(self._changed)

    async def run(self) -> None:
        """Work until cancelled."""
        await self._queue.run()

    def _changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self._queue.add_after(key_of(new), self._sync_seconds)
        elif old is not None:
            self._histories.pop(key_of(old), None)

    async def reconcile(self, key: Key) -> None:
        """Look at one autoscaler, and plan the next look."""
        autoscaler = self._autoscalers.get(*key)
        if autoscaler is None:
            return
        self._queue.add_after(key, self._sync_seconds)
        status = copy.deepcopy(autoscaler.get("status") or {})
        await self._judge(autoscaler, status)
        if status != autoscaler.get("status"):
            changed = {**autoscaler, "status": status}
            await self._client.update(HORIZONTAL_POD_AUTOSCALERS, changed, subresource="status")

    async def _judge(self, autoscaler: Object, status: Object) -> None:
        """Scale the target if it must be, and say so in the status."""
        try:
            target = await self._target(autoscaler)
        except (_Unscalable, ApiError) as error:
            self._recorder.event(autoscaler, "Warning", "FailedGetScale", str(error))
            text = f"the HPA controller was unable to get the target's current scale: {error}"
            _set(status, "AbleToScale", "False", "FailedGetScale", text)
            return
        text = "the HPA controller was able to get the target's current scale"
        _set(status, "AbleToScale", "True", "SucceededGetScale", text)
        history = self._histories.setdefault(key_of(autoscaler), History())
        if not history.recommendations:
            history.recommend(time.monotonic(), target.replicas)
        status.pop("currentReplicas", None)
        if target.replicas:
            status["currentReplicas"] = target.replicas
        desired, reason = await self._desired(autoscaler, status, target, history)
        if desired is None:
            return
        if desired != target.replicas and not await self._rescale(autoscaler, status, target, desired, reason):
            return
        status["desiredReplicas"] = desired

    async def _desired(
        self, autoscaler: Object, status: Object, target: _Scaled, history: History
    ) -> tuple[int | None, str]:
        """The replicas to have and why; None when it cannot be known."""
        spec, current = autoscaler["spec"], target.replicas
        minimum, maximum = int(spec.get("minReplicas", 1)), int(spec["maxReplicas"])
        status["currentMetrics"] = None
        if current == 0 and minimum:
            text = "scaling is disabled since the replica count of the target is zero"
            _set(status, "ScalingActive", "False", "ScalingDisabled", text)
            return 0, ""
        if current > maximum:
            return maximum, "Current number of replicas above Spec.MaxReplicas"
        if current < minimum:
            return minimum, "Current number of replicas below Spec.MinReplicas"
        proposal = await self._propose(autoscaler, status, target)
        status["currentMetrics"] = proposal.statuses
        if proposal.replicas is None:
            self._recorder.event(autoscaler, "Warning", "FailedComputeMetricsReplicas", proposal.error)
            return None, ""
        wanted = proposal.replicas
        desired, able, limited = limit(spec, history, current, wanted, time.monotonic())
        _set(status, "AbleToScale", "True", able.reason, able.message)
        _set(status, "ScalingLimited", str(limited is not WITHIN), limited.reason, limited.message)
        return desired, f"{proposal.metric} above target" if wanted > current else "All metrics below target"

    async def _rescale(self, autoscaler: Object, status: Object, target: _Scaled, desired: int, reason: str) -> bool:
        """Write the new scale; whether it was accepted."""
        namespace, name = key_of(target.object)
        text = f"New size: {desired}; reason: {reason}"
        patch = {"spec": {"replicas": desired}}
        try:
            await self._client.patch(target.resource, name, patch, namespace, subresource="scale")
        except ApiError as error:
            self._recorder.event(autoscaler, "Warning", "FailedRescale", f"{text}; error: {error}")
            failed = f"the HPA controller was unable to update the target scale: {error}"
            _set(status, "AbleToScale", "False", "FailedUpdateScale", failed)
            return False
        done = f"the HPA controller was able to update the target scale to {desired}"
        _set(status, "AbleToScale", "True", "SucceededRescale", done)
        self._recorder.event(autoscaler, "Normal", "SuccessfulRescale", text)
        self._histories[key_of(autoscaler)].scaled(time.monotonic(), target.replicas, desired)
        status["lastScaleTime"] = now()
        return True

    async def _target(self, autoscaler: Object) -> _Scaled:
        reference = autoscaler["spec"]["scaleTargetRef"]
        version, kind = reference.get("apiVersion", ""), reference["kind"]
        resource = BY_KIND.get((version, kind))
        if resource is None or "scale" not in resource.subresources:
            group_name = version.rpartition("/")[0]
            text = f'unable to determine resource for scale target reference: no matches for kind "{kind}"'
            raise _Unscalable(f'{text} in group "{group_name}"')
        namespace = autoscaler["metadata"]["namespace"]
        return _Scaled(resource, await self._client.get(resource, reference["name"], namespace))

    async def _propose(self, autoscaler: Object, status: Object, target: _Scaled) -> _Proposal:
        """The highest of what the metrics ask for; with an invalid one among them only an increase counts."""
        metrics = autoscaler["spec"].get("metrics") or []
        proposal, failures = _Proposal(), []
        for metric in metrics:
            try:
                replicas, name, current = await self._ask(autoscaler, metric, target)
            except _Invalid as invalid:
                self._recorder.event(autoscaler, "Warning", invalid.reason, str(invalid))
                failures.append(invalid)
                proposal.statuses.append({"type": ""})
                continue
            proposal.statuses.append(current)
            if proposal.replicas is None or replicas > proposal.replicas:
                proposal.replicas, proposal.metric = replicas, name
        if failures and (proposal.replicas is None or proposal.replicas < target.replicas):
            first = failures[0]
            text = f"the HPA was unable to compute the replica count: {first}"
            _set(status, "ScalingActive", "False", first.reason, text)
            count = f"{len(failures)} invalid out of {len(metrics)}"
            proposal.error = f"invalid metrics ({count}), first error is: {first.prefix}: {first}"
            proposal.replicas = None
        elif proposal.replicas is not None:
            text = f"the HPA was able to successfully calculate a replica count from {proposal.metric}"
            _set(status, "ScalingActive", "True", "ValidMetricFound", text)
        return proposal

    async def _ask(self, autoscaler: Object, metric: Object, target: _Scaled) -> tuple[int, str, Object]:
        """What one metric asks for: replicas, how it is called, and its current value. Raises _Invalid."""
        kind = metric["type"]
        if kind not in ("Resource", "ContainerResource"):
            raise _not_served(metric, key_of(autoscaler)[0])
        key = kind[0].lower() + kind[1:]
        source = metric[key]
        resource, container, aim = source["name"], source.get("container", ""), source["target"]
        goal, what = _goal(aim)
        try:
            replicas, ratio = await self._measure(key_of(autoscaler)[0], target, goal, resource, container)
        except MetricsError as error:
            prefix = f"failed to get {resource} {'container ' if container else ''}resource metric value"
            text = f"failed to get {resource} {what}: {error}"
            raise _Invalid(f"FailedGet{kind}Metric", prefix, text) from error
        name = f"{resource} {'container ' if container else ''}resource"
        name += " utilization (percentage of request)" if goal.percent is not None else ""
        current = {"name": resource, "current": _current(ratio), **({"container": container} if container else {})}
        return replicas, name, {"type": kind, key: current}

    async def _measure(
        self, namespace: str, target: _Scaled, goal: Target, resource: str, container: str
    ) -> tuple[int, Ratio]:
        labels = selector_text(target.selector)
        try:
            usages = await usage_of_pods(self._metrics, namespace, labels, resource, container)
        except MetricsError as error:
            raise MetricsError(f"unable to get metrics for resource {resource}: {error}") from error
        pods = [p for p in self._pods.in_namespace(namespace) if matches_selector(target.selector, labels_of(p))]
        if not pods:
            raise MetricsError("no pods returned by selector while calculating replica count")
        groups = group(pods, usages, resource, datetime.now(UTC))
        return replicas_for(goal, target.replicas, usages, groups, lambda: requests_of(pods, resource, container))


def _goal(aim: Object) -> tuple[Target, str]:
    """The target of a metric, and what it is about."""
    if "averageUtilization" in aim:
        return Target(percent=int(aim["averageUtilization"])), "utilization"
    return Target(milli=to_milli(aim["averageValue"])), "usage"


class _Invalid(Exception):
    """A metric cannot be judged.

    Attributes:
        reason: of the event and the condition.
        prefix: what the summary of all metrics puts before the text.
    """

    def __init__(self, reason: str, prefix: str, text: str) -> None:
        super().__init__(text)
        self.reason, self.prefix = reason, prefix


def _not_served(metric: Object, namespace: str) -> _Invalid:
    """Metrics of the custom and external APIs: the cluster serves neither."""
    kind = metric["type"]
    source = metric.get(kind.lower()) or {}
    name = (source.get("metric") or {}).get("name", "")
    if kind == "External":
        selector = selector_text((source.get("metric") or {}).get("selector") or {})
        text = f"unable to get external metric {namespace}/{name}/&LabelSelector{{{selector}}}: "
        return _Invalid(
            "FailedGetExternalMetric", f"failed to get {name} external metric value", text + _NO_API.format("external")
        )
    text = f"unable to get metric {name}: {_NO_API.format('custom')}"
    return _Invalid(f"FailedGet{kind}Metric", f"failed to get {kind.lower()} metric value", text)


def _current(ratio: Ratio) -> dict[str, Any]:
    value: dict[str, Any] = {} if ratio.percent is None else {"averageUtilization": ratio.percent}
    return {**value, "averageValue": from_milli(ratio.milli_per_pod)}


def selector_text(selector: Object) -> str:
    """A LabelSelector as the query parameter ``labelSelector`` spells it."""
    parts = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for expression in selector.get("matchExpressions") or []:
        key, operator = expression["key"], expression["operator"]
        if operator in _OPERATORS:
            parts.append(f"{key} {_OPERATORS[operator]} ({','.join(sorted(expression['values']))})")
        else:
            parts.append(key if operator == "Exists" else f"!{key}")
    return ",".join(parts)


def _set(status: Object, kind: str, value: str, reason: str, message: str) -> None:
    """Set a condition, in place; its time changes only with its status."""
    conditions: list[Object] = status.setdefault("conditions", [])
    known = next((condition for condition in conditions if condition["type"] == kind), None)
    if known is None:
        known = {"type": kind}
        conditions.append(known)
    if known.get("status") != value:
        known["lastTransitionTime"] = now()
    known.update(status=value, reason=reason, message=message)
