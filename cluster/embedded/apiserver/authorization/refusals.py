"""How authorization says no, in the words of a real server."""

from __future__ import annotations

import json
from typing import Any

from cluster.embedded.apiserver.authorization.attributes import Attributes, User
from cluster.embedded.apiserver.status import failure
from cluster.embedded.client import ApiError


def forbidden(user: User, asked: Attributes, reason: str = "") -> ApiError:
    """403: the user may not do that."""
    text = f"User {json.dumps(user.name)} cannot {asked.verb} {_object(asked)}"
    return refused(asked, f"{text}: {reason}" if reason else text)


def refused(asked: Attributes, why: str) -> ApiError:
    """403 with a reason of its own, on a resource or a path."""
    if not asked.resource:
        return failure(403, "Forbidden", f"forbidden: {why}", {})
    details: dict[str, Any] = {"kind": asked.resource}
    named = f"{asked.resource}.{asked.group}" if asked.group else asked.resource
    if asked.group:
        details["group"] = asked.group
    if asked.name:
        details["name"] = asked.name
        named += f' "{asked.name}"'
    return failure(403, "Forbidden", f"{named} is forbidden: {why}", details)


def _object(asked: Attributes) -> str:
    if asked.path:
        return f'path "{asked.path}"'
    scope = f'in the namespace "{asked.namespace}"' if asked.namespace else "at the cluster scope"
    return f'resource "{asked.combined_resource}" in API group "{asked.group}" {scope}'
