"""From a request's JSON to the object the server keeps: types checked, unknown fields and zero values dropped.

A real server decodes into Go structs and encodes them again, which is why an empty list vanishes, ``1024Mi``
becomes ``1Gi``, and a string where a number belongs is an error of the decoder. Here the schema does the same.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from cluster.embedded.apiserver.quantities import BadQuantity, canonical
from cluster.embedded.apiserver.schema import Type

_BITS = {"int32": 1 << 31, "int64": 1 << 63}
_INDEX = re.compile(r"\[\d+\]")
_QUANTITY_RULE = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


class DecodeError(ValueError):
    """A value has the wrong type; the text is what Go's decoder says."""


class Decoder:
    """Decodes one object.

    Attributes:
        unknown: paths of fields that the schema does not have, such as ``spec.containers[0].foo``.
    """

    def __init__(self) -> None:
        self.unknown: list[str] = []

    def decode(self, type_: Type, value: Any, previous: Any = None) -> Any:
        """The normalised copy of an object. Parts that are the very same object as in ``previous`` are reused.

        Raises:
            DecodeError: a value does not have the type that the schema says.
        """
        return self._struct(type_, value, previous, "", type_.go)

    def _value(self, type_: Type, value: Any, previous: Any, path: str, owner: str) -> Any:
        if value is previous and value is not None:
            return value
        kind = type_.kind
        if kind == "struct":
            return self._struct(type_, value, previous, path, owner)
        if kind == "list":
            return self._list(type_, value, previous, path, owner)
        if kind == "map":
            return self._map(type_, value, previous, path, owner)
        return _scalar(type_, value, path, owner)

    def _struct(self, type_: Type, value: Any, previous: Any, path: str, owner: str) -> dict[str, Any]:
        if value.__class__ is not dict:
            raise _mismatch(value, type_, path, owner)
        old = previous if previous.__class__ is dict else {}
        result: dict[str, Any] = {}
        fields, prefix = type_.fields, path + "." if path else ""
        for key, item in value.items():
            field = fields.get(key)
            if field is None:
                self.unknown.append(prefix + key)
            elif item is not None:
                if field.exact is not item.__class__ or (item.__class__ is int and not _fits(field.kind, item)):
                    item = self._value(field, item, old.get(key), prefix + key, type_.go)
                if item or (item.__class__ is dict and field.kind == "struct") or key in type_.written:
                    result[key] = item
        for key, zero in type_.always.items():
            if key not in result:
                result[key] = _copy(zero)
        return result

    def _list(self, type_: Type, value: Any, previous: Any, path: str, owner: str) -> list[Any]:
        if value.__class__ is not list:
            raise _mismatch(value, type_, path, owner)
        element = type_.element
        assert element is not None
        if element.exact is not None and all(item.__class__ is element.exact for item in value):
            return list(value)
        old = {id(item): item for item in previous} if previous.__class__ is list else {}
        return [
            self._value(element, item, old.get(id(item)), f"{path}[{index}]", owner) for index, item in enumerate(value)
        ]

    def _map(self, type_: Type, value: Any, previous: Any, path: str, owner: str) -> dict[str, Any]:
        if value.__class__ is not dict:
            raise _mismatch(value, type_, path, owner)
        element = type_.element
        assert element is not None
        if element.exact is not None and all(item.__class__ is element.exact for item in value.values()):
            return dict(value)
        old = previous if previous.__class__ is dict else {}
        return {key: self._map_value(element, item, old.get(key), path, owner) for key, item in value.items()}

    def _map_value(self, element: Type, item: Any, old: Any, path: str, owner: str) -> Any:
        if item is None:
            return "" if element.kind in ("string", "bytes") else "0" if element.kind == "quantity" else None
        return self._value(element, item, old, path, owner)


def _scalar(type_: Type, value: Any, path: str, owner: str) -> Any:
    kind = type_.kind
    if value.__class__ is int and not _fits(kind, value):
        raise _mismatch(value, type_, path, owner)
    if kind == "any" or value.__class__ is type_.exact:
        return value
    if kind == "quantity" and value.__class__ in (str, int, float):
        return _quantity(str(value))
    if kind == "intorstring" and value.__class__ in (str, int):
        return value
    if kind == "bytes" and value.__class__ is str:
        return _base64(value)
    if kind == "number" and value.__class__ in (int, float):
        return value
    if kind in _BITS and value.__class__ is float and value.is_integer() and _fits(kind, int(value)):
        return int(value)
    if value is None:
        return ""
    raise _mismatch(value, type_, path, owner)


def _fits(kind: str, number: int) -> bool:
    """Whether a number is in the range of its type; other types than integers have no range."""
    limit = _BITS.get(kind)
    return limit is None or -limit <= number < limit


def _copy(zero: Any) -> Any:
    return {key: _copy(item) for key, item in zero.items()} if zero.__class__ is dict else zero


def _quantity(text: str) -> str:
    try:
        return canonical(text)
    except BadQuantity:
        raise DecodeError(_QUANTITY_RULE) from None


def _base64(text: str) -> str:
    compact = text.replace("\n", "").replace("\r", "")
    try:
        base64.b64decode(compact, validate=True)
    except binascii.Error:
        bad = next((i for i, c in enumerate(text) if not (c.isalnum() or c in "+/=\r\n")), len(text))
        raise DecodeError(f"illegal base64 data at input byte {bad}") from None
    return compact


def _mismatch(value: Any, type_: Type, path: str, owner: str) -> DecodeError:
    if not path:
        return DecodeError(f"json: cannot unmarshal {_json_type(value)} into Go value of type {type_.go}")
    struct, field = owner.rpartition(".")[2], _INDEX.sub("", path)
    return DecodeError(
        f"json: cannot unmarshal {_json_type(value)} into Go struct field {struct}.{field} of type {type_.go}"
    )


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int) and _fits("int32", value):
        return "number"
    if isinstance(value, int | float):
        return f"number {value:.0f}" if value == int(value) else f"number {value}"
    return "string" if isinstance(value, str) else "object" if isinstance(value, dict) else "array"
