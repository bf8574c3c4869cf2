"""What the containers of a pod ask for together. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cluster.embedded.resources import Object

Amounts = dict[str, int]
"""Resource name to amount, in whatever unit the caller chose."""


def added(left: Amounts, right: Mapping[str, int]) -> Amounts:
    """The sum of two."""
    return {name: left.get(name, 0) + right.get(name, 0) for name in {**left, **right}}


def most(left: Amounts, right: Amounts) -> Amounts:
    """The larger of each amount."""
    return {name: max(left.get(name, 0), right.get(name, 0)) for name in {**left, **right}}


def total_of_containers(pod: Object, of: Callable[[Object], Amounts]) -> Amounts:
    """What a pod needs at its peak.

    The containers together with the sidecars, or one init container at a time with the sidecars started before
    it, whichever is more. See "Sidecar Containers: Resource sharing within containers" in the Kubernetes documentation.

    Args:
        pod: a pod.
        of: the amounts of one container.
    """
    spec = pod["spec"]
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.get("initContainers") or []:
        own = of(container)
        if container.get("restartPolicy") == "Always":
            sidecars = added(sidecars, own)
            peak = most(peak, sidecars)
        else:
            peak = most(peak, added(sidecars, own))
    total = sidecars
    for container in spec.get("containers") or []:
        total = added(total, of(container))
    return most(peak, total)
