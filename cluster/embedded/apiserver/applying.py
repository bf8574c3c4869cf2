"""Server-side apply of one object: from the configuration to the new object and its managedFields."""

from __future__ import annotations

import json
from typing import Any

from cluster.embedded.apiserver import status
from cluster.embedded.apiserver.decoding import DecodeError, Decoder
from cluster.embedded.apiserver.defaulting import apply_defaults
from cluster.embedded.apiserver.lifecycle import now
from cluster.embedded.apiserver.managed_fields import Entries, Manager, blank_part, track_update, tracked_part
from cluster.embedded.apiserver.schema import type_of
from cluster.embedded.apiserver.server_side_apply import KUBECTL, LAST_APPLIED, apply, check_configuration
from cluster.embedded.resources import Object, Resource


def applied_object(
    resource: Resource,
    old: Object | None,
    namespace: str,
    name: str,
    config: Any,
    manager: Manager,
    *,
    force: bool,
) -> tuple[Object, Entries]:
    """The object that results from an apply, decoded but without defaults, and its managedFields.

    Raises:
        ApiError: 400 or 500 for a bad configuration, 409 for conflicts.
    """
    type_ = type_of(resource)
    _check_kind(resource, config)
    check_configuration(type_, config, f"{namespace}/{name}; {resource.api_version}, Kind={resource.kind}")
    live = tracked_part(resource, old, manager.subresource) if old else {"metadata": {}}
    wanted = tracked_part(resource, config, manager.subresource)
    if not wanted["metadata"]:
        del wanted["metadata"]
    applied = apply(type_, live, wanted, _entries(resource, old), manager, force=force, now=now())
    sent = config.get("metadata") or {}
    _check_identity(resource, old, sent, name)
    merged = _with_rest(applied.object, old, live, {"name": name, "namespace": namespace})
    try:
        new: Object = Decoder().decode(type_, merged, old)
    except DecodeError as error:
        raise status.internal_error(str(error)) from None
    new["apiVersion"], new["kind"] = resource.api_version, resource.kind
    new["metadata"] = dict(new["metadata"])
    if manager.name == KUBECTL and LAST_APPLIED in (new["metadata"].get("annotations") or {}):
        _note_last_applied(new["metadata"], config)
    return new, applied.entries


def _note_last_applied(metadata: dict[str, Any], config: Any) -> None:
    """Keep the annotation of client-side ``kubectl apply`` true, so that one can go back to it."""
    text = json.dumps(config, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"
    metadata["annotations"] = {**metadata["annotations"], LAST_APPLIED: text}


def fill_changed(resource: Resource, old: Object, new: Object) -> None:
    """Defaults for an update, unless spec and data are the very same objects as before."""
    changed = any(
        new[key] is not old.get(key) for key in new if key not in ("metadata", "status", "apiVersion", "kind")
    )
    if changed or old.keys() - new.keys():
        apply_defaults(resource, new)


def _check_kind(resource: Resource, config: Any) -> None:
    version, kind = config.get("apiVersion", "/"), config.get("kind", "")
    if (version, kind) != (resource.api_version, resource.kind):
        raise status.bad_request(f"invalid object type: {version}, Kind={kind}")
    if (config.get("metadata") or {}).get("managedFields"):
        raise status.bad_request("metadata.managedFields must be nil")


def _check_identity(resource: Resource, old: Object | None, sent: dict[str, Any], name: str) -> None:
    if sent.get("name", name) != name:
        problem = f"the name of the object ({sent['name']}) does not match the name on the URL ({name})"
        raise status.bad_request(problem)
    if old is None:
        if sent.get("uid"):
            raise status.conflict(resource, name, "uid mismatch: the provided object specified uid " + sent["uid"])
        return
    if sent.get("resourceVersion") not in (None, "", old["metadata"]["resourceVersion"]):
        raise status.conflict(resource, name)


def _entries(resource: Resource, old: Object | None) -> Entries:
    """managedFields of the live object; what was there before any tracking belongs to ``before-first-apply``."""
    if old is None:
        return []
    entries: Entries = old["metadata"].get("managedFields", [])
    if entries:
        return entries
    manager = Manager("before-first-apply", "Update", resource.api_version)
    live = tracked_part(resource, old, "")
    return track_update(type_of(resource), blank_part(resource), live, [], manager, now())


def _with_rest(applied: Object, old: Object | None, live: Object, identity: dict[str, str]) -> Object:
    """The applied part together with what an apply cannot own: identity, and spec or status."""
    base = old if old is not None else {"metadata": {key: value for key, value in identity.items() if value}}
    metadata = {key: value for key, value in base["metadata"].items() if key not in live.get("metadata", {})}
    rest = {key: value for key, value in base.items() if key not in live}
    return {**rest, **applied, "metadata": {**metadata, **applied.get("metadata", {})}}
