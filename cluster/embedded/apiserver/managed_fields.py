"""Who set which field: ``metadata.managedFields``, kept for every create, update, patch and apply."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from cluster.embedded.apiserver.changes import compare
from cluster.embedded.apiserver.decoding import Decoder
from cluster.embedded.apiserver.field_sets import FieldSet, difference, union
from cluster.embedded.apiserver.schema import Type, type_of
from cluster.embedded.resources import Object, Resource

_SERVER_OWNED = frozenset(
    ("name", "namespace", "creationTimestamp", "selfLink", "uid", "generation", "managedFields", "resourceVersion")
)
_LABELS_RESET_BY_STATUS = ("deployments.apps",)
_MOST_UPDATE_MANAGERS = 10


@dataclass(frozen=True, slots=True)
class Manager:
    """The identity of a writer: two writes with the same one share an entry."""

    name: str
    operation: str
    api_version: str
    subresource: str = ""

    @classmethod
    def of(cls, entry: dict[str, Any]) -> Manager:
        """The manager of an entry of managedFields."""
        get = entry.get
        return cls(get("manager", ""), get("operation", ""), get("apiVersion", ""), get("subresource", ""))

    def entry(self, fields: FieldSet, time: str) -> dict[str, Any]:
        """The entry of managedFields for a set of fields; ``time`` is RFC 3339 or empty."""
        entry: dict[str, Any] = {"manager": self.name, "operation": self.operation, "apiVersion": self.api_version}
        if time:
            entry["time"] = time
        entry["fieldsType"] = "FieldsV1"
        entry["fieldsV1"] = fields
        if self.subresource:
            entry["subresource"] = self.subresource
        return entry

    def __str__(self) -> str:
        text = f'"{self.name}"'
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        return f"{text} using {self.api_version}" if self.operation == "Update" else text


Entries = list[dict[str, Any]]


def tracked_part(resource: Resource, obj: Object, subresource: str) -> Object:
    """What of an object a write can own: no identity, no server-owned metadata, and spec or status but not both."""
    part = {key: value for key, value in obj.items() if key not in ("apiVersion", "kind", "metadata")}
    metadata = obj.get("metadata") or {}
    part["metadata"] = {key: value for key, value in metadata.items() if key not in _SERVER_OWNED}
    if subresource == "status":
        part.pop("spec", None)
        if resource.group_resource in _LABELS_RESET_BY_STATUS:
            part["metadata"].pop("labels", None)
    elif "status" in resource.subresources:
        part.pop("status", None)
    return part


@cache
def blank_part(resource: Resource) -> Object:
    """The tracked part of an object in which nobody has set anything; shared, not to be changed."""
    return tracked_part(resource, Decoder().decode(type_of(resource), {}), "")


def entries_for_update(live: Entries, sent: Entries | None, *, main: bool) -> Entries:
    """The entries an update starts from: the stored ones, unless the writer of the main resource replaces them.

    An empty list, or a list of one empty entry, clears them.
    """
    if not main or sent is None or sent is live:
        return live
    if sent in ([], [{}]):
        return []
    if not isinstance(sent, list) or not all(isinstance(entry, dict) for entry in sent):
        return live
    return sent if all(entry.get("manager") is not None and "fieldsV1" in entry for entry in sent) else live


def track_update(type_: Type, old: Object, new: Object, entries: Entries, manager: Manager, now: str) -> Entries:
    """The entries after a write that was no apply: the writer owns what it changed, alone.

    Args:
        type_: the type of the object.
        old: the tracked part before, for a new object the fields that are always written.
        new: the tracked part after.
        entries: managedFields before.
        manager: the writer.
        now: RFC 3339 time of the write.
    """
    changes = compare(type_, old, new)
    if not changes.set and not changes.removed:
        return entries
    result: Entries = []
    own: FieldSet = {}
    for entry in entries:
        fields = entry.get("fieldsV1", {})
        left = difference(difference(fields, changes.set), changes.removed)
        if Manager.of(entry) == manager:
            own = left
            if not changes.set and left:
                result.append({**entry, "fieldsV1": left})
        elif left:
            result.append(entry if left is fields or left == fields else {**entry, "fieldsV1": left})
    if changes.set:
        result.append(manager.entry(union(own, changes.set), now))
    return in_order(_capped(result))


def in_order(entries: Entries) -> Entries:
    """Entries as a server lists them: applies before updates, then by time, manager and subresource."""
    get = dict.get
    return sorted(
        entries,
        key=lambda e: (
            get(e, "operation", ""),
            get(e, "time", ""),
            get(e, "manager", ""),
            get(e, "subresource", ""),
        ),
    )


def _capped(entries: Entries) -> Entries:
    """Entries with the oldest update managers merged into one, as soon as there are too many."""
    updates = in_order([entry for entry in entries if entry["operation"] == "Update"])
    surplus = updates[: len(updates) - _MOST_UPDATE_MANAGERS + 1] if len(updates) > _MOST_UPDATE_MANAGERS else []
    if not surplus:
        return entries
    merged: FieldSet = {}
    for entry in surplus:
        merged = union(merged, entry["fieldsV1"])
    last = surplus[-1]
    ancient = Manager("ancient-changes", "Update", last["apiVersion"]).entry(merged, last.get("time", ""))
    return [ancient, *(entry for entry in entries if entry not in surplus)]


def set_entries(obj: Object, entries: Entries) -> None:
    """Write managedFields into an object's own metadata, or leave them out when there are none."""
    if entries:
        obj["metadata"]["managedFields"] = entries
    else:
        obj["metadata"].pop("managedFields", None)


def same(old: Object, new: Object) -> bool:
    """Whether two versions differ in nothing but the times in managedFields: such a write is none."""
    if old is new or old == new:
        return True
    before, after = old["metadata"], new["metadata"]
    if _timeless(before.get("managedFields")) != _timeless(after.get("managedFields")):
        return False
    rest = {**new, "metadata": {**after, "managedFields": before.get("managedFields")}}
    if "managedFields" not in before:
        del rest["metadata"]["managedFields"]
    return old == rest


def _timeless(entries: Entries | None) -> list[tuple[Manager, FieldSet]]:
    return [(Manager.of(entry), entry.get("fieldsV1", {})) for entry in entries or ()]
