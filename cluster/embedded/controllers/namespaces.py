"""Namespaces: what every namespace has from the start, and the deletion of all its content at the end."""

from __future__ import annotations

from cluster.embedded.client import ApiClient, ApiError, Propagation
from cluster.embedded.informer import Informers, Key, WorkQueue
from cluster.embedded.meta import is_deleted, key_of
from cluster.embedded.resources import (
    CONFIG_MAPS,
    EVENTS,
    NAMESPACES,
    PODS,
    RESOURCES,
    SERVICE_ACCOUNTS,
    Object,
    Resource,
)

ROOT_CA = "kube-root-ca.crt"
_DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as "
    "the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of "
    "Kubernetes clusters."
)
_LOOK_AGAIN_SECONDS = 5.0


class NamespaceController:
    """Watches Namespaces; empties those that are deleted and then lets them go."""

    def __init__(self, client: ApiClient, informers: Informers) -> None:
        self._client = client
        self._informers = informers
        self._namespaces = informers.of(NAMESPACES)
        self._queue = WorkQueue(self.reconcile, name="namespace-controller")
        self._namespaces.add_handler(self._changed)
        for resource in RESOURCES:
            if resource.namespaced and resource is not EVENTS:
                informers.of(resource).add_handler(self._content_changed)

    async def run(self) -> None:
        """Work until cancelled."""
        await self._queue.run()

    def _changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None and is_deleted(new):
            self._queue.add(key_of(new))

    def _content_changed(self, old: Object | None, new: Object | None) -> None:
        """Something that kept a namespace from going may be gone."""
        if new is None and old is not None:
            namespace = self._namespaces.get("", old["metadata"]["namespace"])
            if namespace is not None and is_deleted(namespace):
                self._queue.add(key_of(namespace))

    async def reconcile(self, key: Key) -> None:
        """Delete what is left in a terminating namespace; remove the finalizer when nothing is."""
        namespace = self._namespaces.get(*key)
        if namespace is None or not is_deleted(namespace):
            return
        left = [await self._empty(resource, key[1]) for resource in RESOURCES if resource.namespaced]
        if any(left):
            self._queue.add_after(key, _LOOK_AGAIN_SECONDS)
            return
        finalizers = (namespace.get("spec") or {}).get("finalizers") or []
        if "kubernetes" in finalizers:
            rest = [item for item in finalizers if item != "kubernetes"]
            spec = {**namespace["spec"], "finalizers": rest}
            try:
                await self._client.update(NAMESPACES, {**namespace, "spec": spec}, subresource="finalize")
            except ApiError as error:
                if error.code != 404:
                    raise

    async def _empty(self, resource: Resource, namespace: str) -> int:
        """Ask for the deletion of everything of one resource; returns how many objects are left."""
        for obj in (await self._client.list(resource, namespace)).items:
            if not is_deleted(obj):
                await self._delete(resource, obj)
        return len((await self._client.list(resource, namespace)).items)

    async def _delete(self, resource: Resource, obj: Object) -> None:
        propagation: Propagation | None = "Background" if resource is not PODS else None
        namespace, name = key_of(obj)
        try:
            await self._client.delete(resource, name, namespace, propagation=propagation)
        except ApiError as error:
            if error.code not in (404, 409):
                raise


class NamespaceContentController:
    """Gives each namespace its default ServiceAccount and the ConfigMap with the cluster's CA.

    Args:
        client: the API.
        informers: shared ones.
        root_ca: PEM of the certificate authority of the API server; may be empty.
    """

    def __init__(self, client: ApiClient, informers: Informers, root_ca: str) -> None:
        self._client = client
        self._root_ca = root_ca
        self._namespaces = informers.of(NAMESPACES)
        self._accounts, self._maps = informers.of(SERVICE_ACCOUNTS), informers.of(CONFIG_MAPS)
        self._queue = WorkQueue(self.reconcile, name="serviceaccount-controller")
        self._namespaces.add_handler(self._namespace_changed)
        self._accounts.add_handler(self._content_changed)
        self._maps.add_handler(self._content_changed)

    async def run(self) -> None:
        """Work until cancelled."""
        await self._queue.run()

    def _namespace_changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self._queue.add(key_of(new))

    def _content_changed(self, old: Object | None, new: Object | None) -> None:
        """Whoever deletes or edits them gets them back."""
        obj = new or old
        if obj is not None and old is not None and obj["metadata"]["name"] in ("default", ROOT_CA):
            self._queue.add(("", obj["metadata"]["namespace"]))

    async def reconcile(self, key: Key) -> None:
        """Create what one namespace lacks."""
        namespace = self._namespaces.get(*key)
        if namespace is None or is_deleted(namespace):
            return
        if self._accounts.get(key[1], "default") is None:
            await self._create(SERVICE_ACCOUNTS, {"metadata": {"name": "default", "namespace": key[1]}})
        wanted = self._root_ca_map(key[1])
        current = self._maps.get(key[1], ROOT_CA)
        if current is None:
            await self._create(CONFIG_MAPS, wanted)
        elif current.get("data") != wanted["data"]:
            await self._client.update(CONFIG_MAPS, {**current, "data": wanted["data"]})

    def _root_ca_map(self, namespace: str) -> Object:
        return {
            "metadata": {
                "name": ROOT_CA,
                "namespace": namespace,
                "annotations": {"kubernetes.io/description": _DESCRIPTION},
            },
            "data": {"ca.crt": self._root_ca},
        }

    async def _create(self, resource: Resource, obj: Object) -> None:
        full = {"apiVersion": resource.api_version, "kind": resource.kind, **obj}
        try:
            await self._client.create(resource, full)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
