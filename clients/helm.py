"""The real Helm engine behind a small typed interface, with the project's errors.

Values are always passed whole: an upgrade through here never inherits or drops values behind its caller's back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from clients import helm_release
from clients.errors import DeadlineExceeded, EnvironmentUnusable, GamedayError, InputError, OperationFailed
from clients.helm_release import StoredRelease
from clients.kube import KubeClient


class ReleaseNotFound(InputError):
    """No release of that name is in the namespace."""


@dataclass(frozen=True)
class ReleaseSummary:
    """What Helm says about one revision."""

    name: str
    namespace: str
    revision: int
    status: str
    chart: str = ""
    deployed_at: str = ""
    manifest: str = ""


class HelmClient:
    """Releases of one namespace. Writes to the same release must not run at the same time.

    Args:
        namespace: where the releases live.
        kubeconfig: a kubeconfig file; None means Helm's usual search.
        context: a context of that file; None means its current one.
    """

    def __init__(self, namespace: str, kubeconfig: Path | None = None, context: str | None = None) -> None:
        import helm_python

        self.namespace = namespace
        self._helm = helm_python
        self._config = helm_python.Config(namespace=namespace, kubeconfig_path=kubeconfig, kube_context=context)
        self._kubeconfig, self._context = kubeconfig, context

    def install(
        self,
        release: str,
        chart: Path,
        values: Mapping[str, Any] | None = None,
        *,
        wait_seconds: float | None = None,
        create_namespace: bool = False,
    ) -> ReleaseSummary:
        """Install a chart. With `wait_seconds`, return only when every object is ready.

        Raises:
            DeadlineExceeded: not ready in time. The release exists all the same, as failed.
            InputError: the chart cannot be loaded or rendered.
        """
        options = {**_wait(wait_seconds), "create_namespace": create_namespace}
        return self._summary(
            "install", release, self._config.install, str(chart), release, dict(values or {}), **options
        )

    def upgrade(
        self,
        release: str,
        chart: Path,
        values: Mapping[str, Any],
        *,
        wait_seconds: float | None = None,
        description: str | None = None,
    ) -> ReleaseSummary:
        """Upgrade to a chart with exactly these user values over the chart's defaults. Raises as `install`."""
        options = {**_wait(wait_seconds), "reset_values": True, "description": description}
        return self._summary("upgrade", release, self._config.upgrade, str(chart), release, dict(values), **options)

    def rollback(self, release: str, revision: int, *, wait_seconds: float | None = None) -> None:
        """Go back to an earlier revision, as a new revision."""
        self._call("rollback", release, self._config.rollback, release, version=revision, **_wait(wait_seconds))

    def uninstall(self, release: str, *, wait_seconds: float | None = None) -> None:
        """Remove a release and its history.

        Raises:
            ReleaseNotFound: there is none.
        """
        self._call("uninstall", release, self._config.uninstall, release, **_wait(wait_seconds))

    def history(self, release: str) -> list[ReleaseSummary]:
        """All revisions in all states, oldest first."""
        return [_summarised(entry) for entry in self._call("history", release, self._config.history, release)]

    def status(self, release: str) -> ReleaseSummary:
        """The newest revision, with its manifest."""
        return self._summary("status", release, self._config.status, release)

    def get_values(self, release: str, *, computed: bool = False, revision: int | None = None) -> dict[str, Any]:
        """The user's values, or with `computed` those with the chart's defaults below them."""
        found = self._call(
            "get values", release, self._config.get_values, release, all_values=computed, revision=revision
        )
        return dict(found or {})

    def stored_chart(self, release: str, folder: Path, revision: int | None = None) -> Path:
        """Write the chart of a revision (the newest, if none is given) below `folder`; returns the chart's path."""
        return helm_release.write_chart(self.stored(release, revision), folder)

    def stored(self, release: str, revision: int | None = None) -> StoredRelease:
        """A revision as Helm stored it (the newest, if none is given).

        Raises:
            ReleaseNotFound: there is no such release or revision.
        """
        kube = KubeClient(self._kubeconfig, self._context)
        try:
            secrets = kube.list_objects("secrets", self.namespace, labels=helm_release.selector(release))
        finally:
            kube.close()
        found = [r for r in map(helm_release.decode, secrets) if revision in (None, r.revision)]
        if not found:
            raise _not_found(release, self.namespace)
        return max(found, key=lambda r: r.revision)

    def close(self) -> None:
        """Free the engine's resources. The object must not be used afterwards."""
        self._config.close()

    def __enter__(self) -> HelmClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _summary(self, verb: str, release: str, method: Any, *arguments: Any, **options: Any) -> ReleaseSummary:
        return _summarised(self._call(verb, release, method, *arguments, **options))

    def _call(self, verb: str, release: str, method: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return method(*arguments, **options)
        except self._helm.HelmError as error:
            raise self._explained(error, verb, release) from error

    def _explained(self, error: Exception, verb: str, release: str) -> GamedayError:
        helm, where = self._helm, f"helm {verb} {release} -n {self.namespace}"
        text = str(error).strip().replace("\n", "; ")
        if isinstance(error, helm.HelmNotFoundError) or "has no deployed releases" in text:
            return _not_found(release, self.namespace)
        if isinstance(error, helm.HelmKubeError):
            remedy = "check the kubeconfig and that the cluster is up"
            return EnvironmentUnusable(text, where=where, remedy=remedy)
        if isinstance(error, helm.HelmChartLoadError | helm.HelmValuesError | helm.HelmRenderError):
            return InputError(text, where=where, remedy="check the chart and its values")
        if isinstance(error, helm.HelmCancelledError) or "deadline exceeded" in text:
            return DeadlineExceeded(text, where=where, remedy="see the events of the objects named")
        return OperationFailed(text, where=where)


def _wait(seconds: float | None) -> dict[str, Any]:
    """Helm's options for waiting; None leaves it at the chart's hooks."""
    return {} if seconds is None else {"wait": "watcher", "timeout": max(1, math.ceil(seconds))}


def _not_found(release: str, namespace: str) -> ReleaseNotFound:
    remedy = f"list them with: helm list --all --namespace {namespace}"
    return ReleaseNotFound("there is no such Helm release", where=f"release {release} in {namespace}", remedy=remedy)


def _summarised(entry: Mapping[str, Any]) -> ReleaseSummary:
    return ReleaseSummary(
        name=str(entry.get("name", "")),
        namespace=str(entry.get("namespace", "")),
        revision=int(entry.get("revision", 0)),
        status=str(entry.get("status", "")),
        chart=f"{entry.get('chart_name', '')}-{entry.get('chart_version', '')}",
        deployed_at=str(entry.get("deployed_at", "")),
        manifest=str(entry.get("manifest", "")),
    )
