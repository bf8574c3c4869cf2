"""What a pod asks of a node: cpu in thousandths of a core, everything else in its own unit. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import ROUND_CEILING

from cluster.embedded.pod_resources import Amounts, added, total_of_containers
from cluster.embedded.quantity import parse_quantity
from cluster.embedded.resources import Object


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


def requests_of(pod: Object) -> Amounts:
    """What the scheduler reserves for a pod, one of ``pods`` included.

    The peak of its containers plus the overhead. A limit stands for a request that is missing.
    """
    total = total_of_containers(pod, _container_requests)
    return {**added(total, amounts(pod["spec"].get("overhead"))), "pods": 1}


def _container_requests(container: Object) -> Amounts:
    resources = container.get("resources") or {}
    return amounts({**(resources.get("limits") or {}), **(resources.get("requests") or {})})


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
