"""How much memory to allow after a container was killed for it, and which value of the chart says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from remediation.policy import Policy
from remediation.quantity import format_memory, parse_or_none
from remediation.room import largest_memory
from remediation.snapshot import Snapshot

CONVENTIONAL_PATH = ("resources", "limits", "memory")


@dataclass(frozen=True)
class NewLimit:
    """The limit to set (bytes; None when there is none to be had) and the reasons, bounds included."""

    size_bytes: int | None
    reasons: tuple[str, ...]


def new_limit(snapshot: Snapshot, failing_bytes: int, policy: Policy) -> NewLimit:
    """`memory_factor` times the failing limit, at least the largest that is known to have worked, at most what a
    node has.
    """
    factor = int(failing_bytes * policy.memory_factor)
    reasons = [
        f"{policy.memory_factor:g} x the failing limit {format_memory(failing_bytes)} is {format_memory(factor)}"
    ]
    worked = _worked_limit(snapshot, failing_bytes)
    wanted = factor
    if worked is not None and worked > factor:
        wanted = worked
        reasons.append(f"an earlier revision worked with {format_memory(worked)}")
    bound = largest_memory(snapshot)
    if bound is None:
        return NewLimit(None, (*reasons, "no node is known that the pods may run on"))
    if wanted > bound:
        reasons.append(f"bounded by the largest node: {format_memory(bound)}")
        wanted = bound
    if wanted <= failing_bytes:
        return NewLimit(None, (*reasons, "no node has more memory than the limit that was exceeded"))
    return NewLimit(wanted, tuple(reasons))


def value_path(values: Mapping[str, object], failing_bytes: int) -> tuple[str, ...] | None:
    """The path of the one value that sets the failing limit; None when there is none, or no telling which.

    `resources.limits.memory` wins; otherwise a single `...limits.memory` with that amount is taken, as other charts
    nest it.
    """
    paths = [p for p, value in _leaves(values) if p[-2:] == ("limits", "memory") and _amount(value) == failing_bytes]
    if CONVENTIONAL_PATH in paths:
        return CONVENTIONAL_PATH
    return paths[0] if len(paths) == 1 else None


def _worked_limit(snapshot: Snapshot, failing_bytes: int) -> int | None:
    """The largest limit of a successful earlier revision, or of a ReplicaSet whose pods serve."""
    newest = snapshot.release_revision
    earlier = [r.memory_limit_bytes for r in snapshot.helm if r.succeeded and r is not newest]
    serving = [rs.memory_limit_bytes for rs in snapshot.replica_sets if rs.ready > 0 and not rs.current]
    return max((size for size in (*earlier, *serving) if size and size > failing_bytes), default=None)


def _leaves(values: Mapping[str, object], prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*prefix, key))
        else:
            yield (*prefix, key), value


def _amount(value: object) -> int | None:
    return parse_or_none(value) if isinstance(value, str | int | float) else None
