"""One module per family of failures: a rule looks at a snapshot and says what it finds.

A new family is a new module with a function of this shape, added to `RULES`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from remediation.model import Finding
from remediation.rules import oom, pods, registry, release, traffic
from remediation.snapshot import Snapshot


class Rule(Protocol):
    """Pure: the same snapshot gives the same findings."""

    def __call__(self, snapshot: Snapshot) -> Sequence[Finding]: ...


RULES: tuple[Rule, ...] = (oom.find, registry.find, pods.find, release.find, traffic.find)
