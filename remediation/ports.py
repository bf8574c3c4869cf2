"""What the remediation needs from the outside, as small protocols: tests and other clients can stand in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from remediation.snapshot import RegistryEntry

JsonObject = dict[str, Any]


class Kube(Protocol):
    """A Kubernetes API (see `clients.kube.KubeClient`)."""

    def list_objects(
        self, resource: str, namespace: str | None = None, *, labels: str = "", fields: str = ""
    ) -> list[JsonObject]: ...

    def read(self, resource: str, namespace: str, name: str) -> JsonObject | None: ...

    def merge_patch(self, resource: str, namespace: str, name: str, body: JsonObject) -> JsonObject: ...

    def create(self, resource: str, namespace: str, body: JsonObject) -> JsonObject: ...

    def delete(
        self, resource: str, namespace: str, name: str, *, uid: str = "", grace_seconds: int | None = None
    ) -> bool: ...

    def logs(
        self, namespace: str, pod: str, container: str, *, previous: bool = False, tail_lines: int = 100
    ) -> str: ...

    def watch(
        self, resource: str, namespace: str, *, labels: str = "", timeout_seconds: float
    ) -> Iterator[JsonObject]: ...


class Helm(Protocol):
    """The Helm engine for the release's namespace (see `clients.helm.HelmClient`)."""

    def upgrade(
        self, release: str, chart: Path, values: Mapping[str, Any], *, wait_seconds: float | None = None
    ) -> object: ...

    def rollback(self, release: str, revision: int, *, wait_seconds: float | None = None) -> None: ...


class Registry(Protocol):
    """The registry of record, over HTTP."""

    def entry(self, environment: str, model: str) -> RegistryEntry | None:
        """The entry, or None if there is none.

        Raises:
            OperationFailed: the registry cannot be asked.
        """

    def entries(self) -> list[RegistryEntry]: ...

    def enable(self, environment: str, model: str) -> RegistryEntry: ...

    def register(self, environment: str, model: str, endpoint: str, namespace: str) -> RegistryEntry: ...

    def clear_cache(self, environment: str, model: str) -> None: ...


@dataclass(frozen=True)
class Completion:
    """The answer to one completion request. `status` is 0 when there was none; `code` is the router's error
    code.
    """

    status: int
    code: str = ""
    detail: str = ""
    served_by: str = ""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return self.status == 200

    @property
    def refused(self) -> bool:
        """Turned away because the model is disabled, which is no failure."""
        return self.code == "MODEL_DISABLED"

    @property
    def failed(self) -> bool:
        """Whether a client would call it a failure: no answer, or 5xx that is no refusal."""
        return (self.status == 0 or self.status >= 500) and not self.refused


class Completions(Protocol):
    """Asks for completions and reads metrics, of pods and of the router."""

    def complete(self, base_url: str, model: str, *, api_key: str = "", timeout_seconds: float) -> Completion: ...

    def metrics(self, base_url: str) -> str:
        """The text of `/metrics`.

        Raises:
            OperationFailed: it cannot be had.
        """
