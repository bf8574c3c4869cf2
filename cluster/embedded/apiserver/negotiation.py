"""Which of the server's representations a client asked for (the Accept header), and how objects look in them.

Answers are JSON. A client that also takes protobuf gets JSON too; one that takes nothing but protobuf gets 406.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from cluster.embedded.apiserver import tables
from cluster.embedded.apiserver.conversion import from_stored, storage_of, to_stored
from cluster.embedded.apiserver.gotext import go_quote
from cluster.embedded.apiserver.refusals import bad_request, not_acceptable
from cluster.embedded.resources import Object, Resource

Form = Literal["object", "table", "metadata"]

_FORMS: dict[str, Form] = {
    "": "object",
    "Table": "table",
    "PartialObjectMetadata": "metadata",
    "PartialObjectMetadataList": "metadata",
}
_INCLUDED = ("", "Metadata", "Object", "None")
_JSON = ("application/json", "*/*", "application/*")


def media_types(accept: str) -> Iterable[tuple[str, dict[str, str]]]:
    """The media types of an Accept header, in order, with their parameters."""
    for entry in accept.split(","):
        media, *parameters = (part.strip() for part in entry.split(";"))
        yield media.lower(), dict(p.split("=", 1) for p in parameters if "=" in p)


def negotiate(accept: str) -> Form:
    """The first form of the Accept header that is served. Raises ApiError 406."""
    if not accept:
        return "object"
    for media, parameters in media_types(accept):
        form = _FORMS.get(parameters.get("as", ""))
        if media in _JSON and form and (form == "object" or parameters.get("v", "v1") == "v1"):
            return form
    raise not_acceptable()


@dataclass(frozen=True, slots=True)
class Presenter:
    """Shapes objects of one resource for one request.

    Args:
        include_object: what table rows carry: ``Metadata``, ``Object`` or ``None``.
    """

    resource: Resource
    form: Form = "object"
    include_object: str = "Metadata"

    def __post_init__(self) -> None:
        """Raises ApiError 400 for table rows of a form that there is not."""
        if self.form == "table" and self.include_object not in _INCLUDED:
            problem = f"Invalid value: {go_quote(self.include_object)}: must be 'Metadata', 'Object', 'None', or empty"
            raise bad_request(f"Unable to convert to Table as requested: includeObject: {problem}")

    def one(self, obj: Object) -> Object:
        """A single object, in the version of the resource."""
        if self.form == "table":
            meta = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
            return self._table([to_stored(self.resource, obj)], meta)
        return partial_metadata(obj) if self.form == "metadata" else obj

    def many(self, items: list[Object], metadata: dict[str, Any]) -> Object:
        """A list of stored objects with its list metadata."""
        if self.form == "table":
            return self._table(items, metadata)
        if self.form == "metadata":
            api_version, kind = "meta.k8s.io/v1", "PartialObjectMetadataList"
            shown = [partial_metadata(obj) for obj in items]
        else:
            api_version, kind = self.resource.api_version, f"{self.resource.kind}List"
            served = (from_stored(self.resource, obj) for obj in items)
            shown = [{k: v for k, v in obj.items() if k not in ("apiVersion", "kind")} for obj in served]
        return {"kind": kind, "apiVersion": api_version, "metadata": metadata, "items": shown}

    def event(self, obj: Object, *, first: bool) -> Object:
        """The stored object of a watch event; only the first table of a watch has column definitions."""
        shown = self.one(from_stored(self.resource, obj))
        if self.form == "table" and not first:
            shown["columnDefinitions"] = None
        return shown

    def _table(self, items: list[Object], metadata: dict[str, Any]) -> Object:
        return tables.table(storage_of(self.resource), items, metadata, self.include_object)


def partial_metadata(obj: Object) -> Object:
    """The object reduced to its metadata."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}
