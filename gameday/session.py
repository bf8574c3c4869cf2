"""What all scenarios of a run share: the cluster, the platform under test, load, observation, evidence."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from clients.errors import DeadlineExceeded, EnvironmentUnusable, InputError
from clients.helm import HelmClient, ReleaseNotFound
from clients.helm_release import StoredRelease, merge_values
from clients.kube import KubeClient
from clients.registry import RegistryClient
from clients.router import RouterClient
from gameday.evidence import PodCount
from gameday.intercept.gate import Gate
from gameday.load_driver import LoadDriver
from gameday.observer import ReleaseObserver
from gameday.progress import Progress
from gameday.remediators import RemediatorFactory
from gameday.slo import Slo
from gameday.timeline import Timeline
from load.profile import LoadProfile
from remediation.discover import Wish, discover
from remediation.engine import Remediator
from remediation.model import Target

if TYPE_CHECKING:
    from cluster.provider import Cluster

INSTALL_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Subject:
    """What is put to the test.

    Attributes:
        chart: the vLLM chart under test.
        values: values files for it, later ones win.
        platform_chart: router, registry and Redis.
    """

    chart: Path
    values: tuple[Path, ...]
    platform_chart: Path
    platform_values: tuple[Path, ...]
    release: str = "llama-2-7b-production"
    platform_release: str = "platform"
    namespace: str = "system"
    model: str = "llama-2-7b"
    environment: str = "production"


@dataclass(slots=True)
class GameDay:
    """The running session. Filled by the conductor, used by scenarios."""

    folder: Path
    subject: Subject
    slo: Slo
    profile: LoadProfile
    timeline: Timeline
    progress: Progress
    make_remediator: RemediatorFactory
    cluster: Cluster
    _target: Target | None = None
    _gate: Gate | None = None
    _remediator: Remediator | None = None
    _load: LoadDriver | None = None
    _observer: ReleaseObserver | None = None
    _names: dict[str, int] = field(default_factory=dict)
    _installed: list[str] = field(default_factory=list)

    @property
    def load(self) -> LoadDriver:
        """The load of the run."""
        if self._load is None:
            raise EnvironmentUnusable("the load has not been started")
        return self._load

    @property
    def gate(self) -> Gate:
        """What stands between the remediation and the world, and records its calls."""
        if self._gate is None:
            raise EnvironmentUnusable("the remediation has no way to the cluster yet")
        return self._gate

    @property
    def remediator(self) -> Remediator:
        """The remediation under test; it knows only the kubeconfig of the gate."""
        if self._remediator is None:
            self._remediator = self.make_remediator(self.gate.kubeconfig)
        return self._remediator

    @property
    def observer(self) -> ReleaseObserver:
        """The harness's own watch of the release."""
        if self._observer is None:
            raise EnvironmentUnusable("the release is not observed")
        return self._observer

    def install(self) -> None:
        """Install the platform and the chart under test, and wait until every pod is ready.

        Raises InputError when a chart does not render, OperationFailed when Helm says no, DeadlineExceeded.
        """
        subject = self.subject
        self.progress.phase("install charts")
        with self.helm() as helm:
            self._ensure(helm, subject.platform_release, subject.platform_chart, subject.platform_values)
            self._ensure(helm, subject.release, subject.chart, subject.values)
        self.progress.phase("wait for pods")
        wait_for_deployments(KubeClient(self.cluster.kubeconfig), subject.namespace, timeout_seconds=INSTALL_SECONDS)

    def _ensure(self, helm: HelmClient, release: str, chart: Path, values: tuple[Path, ...]) -> None:
        """Install a release, or upgrade the one that is there to the chart and values of this run."""
        try:
            helm.status(release)
        except ReleaseNotFound:
            self._installed.append(release)
            helm.install(release, chart, values_of(values), create_namespace=True)
        else:
            helm.upgrade(release, chart, values_of(values))

    def uninstall(self) -> None:
        """Remove the releases that this run installed: on a cluster that is not its own it leaves nothing behind."""
        with self.helm() as helm:
            while self._installed:
                helm.uninstall(self._installed.pop(), wait_seconds=INSTALL_SECONDS)

    def begin(self) -> None:
        """Register the model, start to observe and start the load."""
        subject = self.subject
        self._target = discover(
            KubeClient(self.cluster.kubeconfig),
            Wish(subject.release, subject.namespace, environment=subject.environment, model=subject.model),
        )
        endpoint = f"{subject.release}.{subject.namespace}.svc.cluster.local:8000"
        self.registry().register(subject.environment, subject.model, endpoint, subject.namespace)
        self._gate = Gate(self.cluster.kubeconfig, subject.namespace)
        self._gate.open()
        self.timeline.add("run", "remediation-identity", identity=self._gate.identity)
        self._observer = ReleaseObserver(
            self.cluster.kubeconfig, subject.namespace, subject.release, self.timeline, self._show_pods
        )
        self._observer.start()
        target = self.remediation_target()
        self._load = LoadDriver(target.router_url, target.api_key, self.folder / "samples.jsonl", self.profile)
        self._load.start()
        self.progress.traffic = self._load.last

    def end(self) -> None:
        """Stop load and observation. May be called twice, and before `begin`."""
        self.progress.traffic = None
        if self._load is not None:
            self._load.stop()
        if self._observer is not None:
            self._observer.stop()
        if self._gate is not None:
            self._gate.close()
            self._gate = None

    def forget_remediation(self) -> None:
        """Remove the remediation's ledger: each scenario begins with unspent hourly limits."""
        kube = KubeClient(self.cluster.kubeconfig)
        try:
            kube.delete("configmaps", self.subject.namespace, f"remediation-{self.subject.release}")
        finally:
            kube.close()

    def helm(self) -> HelmClient:
        """Helm in the namespace under test."""
        return HelmClient(self.subject.namespace, self.cluster.kubeconfig)

    def router(self) -> RouterClient:
        """A client of the platform's router."""
        target = self.remediation_target()
        return RouterClient(target.router_url, target.api_key)

    def registry(self) -> RegistryClient:
        """A client of the platform's registry."""
        target = self.remediation_target()
        return RegistryClient(target.registry_url, target.registry_token)

    def stored_release(self, revision: int | None = None) -> StoredRelease:
        """A revision of the release under test (the newest, if none is given). Raises ReleaseNotFound."""
        with self.helm() as helm:
            return helm.stored(self.subject.release, revision)

    def release_revision(self) -> int:
        """The newest revision of the release under test, 0 when there is none."""
        try:
            return self.stored_release().revision
        except ReleaseNotFound:
            return 0

    def remediation_target(self) -> Target:
        """What the remediation is told: the same as on-call would find in the cluster."""
        if self._target is None:
            raise EnvironmentUnusable("the platform under test has not been installed")
        return self._target

    def experiment_environment(self) -> dict[str, str]:
        """Variables for the experiments' configuration. No secret is among them: activities find those themselves."""
        return {
            "KUBECONFIG": str(self.cluster.kubeconfig),
            "GAMEDAY_NAMESPACE": self.subject.namespace,
            "GAMEDAY_RELEASE": self.subject.release,
            "GAMEDAY_MODEL": self.subject.model,
            "GAMEDAY_ENVIRONMENT": self.subject.environment,
        }

    def slug(self, name: str) -> str:
        """A file name for a scenario, unique in the run."""
        base = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60] or "scenario"
        self._names[base] = self._names.get(base, 0) + 1
        return base if self._names[base] == 1 else f"{base}-{self._names[base]}"

    def _show_pods(self, count: PodCount) -> None:
        self.progress.status.pods = count


