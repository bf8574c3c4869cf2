"""Containers that the kernel killed for exceeding their memory limit.

Read from the container status (reason OOMKilled), never from logs: SIGKILL leaves no log line (W18), and "out of
memory" in a log is CUDA's, which a higher limit does not help. Exit code 137 alone is only a SIGKILL of whatever
origin.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from remediation.model import Cause, Family, Finding
from remediation.quantity import format_memory
from remediation.snapshot import Container, Pod, Snapshot

OOM_KILLED = "OOMKilled"


def find(snapshot: Snapshot) -> Sequence[Finding]:
    """One finding for all containers of the current revision that were killed for memory and have not settled
    since.
    """
    hits = list(_killed(snapshot))
    if not hits:
        return ()
    pods = tuple(dict.fromkeys(pod.name for pod, _ in hits))
    limits = [c.memory_limit_bytes for _, c in hits if c.memory_limit_bytes]
    limit = max(limits, default=None)
    return (
        Finding(
            cause=Cause.OOM_KILLED,
            family=Family.RESOURCES,
            confidence=1.0,
            summary=f"{len(pods)} pod(s) killed for memory at {_limit_text(limit)}",
            evidence=tuple(_evidence(pod, container) for pod, container in hits),
            against=_against(snapshot),
            pods=pods,
            reasons=(OOM_KILLED,),
            facts={
                "limit_bytes": limit,
                "containers": list(dict.fromkeys(c.name for _, c in hits)),
                "restarts": sum(c.restart_count for _, c in hits),
            },
            config_fix=limit is not None,
        ),
    )


def was_killed_for_memory(container: Container) -> bool:
    """Whether the container's current or previous end was an OOM kill."""
    return any(t.reason == OOM_KILLED for t in container.terminations)


def _limit_text(limit: int | None) -> str:
    return f"a limit of {format_memory(limit)}" if limit else "no limit of their own"


def _killed(snapshot: Snapshot) -> Iterator[tuple[Pod, Container]]:
    current = {rs.name for rs in snapshot.replica_sets if rs.current}
    for pod in snapshot.workload_pods:
        if pod.stable or (current and pod.replica_set not in current):
            continue
        yield from ((pod, c) for c in pod.containers if was_killed_for_memory(c))


def _evidence(pod: Pod, container: Container) -> str:
    end = next(t for t in container.terminations if t.reason == OOM_KILLED)
    limit = format_memory(container.memory_limit_bytes) if container.memory_limit_bytes else "none"
    return (
        f"pod {pod.name}, container {container.name}: terminated with reason {end.reason}, "
        f"exit code {end.exit_code}, {container.restart_count} restart(s), memory limit {limit}"
    )


def _against(snapshot: Snapshot) -> tuple[str, ...]:
    serving = [p.name for p in snapshot.workload_pods if p.stable]
    return (f"{len(serving)} pod(s) serve without such a kill: {', '.join(serving)}",) if serving else ()
