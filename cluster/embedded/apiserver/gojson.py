"""What Go's JSON package says about JSON: syntax errors in its words, and keys that an object has twice.

Clients show these texts to people, and tests of clients compare them. (Go documentation: package encoding/json.)
"""

from __future__ import annotations

import json
import re
from typing import Any

_SPACE = " \t\r\n"
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_LITERALS = ("true", "false", "null")
_ESCAPES = '"\\/bfnrtu'


class _Bad(ValueError):
    """The text is no JSON; the message is Go's."""


def syntax_error(text: str) -> str:
    """What Go says about the first mistake; empty when the text is JSON."""
    try:
        end = _space(text, _value(text, 0, "looking for beginning of value"))
        if end < len(text):
            raise _unexpected(text, end, "after top-level value")
    except _Bad as bad:
        return str(bad)
    except RecursionError:
        return "exceeded max depth"
    return ""


def _unexpected(text: str, at: int, where: str) -> _Bad:
    if at >= len(text):
        return _Bad("unexpected end of JSON input")
    return _Bad(f"invalid character {quoted(text[at])} {where}")


def quoted(character: str) -> str:
    """A character as Go shows it in an error."""
    if character in ("'", '"'):
        return "'\\''" if character == "'" else "'\"'"
    if character.isascii() and character.isprintable():
        return f"'{character}'"
    named = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
    shown = f"\\x{ord(character):02x}" if ord(character) < 256 else character
    return f"'{named.get(character, shown)}'"


def _space(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at


def _value(text: str, at: int, where: str) -> int:
    """The position after a value. Raises _Bad."""
    at = _space(text, at)
    first = text[at : at + 1]
    if first == "{":
        return _object(text, at + 1)
    if first == "[":
        return _array(text, at + 1)
    if first == '"':
        return _string(text, at + 1)
    if first and first in "-0123456789":
        return _number(text, at)
    for literal in _LITERALS:
        if first == literal[0]:
            return _literal(text, at, literal)
    raise _unexpected(text, at, where)


def _object(text: str, at: int) -> int:
    at = _space(text, at)
    if text[at : at + 1] == "}":
        return at + 1
    while True:
        at = _space(text, at)
        if text[at : at + 1] != '"':
            raise _unexpected(text, at, "looking for beginning of object key string")
        at = _space(text, _string(text, at + 1))
        if text[at : at + 1] != ":":
            raise _unexpected(text, at, "after object key")
        at = _space(text, _value(text, at + 1, "looking for beginning of value"))
        if text[at : at + 1] == "}":
            return at + 1
        if text[at : at + 1] != ",":
            raise _unexpected(text, at, "after object key:value pair")
        at += 1


def _array(text: str, at: int) -> int:
    at = _space(text, at)
    if text[at : at + 1] == "]":
        return at + 1
    while True:
        at = _space(text, _value(text, at, "looking for beginning of value"))
        if text[at : at + 1] == "]":
            return at + 1
        if text[at : at + 1] != ",":
            raise _unexpected(text, at, "after array element")
        at += 1


def _string(text: str, at: int) -> int:
    while at < len(text):
        character = text[at]
        if character == '"':
            return at + 1
        if character == "\\":
            at += 1
            if text[at : at + 1] not in _ESCAPES or at >= len(text):
                raise _unexpected(text, at, "in string escape code")
            if text[at] == "u":
                at = _unicode(text, at)
        elif character < " ":
            raise _unexpected(text, at, "in string literal")
        at += 1
    raise _unexpected(text, at, "")


def _unicode(text: str, at: int) -> int:
    for offset in range(1, 5):
        if text[at + offset : at + offset + 1].lower() not in tuple("0123456789abcdef"):
            raise _unexpected(text, at + offset, "in \\u hexadecimal character escape")
    return at + 4


def _number(text: str, at: int) -> int:
    match = _NUMBER.match(text, at)
    if match is None:
        raise _unexpected(text, at + 1, "in numeric literal")
    end, rest = match.end(), text[match.end() : match.end() + 2]
    if rest[:1] == "." and match[2] is None and match[3] is None:
        raise _unexpected(text, end + 1, "after decimal point in numeric literal")
    if rest[:1] in ("e", "E") and match[3] is None:
        raise _unexpected(text, end + (2 if rest[1:] in ("+", "-") else 1), "in exponent of numeric literal")
    return end


def _literal(text: str, at: int, literal: str) -> int:
    for offset, expected in enumerate(literal):
        if text[at + offset : at + offset + 1] != expected:
            raise _unexpected(text, at + offset, f"in literal {literal} (expecting '{expected}')")
    return at + len(literal)


class _Pairs(list[tuple[str, Any]]):
    """An object with every key that was written, in order."""


def duplicate_fields(raw: bytes) -> list[str]:
    """Paths of keys that an object of the JSON has more than once, such as ``data.a``; empty for what is no JSON."""
    doubled = False

    def pairs(found: list[tuple[str, Any]]) -> _Pairs:
        nonlocal doubled
        doubled = doubled or len({key for key, _ in found}) < len(found)
        return _Pairs(found)

    try:
        whole = json.loads(raw, object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        return []
    return _duplicates(whole, "") if doubled else []


def _duplicates(value: Any, path: str) -> list[str]:
    if isinstance(value, _Pairs):
        found: list[str] = []
        seen: set[str] = set()
        for key, item in value:
            inner = f"{path}.{key}" if path else key
            if key in seen and inner not in found:
                found.append(inner)
            seen.add(key)
            found += _duplicates(item, inner)
        return found
    if isinstance(value, list):
        return [path_ for index, item in enumerate(value) for path_ in _duplicates(item, f"{path}[{index}]")]
    return []