def values_of(paths: tuple[Path, ...]) -> dict[str, Any]:
    """The values files merged, later ones over earlier ones. Raises InputError that names the file."""
    merged: dict[str, Any] = {}
    for path in paths:
        try:
            loaded = yaml.safe_load(path.read_text())
        except OSError as error:
            raise InputError(f"cannot read the values file: {error.strerror}", where=str(path)) from error
        except yaml.YAMLError as error:
            problem = str(error).replace("\n", " ")
            raise InputError(
                f"the values file is not valid YAML: {problem}", where=str(path), remedy="mend it"
            ) from error
        if loaded is not None and not isinstance(loaded, dict):
            raise InputError("the values file is not a mapping", where=str(path), remedy="write keys and values")
        merged = merge_values(merged, loaded or {})
    return merged


def wait_for_deployments(kube: KubeClient, namespace: str, *, timeout_seconds: float) -> None:
    """Wait, by a watch, until every Deployment of a namespace is available. Raises DeadlineExceeded with who is not."""
    deadline = time.monotonic() + timeout_seconds
    waiting: list[str] = []
    while (left := deadline - time.monotonic()) > 0:
        for _ in kube.watch("deployments", namespace, timeout_seconds=left):
            found = kube.list_objects("deployments", namespace)
            waiting = [item["metadata"]["name"] for item in found if not available(item)]
            if found and not waiting:
                return
    raise DeadlineExceeded(
        f"not every pod became ready within {timeout_seconds:.0f} s: {', '.join(waiting)}",
        where=f"namespace {namespace}",
        remedy="see cluster/ in the run folder for the pods' logs and events",
    )


def available(deployment: dict[str, Any]) -> bool:
    """Whether a Deployment's current template runs on every replica it wants."""
    spec, status, metadata = deployment["spec"], deployment.get("status", {}), deployment["metadata"]
    wanted = spec.get("replicas", 1)
    return bool(
        status.get("observedGeneration", 0) >= metadata.get("generation", 0)
        and status.get("updatedReplicas", 0) == wanted
        and status.get("availableReplicas", 0) == wanted
        and status.get("replicas", 0) == wanted
    )
