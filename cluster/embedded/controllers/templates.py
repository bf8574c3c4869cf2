"""Pod templates: when two are the same, and the short hash that tells different ones apart. Pure."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from cluster.embedded.resources import Object

HASH_LABEL = "pod-template-hash"
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def comparable(template: Object) -> Any:
    """The template without what does not make it another one: the hash label, nulls, the creation time."""
    plain = _without_nulls(template)
    metadata = dict(plain.get("metadata") or {})
    labels = {key: value for key, value in (metadata.pop("labels", None) or {}).items() if key != HASH_LABEL}
    metadata.pop("creationTimestamp", None)
    return {**plain, "metadata": {**metadata, **({"labels": labels} if labels else {})}}


def same_template(one: Object, other: Object) -> bool:
    """Whether pods from both templates would be alike."""
    return bool(comparable(one) == comparable(other))


def template_hash(template: Object, collisions: int = 0) -> str:
    """Eight to ten characters that are valid in a name and a label, equal for equal templates.

    Args:
        template: a pod template.
        collisions: ``status.collisionCount`` of the Deployment, to get another name when the first is taken.
    """
    text = json.dumps([comparable(template), collisions], sort_keys=True, separators=(",", ":"))
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
    return "".join(_ALPHABET[ord(digit) % len(_ALPHABET)] for digit in str(number))


def with_hash(labels: dict[str, str] | None, value: str) -> dict[str, str]:
    """The labels with the hash label added."""
    return {**(labels or {}), HASH_LABEL: value}


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
