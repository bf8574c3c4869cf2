"""How kubectl writes durations, selectors and lists of containers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cluster.embedded.resources import Object

NONE = "<none>"
UNKNOWN = "<unknown>"

_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86_400, 365 * 86_400


def duration(seconds: float) -> str:
    """A duration as short as kubectl writes it: 90s, 5m10s, 3h, 2d4h, 400d."""
    total = int(seconds)
    if total < -1:
        return "<invalid>"
    if total < 0:
        return "0s"
    if total < 2 * _MINUTE:
        return f"{total}s"
    if total < 10 * _MINUTE:
        return _two(total, _MINUTE, "m", 1, "s")
    if total < 3 * _HOUR:
        return f"{total // _MINUTE}m"
    if total < 8 * _HOUR:
        return _two(total, _HOUR, "h", _MINUTE, "m")
    if total < 2 * _DAY:
        return f"{total // _HOUR}h"
    if total < 8 * _DAY:
        return _two(total, _DAY, "d", _HOUR, "h")
    if total < 2 * _YEAR:
        return f"{total // _DAY}d"
    if total < 8 * _YEAR:
        return _two(total, _YEAR, "y", _DAY, "d")
    return f"{total // _YEAR}y"


def _two(total: int, unit: int, sign: str, part: int, part_sign: str) -> str:
    rest = total % unit // part
    return f"{total // unit}{sign}{rest}{part_sign}" if rest else f"{total // unit}{sign}"


def since(timestamp: str | None, now: datetime) -> str:
    """The time since an RFC 3339 timestamp."""
    if not timestamp:
        return UNKNOWN
    then = datetime.fromisoformat(timestamp)
    return duration((now - then.astimezone(UTC)).total_seconds())


def age(obj: Object, now: datetime) -> str:
    """The time since the object was created."""
    return since(obj["metadata"].get("creationTimestamp"), now)


def labels(selector: dict[str, str] | None) -> str:
    """``a=b,c=d``, or ``<none>``."""
    return ",".join(f"{key}={value}" for key, value in sorted((selector or {}).items())) or NONE


def label_selector(selector: dict[str, Any] | None) -> str:
    """A LabelSelector as text, as in ``app=web,tier in (a,b)``."""
    terms = [f"{key}={value}" for key, value in sorted(((selector or {}).get("matchLabels") or {}).items())]
    for requirement in (selector or {}).get("matchExpressions") or []:
        key, values = requirement["key"], f"({','.join(requirement.get('values') or [])})"
        terms.append(
            {"In": f"{key} in {values}", "NotIn": f"{key} notin {values}", "Exists": key}.get(
                requirement["operator"], f"!{key}"
            )
        )
    return ",".join(terms) or NONE


def containers(template: Object) -> tuple[str, str]:
    """(names, images) of the containers of a pod template."""
    found = (template.get("spec") or {}).get("containers") or []
    return ",".join(c.get("name", "") for c in found), ",".join(c.get("image", "") for c in found)


def shortened(texts: list[str], limit: int = 3) -> str:
    """The first entries, and how many more there are."""
    if not texts:
        return NONE
    more = f" + {len(texts) - limit} more..." if len(texts) > limit else ""
    return ",".join(texts[:limit]) + more
