"""Protobuf request bodies: Helm 4 and kubectl send a few kinds in this encoding only.

A body is the magic ``k8s\\0`` and a ``runtime.Unknown``, which names the kind and carries the object. Descriptors
are built from the compact table in ``protobuf_schema`` (field numbers as published in the generated.proto files of
k8s.io/api), the wire format is left to the protobuf library, which is imported by the first such body.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from functools import cache
from typing import Any

import orjson

from cluster.embedded.apiserver.protobuf_schema import INLINED, KINDS, MESSAGES, Field, Message
from cluster.embedded.apiserver.refusals import bad_request, unsupported_body_type
from cluster.embedded.resources import Object

MAGIC = b"k8s\x00"

_PACKAGE = "gameday.k8s"
_SCALARS = {"string": 9, "bytes": 12, "skip": 12, "bool": 8, "int32": 5, "int64": 3, "double": 1}
_MESSAGE_TYPE, _OPTIONAL, _REPEATED = 11, 1, 3


def decode(raw: bytes) -> Object:
    """The JSON form of a protobuf body. Raises ApiError 400 (not protobuf) or 415 (a kind that is not known)."""
    from google.protobuf.message import DecodeError

    if not raw.startswith(MAGIC):
        raise bad_request("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    try:
        envelope = _parse("Unknown", raw[len(MAGIC) :])
        api_version, kind = envelope.typeMeta.apiVersion, envelope.typeMeta.kind
        name = KINDS.get((api_version, kind))
        if name is None:
            raise unsupported_body_type()
        decoded = _object(_parse(name, envelope.raw), MESSAGES[name])
    except (DecodeError, ValueError, OverflowError, OSError) as error:
        raise bad_request(f"unable to decode the protobuf body: {error}") from None
    return {"apiVersion": api_version, "kind": kind, **decoded}


def _parse(name: str, data: bytes) -> Any:
    message = _classes()[name]()
    message.ParseFromString(data)
    return message


@cache
def _classes() -> dict[str, Any]:
    """Message classes by name."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="gameday/k8s.proto", package=_PACKAGE, syntax="proto2")
    for name, fields in MESSAGES.items():
        _describe(file.message_type.add(name=name), fields)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in MESSAGES
    }


def _describe(message: Any, fields: Message) -> None:
    for field in fields:
        label = _REPEATED if field.repeated or field.mapping else _OPTIONAL
        kind = f"{field.name.capitalize()}Entry" if field.mapping else field.kind
        described = message.field.add(name=field.name, number=field.number, label=label)
        if kind in _SCALARS:
            described.type = _SCALARS[kind]
            continue
        described.type = _MESSAGE_TYPE
        path = f"{message.name}.{kind}" if field.mapping else kind
        described.type_name = f".{_PACKAGE}.{path}"
        if field.mapping:
            entry = message.nested_type.add(name=kind)
            _describe(entry, (Field("key", 1, "string"), Field("value", 2, field.kind)))


def _object(message: Any, fields: Message) -> Object:
    """The fields that were set and say something: Go omits empty values of plain fields, but not of pointers."""
    result: Object = {}
    for field in fields:
        if field.mapping:
            entries = getattr(message, field.name)
            value: Any = {entry.key: _value(entry.value, field.kind) for entry in entries}
        elif field.repeated:
            value = [_value(item, field.kind) for item in getattr(message, field.name)]
        elif message.HasField(field.name):
            value = _value(getattr(message, field.name), field.kind)
        else:
            continue
        if field.name in INLINED:
            result.update(value)
        elif value or (value is not None and field.pointer):
            result[field.name] = value
    _refuse_unknown_fields(message)
    return result


def _refuse_unknown_fields(message: Any) -> None:
    """Better to say no than to store an object without a part of it."""
    from google.protobuf.unknown_fields import UnknownFieldSet

    for unknown in UnknownFieldSet(message):
        kind = message.DESCRIPTOR.name
        raise bad_request(f"field {unknown.field_number} of {kind} is not supported in a protobuf body; send JSON")


def _value(value: Any, kind: str) -> Any:
    match kind:
        case "skip":
            return None
        case "FieldsV1":
            return orjson.loads(value.Raw or b"{}")
        case "bytes":
            return base64.b64encode(value).decode()
        case "Time" | "MicroTime":
            return _timestamp(value, kind)
        case "Quantity":
            return value.string
        case "IntOrString":
            return value.strVal if value.type else value.intVal
        case _ if kind in _SCALARS:
            return value
        case _:
            return _object(value, MESSAGES[kind])


def _timestamp(value: Any, kind: str) -> str | None:
    if not value.seconds and not value.nanos:
        return None
    moment = datetime.fromtimestamp(value.seconds, UTC)
    if kind == "MicroTime":
        return moment.replace(microsecond=value.nanos // 1000).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
