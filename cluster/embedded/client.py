"""How controllers, scheduler, node agent and network talk to the API: one small protocol, two transports.

`LocalClient` (in ``cluster.embedded.apiserver.local``) calls the API server in the same process; an HTTP client can
serve the same components against any API server. Components never touch the store.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from clients.errors import OperationFailed
from cluster.embedded.resources import Object, Resource

PatchType = Literal["json", "merge", "strategic", "apply"]
Propagation = Literal["Background", "Foreground", "Orphan"]


class ApiError(OperationFailed):
    """The API answered with a Status of failure.

    Attributes:
        code: HTTP status, such as 404.
        reason: the machine-readable reason, such as ``NotFound`` or ``Conflict``.
        status: the whole Status object.
    """

    def __init__(self, status: Object) -> None:
        super().__init__(str(status.get("message", "")))
        self.status = status
        self.code = int(status.get("code", 500))
        self.reason = str(status.get("reason", ""))


@dataclass(frozen=True, slots=True)
class ObjectList:
    """A list as of one resourceVersion."""

    items: list[Object]
    resource_version: str


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One watch event; ``type`` is ADDED, MODIFIED, DELETED or BOOKMARK."""

    type: str
    object: Object


class ApiClient(Protocol):
    """The API, as its clients see it. Every method raises ApiError when the server says no.

    Objects that it returns are shared with the server: copy (``copy.deepcopy``) before changing one.
    Selectors are strings in Kubernetes syntax. ``subresource`` is ``status``, ``scale``, ``binding``, ``eviction`` or
    ``token``.
    """

    async def get(self, resource: Resource, name: str, namespace: str = "") -> Object: ...

    async def list(
        self, resource: Resource, namespace: str | None = None, *, labels: str = "", fields: str = ""
    ) -> ObjectList: ...

    def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str,
        labels: str = "",
        fields: str = "",
    ) -> AsyncIterator[WatchEvent]:
        """Events after ``resource_version``, until cancelled. ApiError 410 means: list again."""
        ...

    async def create(self, resource: Resource, obj: Object, *, subresource: str = "") -> Object:
        """Create an object; with a subresource (binding, eviction), post that object to it."""
        ...

    async def update(self, resource: Resource, obj: Object, *, subresource: str = "") -> Object:
        """Replace an object; a resourceVersion in it makes the write conditional (ApiError 409)."""
        ...

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Any,
        namespace: str = "",
        *,
        patch_type: PatchType = "merge",
        subresource: str = "",
    ) -> Object: ...

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        grace_period_seconds: int | None = None,
        propagation: Propagation | None = None,
        uid: str = "",
    ) -> Object: ...
