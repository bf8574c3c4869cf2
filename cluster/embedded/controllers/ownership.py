"""Adoption and release: which objects a controller owns, after its selector was applied."""

from __future__ import annotations

from collections.abc import Iterable

from cluster.embedded.client import ApiClient, ApiError
from cluster.embedded.informer import Index
from cluster.embedded.meta import (
    controller_of,
    controller_reference,
    is_deleted,
    key_of,
    labels_of,
    matches_selector,
    owners_of,
)
from cluster.embedded.resources import Object, Resource


def controller_uid_of(obj: Object) -> tuple[str, str]:
    """(namespace, uid of the controller or nothing): an index by which an owner finds what it may claim."""
    reference = controller_of(obj)
    return obj["metadata"].get("namespace") or "", reference["uid"] if reference else ""


def candidates(index: Index, owner: Object) -> list[Object]:
    """The objects of the owner's namespace that it controls, or that nobody controls.

    Args:
        index: one by `controller_uid_of`.
        owner: the controlling object.
    """
    namespace = owner["metadata"].get("namespace") or ""
    return index.of((namespace, owner["metadata"]["uid"])) + index.of((namespace, ""))


async def claim(
    client: ApiClient, owner: tuple[Resource, Object], resource: Resource, candidates: Iterable[Object]
) -> list[Object]:
    """The candidates the owner controls; adopts orphans its selector matches, releases what it no longer matches.

    Args:
        client: to write the ownerReferences.
        owner: the controlling object and its resource.
        resource: the resource of the candidates.
        candidates: objects in the owner's namespace.
    """
    owner_resource, controller = owner
    selector = controller["spec"].get("selector")
    owned: list[Object] = []
    for obj in candidates:
        reference = controller_of(obj)
        matches = matches_selector(selector, labels_of(obj))
        if reference is not None:
            if reference["uid"] != controller["metadata"]["uid"]:
                continue
            if matches or is_deleted(controller):
                owned.append(obj)
            else:
                await _release(client, resource, obj, reference["uid"])
        elif matches and not is_deleted(controller) and not is_deleted(obj):
            adopted = await _adopt(client, owner_resource, controller, resource, obj)
            if adopted is not None:
                owned.append(adopted)
    return owned


async def _adopt(
    client: ApiClient, owner_resource: Resource, controller: Object, resource: Resource, obj: Object
) -> Object | None:
    namespace, name = key_of(controller)
    live = await client.get(owner_resource, name, namespace)  # the cache may not know yet that it is deleted
    if live["metadata"]["uid"] != controller["metadata"]["uid"] or is_deleted(live):
        return None
    return await write_owners(client, resource, obj, [*owners_of(obj), controller_reference(controller)])


async def _release(client: ApiClient, resource: Resource, obj: Object, uid: str) -> None:
    await write_owners(client, resource, obj, [ref for ref in owners_of(obj) if ref["uid"] != uid])


async def write_owners(client: ApiClient, resource: Resource, obj: Object, references: list[Object]) -> Object | None:
    """Replace the ownerReferences of an object as it was read; None if it is gone. Raises ApiError 409."""
    namespace, name = key_of(obj)
    metadata = {"resourceVersion": obj["metadata"]["resourceVersion"], "ownerReferences": references or None}
    try:
        return await client.patch(resource, name, {"metadata": metadata}, namespace)
    except ApiError as error:
        if error.code == 404:
            return None
        raise
