"""Containers that the kernel killed for exceeding their memory limit.

Read from the container status (reason OOMKilled), never from logs: SIGKILL leaves no log line (W18), and "out of
memory" in a log is CUDA's, which a higher limit does not help. Exit code 137 alone is only a SIGKILL of whatever
origin.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from remediation.actions.helm import HelmUpgrade
from remediation.memory_limits import new_limit, value_path
from remediation.model import Evidence, Family, Finding
from remediation.policy import Policy
from remediation.quantity import format_memory
from remediation.remedy import Refusal, Remedy, Situation
from remediation.rollouts import rollout
from remediation.rules import RuleFamily
from remediation.snapshot import Container, HelmRevision, Pod, Snapshot

OOM_KILLED = "oom_killed"
REASON = "OOMKilled"


def find(snapshot: Snapshot, policy: Policy) -> Sequence[Finding]:
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
            cause=OOM_KILLED,
            family=Family.RESOURCES,
            confidence=1.0,
            summary=f"{len(pods)} pod(s) killed for memory at {_limit_text(limit)}",
            evidence=tuple(_evidence(pod, container) for pod, container in hits),
            against=_against(snapshot),
            pods=pods,
            reasons=(REASON,),
            facts={
                "limit_bytes": limit,
                "containers": list(dict.fromkeys(c.name for _, c in hits)),
                "restarts": sum(c.restart_count for _, c in hits),
            },
            config_fix=limit is not None,
            proven=True,
        ),
    )


def raise_memory(finding: Finding, situation: Situation) -> Remedy | Refusal:
    """Raise the one value that sets the exceeded limit, within what a node has (notes 9)."""
    snapshot = situation.snapshot
    failing = finding.facts.get("limit_bytes")
    if not isinstance(failing, int):
        return Refusal("the killed container has no memory limit: the node itself is out of memory")
    limit = new_limit(snapshot, failing, situation.policy)
    if limit.size_bytes is None:
        return Refusal("; ".join(limit.reasons))
    path = value_path(snapshot.values, failing)
    if path is None:
        problem = f"no single value of the release sets the memory limit {format_memory(failing)}"
        return Refusal(f"{problem} (looked for ...limits.memory)", bad_input=True)
    change = HelmUpgrade(((".".join(path), format_memory(limit.size_bytes)),))
    return rollout(situation, change, "; ".join(limit.reasons))


def rollback_helps(revision: HelmRevision, finding: Finding) -> bool:
    """A revision with the failing limit, or a lower one, would be killed as well."""
    failing = finding.facts.get("limit_bytes")
    if finding.cause != OOM_KILLED or not isinstance(failing, int) or revision.memory_limit_bytes is None:
        return True
    return revision.memory_limit_bytes > failing


def was_killed_for_memory(container: Container) -> bool:
    """Whether the container's current or previous end was an OOM kill."""
    return any(t.reason == REASON for t in container.terminations)


def _limit_text(limit: int | None) -> str:
    return f"a limit of {format_memory(limit)}" if limit else "no limit of their own"


def _killed(snapshot: Snapshot) -> Iterator[tuple[Pod, Container]]:
    current = {rs.name for rs in snapshot.replica_sets if rs.current}
    for pod in snapshot.workload_pods:
        if pod.stable or (current and pod.replica_set not in current):
            continue
        yield from ((pod, c) for c in pod.containers if was_killed_for_memory(c))


def _evidence(pod: Pod, container: Container) -> Evidence:
    end = next(t for t in container.terminations if t.reason == REASON)
    limit = format_memory(container.memory_limit_bytes) if container.memory_limit_bytes else "none"
    return Evidence(
        f"pod {pod.name}, container {container.name}",
        "terminated.reason",
        f"{end.reason}, exit code {end.exit_code}, {container.restart_count} restart(s), memory limit {limit}",
        end.finished_at,
    )


def _against(snapshot: Snapshot) -> tuple[Evidence, ...]:
    serving = [p.name for p in snapshot.workload_pods if p.stable]
    if not serving:
        return ()
    return (Evidence(", ".join(serving), "Ready", f"{len(serving)} pod(s) serve without such a kill"),)


FAMILY = RuleFamily("memory", find, {OOM_KILLED: raise_memory}, rollback_helps=rollback_helps)
