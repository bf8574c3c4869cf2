"""Changes of workloads: pods, replicas, rollout strategy, autoscalers.

What is changed only for a time keeps what it was before in an annotation of the object itself, so that whoever comes
next (after a crash, say) can put it back.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, ClassVar

from clients.errors import OperationFailed
from remediation.actions.base import Action, ActionResult, CommandContext, Tools, kubectl, shell
from remediation.convert import BEHAVIOR_BEFORE, STRATEGY_BEFORE
from remediation.ports import JsonObject

REPLICAS_BEFORE = "remediation.gameday.dev/replicas-before"
AUTOSCALERS = "horizontalpodautoscalers"
PAUSED = {"scaleUp": {"selectPolicy": "Disabled"}, "scaleDown": {"selectPolicy": "Disabled"}}


@dataclass(frozen=True)
class PatchStrategy(Action):
    """Let a rollout go on without a surge pod: `max_surge`, `max_unavailable` for this rollout (notes 8, W29)."""

    deployment: str
    max_surge: int | str
    max_unavailable: int | str

    def command(self, context: CommandContext) -> str:
        body = json.dumps(self._patch(), separators=(",", ":"))
        return kubectl(context.target, "patch", f"deployment/{self.deployment}", "--type=merge", "-p", body)

    def perform(self, tools: Tools) -> ActionResult:
        found = _required(tools, "deployments", self.deployment)
        written = (found["spec"].get("strategy") or {}).get("rollingUpdate") or {}
        wanted = self._patch()
        text = f"maxSurge {self.max_surge}, maxUnavailable {self.max_unavailable}"
        if written == wanted["spec"]["strategy"]["rollingUpdate"]:
            return ActionResult(True, f"Deployment {self.deployment} has {text} already")
        if STRATEGY_BEFORE not in _annotations(found):
            wanted["metadata"] = {"annotations": {STRATEGY_BEFORE: json.dumps(written)}}
        tools.kube.merge_patch("deployments", tools.target.namespace, self.deployment, wanted)
        return ActionResult(True, f"Deployment {self.deployment}: {text}", changed=text)

    def undo(self, context: CommandContext) -> str:
        return RestoreStrategy(self.deployment).command(context)

    def _patch(self) -> dict[str, Any]:
        rolling = {"maxSurge": self.max_surge, "maxUnavailable": self.max_unavailable}
        return {"spec": {"strategy": {"rollingUpdate": rolling}}}


@dataclass(frozen=True)
class RestoreStrategy(Action):
    """Put the rollout strategy back to what it was before `PatchStrategy`."""

    deployment: str
    max_surge: int | str = "25%"
    max_unavailable: int | str = "25%"

    def command(self, context: CommandContext) -> str:
        return PatchStrategy(self.deployment, self.max_surge, self.max_unavailable).command(context)

    def perform(self, tools: Tools) -> ActionResult:
        """What the annotation kept counts, not what was planned: it is what the owner wrote."""
        found = tools.kube.read("deployments", tools.target.namespace, self.deployment)
        kept = _annotations(found or {}).get(STRATEGY_BEFORE)
        if kept is None:
            return ActionResult(True, f"the strategy of {self.deployment} is its own already")
        before = {"maxSurge": None, "maxUnavailable": None, **json.loads(kept)}
        body = {
            "metadata": {"annotations": {STRATEGY_BEFORE: None}},
            "spec": {"strategy": {"rollingUpdate": before}},
        }
        tools.kube.merge_patch("deployments", tools.target.namespace, self.deployment, body)
        text = ", ".join(f"{key} {value}" for key, value in before.items())
        return ActionResult(True, f"Deployment {self.deployment}: {text}", changed=text)


@dataclass(frozen=True)
class RestartPod(Action):
    """Delete a pod so that its controller makes a new one. The UID keeps it from hitting the new one (idempotent).

    `grace_seconds` None leaves the pod its own grace period.
    """

    pod: str
    uid: str
    grace_seconds: int | None = None
    budget: ClassVar[str] = "restarts"

    def command(self, context: CommandContext) -> str:
        grace = () if self.grace_seconds is None else (f"--grace-period={self.grace_seconds}",)
        return kubectl(context.target, "delete", f"pod/{self.pod}", *grace)

    def perform(self, tools: Tools) -> ActionResult:
        found = tools.kube.read("pods", tools.target.namespace, self.pod)
        if found is None or found["metadata"]["uid"] != self.uid:
            return ActionResult(True, f"pod {self.pod} is gone already")
        if found["metadata"].get("deletionTimestamp") and self.grace_seconds is None:
            return ActionResult(True, f"pod {self.pod} is on its way out already")
        if not any(o.get("controller") for o in found["metadata"].get("ownerReferences") or ()):
            return ActionResult(False, f"pod {self.pod} has no controller: nobody would make it again")
        namespace = tools.target.namespace
        gone = tools.kube.delete("pods", namespace, self.pod, uid=self.uid, grace_seconds=self.grace_seconds)
        return ActionResult(True, f"deleted pod {self.pod}", changed=f"pod {self.pod}" if gone else "")

    def undo(self, context: CommandContext) -> str:
        return "nothing: its controller makes a new pod"


@dataclass(frozen=True)
class ScaleWorkload(Action):
    """Set the replicas of a Deployment and keep what they were in an annotation (notes 12).

    A protected workload is never touched; the release's own Deployment never goes to zero, nor below what serves.
    """

    deployment: str
    namespace: str
    replicas: int
    budget: ClassVar[str] = "scales"

    def command(self, context: CommandContext) -> str:
        count = f"--replicas={self.replicas}"
        return shell("kubectl", "scale", f"deployment/{self.deployment}", count, "--namespace", self.namespace)

    def perform(self, tools: Tools) -> ActionResult:
        found = _required(tools, "deployments", self.deployment, self.namespace)
        now = int(found["spec"].get("replicas", 1))
        if now == self.replicas:
            return ActionResult(True, f"Deployment {self.namespace}/{self.deployment} has {now} replicas already")
        if refused := self._refusal(tools, found, now):
            return ActionResult(False, refused)
        body: JsonObject = {"spec": {"replicas": self.replicas}}
        kept = _annotations(found).get(REPLICAS_BEFORE)
        if kept is None:
            body["metadata"] = {"annotations": {REPLICAS_BEFORE: str(now)}}
        elif int(kept) == self.replicas:
            body["metadata"] = {"annotations": {REPLICAS_BEFORE: None}}
        tools.kube.merge_patch("deployments", self.namespace, self.deployment, body)
        text = f"{now} -> {self.replicas} replicas"
        return ActionResult(True, f"Deployment {self.namespace}/{self.deployment}: {text}", changed=text)

    def undo(self, context: CommandContext) -> str:
        return f"scale it back to the number in its annotation {REPLICAS_BEFORE}"

    def _refusal(self, tools: Tools, found: JsonObject, now: int) -> str:
        labels = found["metadata"].get("labels") or {}
        name = f"Deployment {self.namespace}/{self.deployment}"
        own = labels.get("app.kubernetes.io/instance") == tools.target.release
        if own and self.namespace == tools.target.namespace:
            serving = tools.observer.observe().healthy
            if self.replicas < max(1, min(serving, now)):
                return f"{name} must not go below the {serving} pod(s) that serve, nor to zero"
            return ""
        if tools.policy.is_protected(self.namespace, self.deployment):
            return f"{name} is protected by the policy"
        if self.replicas < now and not tools.policy.is_non_critical(labels):
            return f"{name} is not labelled {tools.policy.non_critical_label}: it is not ours to scale down"
        return ""


@dataclass(frozen=True)
class PauseAutoscaling(Action):
    """Keep an autoscaler from scaling in either direction while the remediation works (Procedure 3, step 1)."""

    autoscaler: str

    def command(self, context: CommandContext) -> str:
        body = json.dumps({"spec": {"behavior": PAUSED}}, separators=(",", ":"))
        return kubectl(context.target, "patch", f"hpa/{self.autoscaler}", "--type=merge", "-p", body)

    def perform(self, tools: Tools) -> ActionResult:
        found = _required(tools, AUTOSCALERS, self.autoscaler)
        if BEHAVIOR_BEFORE in _annotations(found):
            return ActionResult(True, f"autoscaler {self.autoscaler} is paused already")
        before = json.dumps(found["spec"].get("behavior") or None)
        body = {"metadata": {"annotations": {BEHAVIOR_BEFORE: before}}, "spec": {"behavior": PAUSED}}
        tools.kube.merge_patch(AUTOSCALERS, tools.target.namespace, self.autoscaler, body)
        return ActionResult(True, f"autoscaler {self.autoscaler} is paused", changed="paused")

    def undo(self, context: CommandContext) -> str:
        return ResumeAutoscaling(self.autoscaler).command(context)


@dataclass(frozen=True)
class ResumeAutoscaling(Action):
    """Let a paused autoscaler work again as it did before (Procedure 3, step 5)."""

    autoscaler: str

    def command(self, context: CommandContext) -> str:
        body = json.dumps({"spec": {"behavior": None}}, separators=(",", ":"))
        return kubectl(context.target, "patch", f"hpa/{self.autoscaler}", "--type=merge", "-p", body)

    def perform(self, tools: Tools) -> ActionResult:
        found = tools.kube.read(AUTOSCALERS, tools.target.namespace, self.autoscaler)
        kept = _annotations(found or {}).get(BEHAVIOR_BEFORE)
        if found is None or kept is None:
            return ActionResult(True, f"autoscaler {self.autoscaler} is not paused")
        before = json.loads(kept)
        for direction in PAUSED:
            rules = (before or {}).get(direction) or {}
            if before is not None:
                before[direction] = {**rules, "selectPolicy": rules.get("selectPolicy")}
        body = {"metadata": {"annotations": {BEHAVIOR_BEFORE: None}}, "spec": {"behavior": before}}
        tools.kube.merge_patch(AUTOSCALERS, tools.target.namespace, self.autoscaler, body)
        return ActionResult(True, f"autoscaler {self.autoscaler} works again", changed="resumed")


def _required(tools: Tools, resource: str, name: str, namespace: str = "") -> JsonObject:
    where = namespace or tools.target.namespace
    found = tools.kube.read(resource, where, name)
    if found is None:
        raise OperationFailed("it does not exist any more", where=f"{resource} {where}/{name}")
    return found


def _annotations(found: JsonObject) -> dict[str, str]:
    return (found.get("metadata") or {}).get("annotations") or {}
