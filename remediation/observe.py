"""Reading everything that a decision needs. Objects are found by label and by owner; no name is ever built."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from clients import helm_release
from clients.addresses import reachable
from clients.errors import EnvironmentUnusable, GamedayError, InputError, OperationFailed
from clients.helm_release import StoredRelease
from remediation import convert, traffic
from remediation.diagnose import diagnose
from remediation.model import Finding, Target
from remediation.policy import Policy
from remediation.ports import Completion, Completions, JsonObject, Kube, Registry
from remediation.rules import RuleFamily, families
from remediation.snapshot import Autoscaler, Event, HelmRevision, Node, Pod, RegistryEntry, Snapshot, Traffic

INSTANCE = "app.kubernetes.io/instance={}"
T = TypeVar("T")


@dataclass
class Observer:
    """Takes snapshots of one target.

    Args:
        kube, registry, http: ways to the outside; `registry` is None where there is none.
        monotonic: seconds for windows.
        now: wall clock, to compare with the timestamps of Kubernetes.
        rules: the families of rules; what they observe themselves becomes part of snapshots.
    """

    kube: Kube
    target: Target
    policy: Policy
    http: Completions
    registry: Registry | None = None
    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    rules: Sequence[RuleFamily] = field(default_factory=families)
    _scrapes: deque[tuple[float, traffic.Scrapes]] = field(default_factory=deque)
    _decoded: dict[tuple[str, str], StoredRelease] = field(default_factory=dict)

    def observe(self, *, full: bool = False) -> Snapshot:
        """Take a snapshot. `full` adds what only decisions need: Helm's history, nodes, events.

        Raises:
            EnvironmentUnusable: the cluster cannot be read.
            InputError: the release has several Deployments, and none of them carries its name.
        """
        missing: list[str] = []
        snapshot = self._workload()
        entry, problem = self._registry_entry(missing)
        snapshot = replace(snapshot, registry=entry, registry_problem=problem, traffic=self._traffic(missing))
        if full:
            snapshot = self._with_details(snapshot, missing)
        if entry is not None and entry.status == "disabled" and not entry.on_purpose:
            snapshot = self._with_completion(snapshot)
        snapshot = replace(snapshot, observations=self._observations(snapshot, missing))
        return replace(snapshot, missing=(*snapshot.missing, *missing))

    def diagnose(self, snapshot: Snapshot) -> list[Finding]:
        """What is wrong, by the rules that this observer works for."""
        return diagnose(snapshot, self.policy, self.rules)

    def with_probe_traffic(self, snapshot: Snapshot) -> Snapshot:
        """When clients send nothing, ask at the router ourselves: silence is no proof of health."""
        if snapshot.traffic.error_rate is not None or not self.target.router_url:
            return snapshot
        answers = [self.complete_through_router() for _ in range(self.policy.probe_requests)]
        return replace(snapshot, traffic=traffic.of_probes(answers))

    def complete_through_router(self) -> Completion:
        """One completion as a client would ask for it."""
        timeout = self.policy.completion_timeout_seconds
        return self.http.complete(
            self.target.router_url, self.target.model, api_key=self.target.api_key, timeout_seconds=timeout
        )

    def complete_at(self, pod: Pod) -> Completion:
        """One completion at a pod itself, past Service and router."""
        timeout = self.policy.completion_timeout_seconds
        return self.http.complete(f"http://{pod.address}:{pod.port}", self.target.model, timeout_seconds=timeout)

    def _observations(self, snapshot: Snapshot, missing: list[str]) -> Mapping[str, object]:
        """What the families read themselves; a family whose source fails has None."""
        nothing: object = None
        found: dict[str, object] = {}
        for family in self.rules:
            if (observe := family.observe) is not None:
                read = partial(observe, self, snapshot)
                found[family.name] = self._guarded(read, nothing, f"{family.name} rules", missing)
        return found

    def _workload(self) -> Snapshot:
        taken_at = self.monotonic()
        labels = INSTANCE.format(self.target.release)
        source = self._deployment(labels)
        if source is None:
            return Snapshot(taken_at, missing=(f"no Deployment with label {labels}",))
        uid = source["metadata"]["uid"]
        revision = (source["metadata"].get("annotations") or {}).get(convert.REVISION, "")
        owned = [rs for rs in self._list("replicasets", labels) if _owned_by(rs, uid)]
        names = {rs["metadata"]["name"] for rs in owned}
        now, settling = self.now(), self.policy.settling_seconds
        return Snapshot(
            taken_at,
            deployment=convert.deployment(source),
            replica_sets=tuple(convert.replica_set(rs, revision) for rs in owned),
            pods=tuple(convert.pod(p, names, now, settling) for p in self._list("pods", labels)),
        )

    def _deployment(self, labels: str) -> JsonObject | None:
        found = self._list("deployments", labels)
        if len(found) <= 1:
            return found[0] if found else None
        named = [d for d in found if d["metadata"]["name"] == self.target.release]
        if not named:
            names = ", ".join(d["metadata"]["name"] for d in found)
            remedy = "remediation handles releases with one Deployment"
            raise InputError(f"several Deployments: {names}", where=f"release {self.target.release}", remedy=remedy)
        return named[0]

    def _list(self, resource: str, labels: str) -> list[JsonObject]:
        return self.kube.list_objects(resource, self.target.namespace, labels=labels)

    def _registry_entry(self, missing: list[str]) -> tuple[RegistryEntry | None, str]:
        if self.registry is None:
            return None, ""
        try:
            entry = self.registry.entry(self.target.environment, self.target.model)
        except (OperationFailed, EnvironmentUnusable) as error:
            missing.append(f"registry: {error}")
            return None, str(error)
        absent = f"model {self.target.model} ({self.target.environment}) is not registered"
        return entry, "" if entry else absent

    def _traffic(self, missing: list[str]) -> Traffic:
        """Compare with the oldest scrape inside the window; older ones are dropped."""
        scrapes, taken_at = self._scrape(missing), self.monotonic()
        if scrapes is None:
            return Traffic(problem="the router's metrics cannot be read")
        window = self.policy.traffic_window_seconds
        while len(self._scrapes) > 1 and taken_at - self._scrapes[1][0] >= window:
            self._scrapes.popleft()
        self._scrapes.append((taken_at, scrapes))
        if len(self._scrapes) == 1:
            return Traffic(problem="one scrape so far: rates need two")
        since, earlier = self._scrapes[0]
        return traffic.between(earlier, scrapes, taken_at - since)

    def _scrape(self, missing: list[str]) -> traffic.Scrapes | None:
        try:
            urls = self._router_urls()
            return {url: traffic.parse(self.http.metrics(url), self.target.model) for url in urls} or None
        except (GamedayError, ValueError) as error:
            missing.append(f"router metrics: {error}")
            return None

    def _router_urls(self) -> list[str]:
        """Every router pod by its own address; the Service balances and would hide all but one."""
        namespace = self.target.router_namespace or self.target.namespace
        labels = f"kubernetes.io/service-name={self.target.router_service}"
        slices = self.kube.list_objects("endpointslices", namespace, labels=labels)
        found = [
            f"http://{reachable(address)}:{port['port']}"
            for each in slices
            for port in (each.get("ports") or ())[:1]
            for endpoint in each.get("endpoints") or ()
            if (endpoint.get("conditions") or {}).get("ready") is not False
            for address in endpoint.get("addresses") or ()
        ]
        return sorted(set(found)) or ([self.target.router_url] if self.target.router_url else [])

    def _with_details(self, snapshot: Snapshot, missing: list[str]) -> Snapshot:
        nothing: list[StoredRelease] = []
        stored = self._guarded(self.stored_releases, nothing, "Helm history", missing)
        name = snapshot.deployment.name if snapshot.deployment else ""
        history = tuple(_revisions(stored, name, missing))
        newest = max(stored, key=lambda r: r.revision, default=None)
        return replace(
            snapshot,
            helm=history,
            values=newest.computed_values if newest else {},
            nodes=self._guarded(self._nodes, (), "nodes", missing),
            events=self._guarded(lambda: self._events(snapshot), (), "events", missing),
            autoscalers=self._guarded(lambda: self._autoscalers(name), (), "autoscalers", missing),
        )

    def stored_releases(self) -> list[StoredRelease]:
        """All revisions in all states. A revision is decoded once, and again when its Secret changes."""
        found = []
        for secret in self._list("secrets", helm_release.selector(self.target.release)):
            key = (secret["metadata"]["name"], secret["metadata"].get("resourceVersion", ""))
            if key not in self._decoded:
                self._decoded[key] = helm_release.decode(secret)
            found.append(self._decoded[key])
        return sorted(found, key=lambda r: r.revision)

    def _nodes(self) -> tuple[Node, ...]:
        return convert.nodes(self.kube.list_objects("nodes"), self.kube.list_objects("pods"))

    def _autoscalers(self, deployment: str) -> tuple[Autoscaler, ...]:
        """The autoscalers that scale the Deployment, found by what they point at."""
        found = self.kube.list_objects("horizontalpodautoscalers", self.target.namespace)
        wanted = {"kind": "Deployment", "name": deployment}
        return tuple(
            convert.autoscaler(each)
            for each in found
            if {key: each["spec"]["scaleTargetRef"].get(key) for key in wanted} == wanted
        )

    def _events(self, snapshot: Snapshot) -> tuple[Event, ...]:
        """Warnings about the release's objects, matched by exact name."""
        names = {p.name for p in snapshot.pods} | {rs.name for rs in snapshot.replica_sets}
        if snapshot.deployment:
            names.add(snapshot.deployment.name)
        found = self.kube.list_objects("events", self.target.namespace, fields="type=Warning")
        return tuple(e for e in map(convert.event, found) if e.object_name in names)

    def _with_completion(self, snapshot: Snapshot) -> Snapshot:
        serving = sorted((p for p in snapshot.pods if p.serving), key=lambda p: not p.stable)
        if not serving:
            return replace(snapshot, pod_completion_detail="no pod serves")
        answer = self.complete_at(serving[0])
        return replace(
            snapshot, pod_completion=answer.ok, pod_completion_detail=f"pod {serving[0].name}: {answer.detail}"
        )

    def _guarded(self, read: Callable[[], T], otherwise: T, what: str, missing: list[str]) -> T:
        """Read a source that a snapshot can do without; what is missing is written down."""
        try:
            return read()
        except GamedayError as error:
            missing.append(f"{what}: {error}")
            return otherwise


def _revisions(stored: Sequence[StoredRelease], deployment: str, missing: list[str]) -> list[HelmRevision]:
    found = []
    for release in stored:
        try:
            found.append(convert.helm_revision(release, deployment))
        except Exception as error:
            missing.append(f"Helm revision {release.revision}: {error}")
    return found


def _owned_by(source: JsonObject, uid: str) -> bool:
    return any(o.get("controller") and o.get("uid") == uid for o in source["metadata"].get("ownerReferences") or ())
