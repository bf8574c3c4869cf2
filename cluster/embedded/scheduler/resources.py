"""What a pod asks of a node. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import ROUND_CEILING

from cluster.embedded.quantity import parse_quantity
from cluster.embedded.resources import Object

Amounts = dict[str, int]
"""Resource name to amount: cpu in thousandths of a core, everything else in its own unit."""


def amount(name: str, quantity: object) -> int:
    """A quantity such as ``500m`` or ``16Gi`` as a whole number, rounded up; cpu in thousandths.

    Raises:
        ValueError: it is no quantity.
    """
    number = parse_quantity(str(quantity)) * (1000 if name == "cpu" else 1)
    return int(number.to_integral_value(ROUND_CEILING))


def amounts(quantities: Mapping[str, object] | None) -> Amounts:
    """A resource list as numbers."""
    return {name: amount(name, quantity) for name, quantity in (quantities or {}).items()}


def added(left: Amounts, right: Mapping[str, int]) -> Amounts:
    """The sum of two."""
    return {name: left.get(name, 0) + right.get(name, 0) for name in {**left, **right}}


def requests_of(pod: Object) -> Amounts:
    """What the scheduler reserves for a pod, one of ``pods`` included.

    The containers together with the sidecars, or one init container at a time with the sidecars started before
    it, whichever is more; plus the overhead. A limit stands for a request that is missing. See "Sidecar
    Containers: Resource sharing within containers" in the Kubernetes documentation.
    """
    spec = pod["spec"]
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.get("initContainers") or []:
        own = _container_requests(container)
        if container.get("restartPolicy") == "Always":
            sidecars = added(sidecars, own)
            peak = _most(peak, sidecars)
        else:
            peak = _most(peak, added(sidecars, own))
    total = sidecars
    for container in spec.get("containers") or []:
        total = added(total, _container_requests(container))
    total = added(_most(peak, total), amounts(spec.get("overhead")))
    return {**total, "pods": 1}


def _container_requests(container: Object) -> Amounts:
    resources = container.get("resources") or {}
    return amounts({**(resources.get("limits") or {}), **(resources.get("requests") or {})})


def _most(left: Amounts, right: Amounts) -> Amounts:
    return {name: max(left.get(name, 0), right.get(name, 0)) for name in {**left, **right}}


def total_of(pods: Iterable[Object]) -> Amounts:
    """What all these pods ask for together."""
    total: Amounts = {}
    for pod in pods:
        total = added(total, requests_of(pod))
    return total


def allocatable_of(node: Object) -> Amounts:
    """What a node has for pods; 110 pods if it does not say."""
    status = node.get("status") or {}
    return {"pods": 110, **amounts(status.get("allocatable") or status.get("capacity"))}
