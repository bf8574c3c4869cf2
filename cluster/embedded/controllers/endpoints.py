"""The EndpointSlice controller (with the legacy Endpoints): which addresses stand behind a Service."""

from __future__ import annotations

from cluster.embedded.client import ApiClient, ApiError
from cluster.embedded.controllers.endpoint_plan import (
    MANAGED_BY,
    MANAGER,
    SERVICE_NAME,
    annotated,
    legacy_endpoints,
    new_slice,
    plan_slices,
    selects,
    slice_content,
)
from cluster.embedded.controllers.endpoint_times import TriggerTimes
from cluster.embedded.controllers.expectations import Expectations
from cluster.embedded.informer import Informers, Key, WorkQueue
from cluster.embedded.meta import annotations_of, is_deleted, key_of, labels_of
from cluster.embedded.resources import ENDPOINT_SLICES, ENDPOINTS, PODS, SERVICES, Object


class EndpointsController:
    """Watches Services and pods; writes EndpointSlices and Endpoints."""

    def __init__(self, client: ApiClient, informers: Informers) -> None:
        self._client = client
        self._services, self._pods = informers.of(SERVICES), informers.of(PODS)
        self._slices, self._endpoints = informers.of(ENDPOINT_SLICES), informers.of(ENDPOINTS)
        self._expectations = Expectations()
        self._times = TriggerTimes()
        self._queue = WorkQueue(self.reconcile, name="endpointslice-controller")
        self._services.add_handler(self._service_changed)
        self._pods.add_handler(self._pod_changed)
        self._slices.add_handler(self._slice_changed)

    async def run(self) -> None:
        """Work until cancelled."""
        await self._queue.run()

    def _service_changed(self, old: Object | None, new: Object | None) -> None:
        if obj := new or old:
            self._queue.add(key_of(obj))

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        changed = [pod for pod in (old, new) if pod is not None]
        for service in self._services.in_namespace(changed[0]["metadata"]["namespace"]):
            if any(selects(service, pod) for pod in changed):
                self._queue.add(key_of(service))

    def _slice_changed(self, old: Object | None, new: Object | None) -> None:
        """A slice that somebody deleted or edited is put right again."""
        obj = new or old
        if obj is not None and labels_of(obj).get(MANAGED_BY) == MANAGER:
            key = (obj["metadata"]["namespace"], labels_of(obj).get(SERVICE_NAME, ""))
            if old is None:
                self._expectations.created(key)
            self._queue.add(key)

    async def reconcile(self, key: Key) -> None:
        """Make the slices and Endpoints of one Service true."""
        service = self._services.get(*key)
        if service is None:
            self._expectations.forget(key)
            self._times.forget(key)
            await self._remove(key)
            return
        if not self._expectations.satisfied(key):
            return
        external = service["spec"].get("type") == "ExternalName"
        if external or not service["spec"].get("selector") or is_deleted(service):
            return
        pods = [pod for pod in self._pods.in_namespace(key[0]) if selects(service, pod)]
        triggered = self._times.triggered_at(service, pods)
        await self._write_slices(key, service, pods, triggered)
        await self._write_endpoints(key, service, pods, triggered)

    def _slices_of(self, key: Key) -> list[Object]:
        return [
            obj
            for obj in self._slices.in_namespace(key[0])
            if labels_of(obj).get(SERVICE_NAME) == key[1] and labels_of(obj).get(MANAGED_BY) == MANAGER
        ]

    async def _write_slices(self, key: Key, service: Object, pods: list[Object], triggered: str | None) -> None:
        existing = self._slices_of(key)
        known = [
            (endpoint.get("targetRef") or {}).get("uid", "")
            for obj in existing
            for endpoint in obj.get("endpoints") or []
        ]
        plan = plan_slices(service, pods, known)
        for position, wanted in enumerate(plan):
            content = slice_content(service, wanted)
            if position < len(existing):
                await self._update_slice(existing[position], content, triggered)
            else:
                await self._create_slice(key, new_slice(service, content, triggered))
        for obj in existing[len(plan) :]:
            await self._delete_slice(obj)

    async def _create_slice(self, key: Key, obj: Object) -> None:
        self._expectations.expect_creations(key, 1)
        try:
            await self._client.create(ENDPOINT_SLICES, obj)
        except ApiError:
            self._expectations.created(key)
            raise

    async def _update_slice(self, obj: Object, content: Object, triggered: str | None) -> None:
        same = (
            (obj.get("endpoints") or None) == content["endpoints"]
            and (obj.get("ports") or None) == content["ports"]
            and labels_of(obj) == content["labels"]
        )
        if same:
            return
        metadata = {
            **obj["metadata"],
            "labels": content["labels"],
            "annotations": annotated(annotations_of(obj), triggered),
        }
        fields = {"endpoints": content["endpoints"], "ports": content["ports"]}
        await self._client.update(ENDPOINT_SLICES, {**obj, **fields, "metadata": metadata})

    async def _delete_slice(self, obj: Object) -> None:
        namespace, name = key_of(obj)
        try:
            await self._client.delete(ENDPOINT_SLICES, name, namespace, uid=obj["metadata"]["uid"])
        except ApiError as error:
            if error.code != 404:
                raise

    async def _write_endpoints(self, key: Key, service: Object, pods: list[Object], triggered: str | None) -> None:
        wanted = legacy_endpoints(service, pods, triggered)
        current = self._endpoints.get(*key)
        if current is None:
            try:
                await self._client.create(ENDPOINTS, wanted)
            except ApiError as error:
                if error.reason != "AlreadyExists":
                    raise
            return
        same = (current.get("subsets") or []) == wanted.get("subsets", [])
        if not same or labels_of(current) != wanted["metadata"]["labels"]:
            version = current["metadata"]["resourceVersion"]
            await self._client.update(
                ENDPOINTS, {**wanted, "metadata": {**wanted["metadata"], "resourceVersion": version}}
            )

    async def _remove(self, key: Key) -> None:
        for obj in self._slices_of(key):
            await self._delete_slice(obj)
        if self._endpoints.get(*key) is not None:
            try:
                await self._client.delete(ENDPOINTS, key[1], key[0])
            except ApiError as error:
                if error.code != 404:
                    raise
