"""What is out of scope, each with its reason: read from ``scope.yaml``, the one reviewed file."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).with_name("scope.yaml")


@dataclass(frozen=True, slots=True)
class Rule:
    """Patterns (shell style) for a recording, a method, a path, a query and an Accept header; and why."""

    reason: str
    recording: str = "*"
    method: str = "*"
    path: str = "*"
    query: str = "*"
    accept: str = "*"
    status: str = "*"
    n: int | None = None

    def covers(self, recording: str, exchange: dict[str, Any]) -> bool:
        """Whether the rule is about that exchange."""
        request = exchange["request"]
        asked = (
            (recording, self.recording),
            (request["method"], self.method),
            (request["path"], self.path),
            (request.get("query") or "", self.query),
            (request["headers"].get("Accept") or "", self.accept),
            (str(exchange["response"]["status"]), self.status),
        )
        return self.n in (None, exchange["n"]) and all(fnmatch.fnmatchcase(text, like) for text, like in asked)


@cache
def rules() -> tuple[Rule, ...]:
    """The rules of ``scope.yaml``."""
    return tuple(Rule(**entry) for entry in yaml.safe_load(FILE.read_text())["out_of_scope"])


def reason(recording: str, exchange: dict[str, Any]) -> str:
    """Why an exchange is out of scope; empty when it is in scope."""
    return next((rule.reason for rule in rules() if rule.covers(recording, exchange)), "")
