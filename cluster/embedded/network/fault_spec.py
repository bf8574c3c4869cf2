"""The spec of a NetworkFault: what is valid, and which connections and DNS queries it concerns. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from cluster.embedded.meta import matches_selector
from cluster.embedded.network.flows import CLEAR, DROPPED, Flow, LinkFault, PodPeer
from cluster.embedded.network.names import DOMAIN
from cluster.embedded.resources import Object

FaultType = Literal["Delay", "Reset", "BlackHole", "DNS", "Partition"]
DnsAnswer = Literal["NXDOMAIN", "SERVFAIL", "Timeout"]
MAX_SECONDS = 86400.0

_FIELDS: Mapping[str, frozenset[str]] = {
    "Delay": frozenset({"delaySeconds", "jitterSeconds", "peer"}),
    "Reset": frozenset({"ratio", "peer"}),
    "BlackHole": frozenset({"peer"}),
    "DNS": frozenset({"dnsName", "dnsAnswer"}),
    "Partition": frozenset({"peer"}),
}
_COMMON = frozenset({"target", "type", "ttlSeconds"})
_NEEDS_VALUES = {"In": True, "NotIn": True, "Exists": False, "DoesNotExist": False}


class InvalidFault(ValueError):
    """The spec cannot be put into effect; the message names the field."""


@dataclass(frozen=True, slots=True)
class NetworkFault:
    """A valid NetworkFault.

    Attributes:
        service: name of the Service it concerns; None when it concerns pods.
        selector: LabelSelector of the pods it concerns; None when it concerns a Service.
        peer: only traffic with these pods is concerned; None means with everybody.
        link: what happens to connections.
        dns_name: the full name whose lookup fails, lower case, no trailing dot; empty unless the type is DNS.
        ttl_seconds: the fault ends by itself so long after it was created; None means never.
    """

    namespace: str
    kind: FaultType
    service: str | None = None
    selector: Object | None = None
    peer: Object | None = None
    link: LinkFault = CLEAR
    dns_name: str = ""
    dns_answer: DnsAnswer = "NXDOMAIN"
    ttl_seconds: float | None = None

    def concerns(self, flow: Flow) -> bool:
        """Whether a connection suffers from the fault. A pod always reaches itself."""
        if self.kind == "DNS":
            return False
        if self.service is not None:
            return flow.service == (self.namespace, self.service) and (
                self.peer is None or self._selects(self.peer, flow.source)
            )
        if flow.source is not None and flow.source == flow.destination:
            return False
        return self._between(flow.source, flow.destination) or self._between(flow.destination, flow.source)

    def fails_name(self, name: str, source: PodPeer | None) -> bool:
        """Whether a lookup by a pod (or by nobody in the cluster) fails."""
        return name == self.dns_name and (self.service is not None or self.targets(source))

    def targets(self, pod: PodPeer | None) -> bool:
        """Whether a pod is one of the fault's targets."""
        return self.selector is not None and self._selects(self.selector, pod)

    def _between(self, target: PodPeer | None, other: PodPeer | None) -> bool:
        return self.targets(target) and (self.peer is None or self._selects(self.peer, other))

    def _selects(self, selector: Object, pod: PodPeer | None) -> bool:
        return pod is not None and pod.namespace == self.namespace and matches_selector(selector, dict(pod.labels))


def parse(spec: object, namespace: str) -> NetworkFault:
    """A NetworkFault from its ``spec``. Raises InvalidFault."""
    if not isinstance(spec, dict):
        raise InvalidFault("spec: must be an object")
    kind = _choice(spec, "type", get_args(FaultType))
    unknown = sorted(set(spec) - _COMMON - _FIELDS[kind])
    if unknown:
        known = ", ".join(sorted(_COMMON | _FIELDS[kind]))
        raise InvalidFault(f"spec.{unknown[0]}: not a field of type {kind}; its fields: {known}")
    service, selector = _target(spec.get("target"))
    peer = _pods(spec["peer"], "spec.peer") if "peer" in spec else None
    if kind == "Partition" and (peer is None or selector is None):
        raise InvalidFault("spec: a Partition is between target.podSelector and peer.podSelector; give both")
    ttl = _number(spec, "ttlSeconds", above=0.0) if "ttlSeconds" in spec else None
    if kind == "DNS":
        name = _dns_name(spec.get("dnsName"), namespace, service)
        answer = cast(DnsAnswer, _choice(spec, "dnsAnswer", get_args(DnsAnswer)))
        return NetworkFault(namespace, "DNS", service, selector, dns_name=name, dns_answer=answer, ttl_seconds=ttl)
    return NetworkFault(namespace, cast(FaultType, kind), service, selector, peer, _link(kind, spec), ttl_seconds=ttl)


def _link(kind: str, spec: dict[str, Any]) -> LinkFault:
    if kind == "Delay":
        delay = _number(spec, "delaySeconds", above=0.0)
        jitter = _number(spec, "jitterSeconds") if "jitterSeconds" in spec else 0.0
        if jitter > delay:
            raise InvalidFault("spec.jitterSeconds: must not exceed delaySeconds")
        return LinkFault(delay_seconds=delay, jitter_seconds=jitter)
    if kind == "Reset":
        ratio = _number(spec, "ratio", above=0.0, most=1.0) if "ratio" in spec else 1.0
        return LinkFault(reset_ratio=ratio)
    return DROPPED


def _target(target: object) -> tuple[str | None, Object | None]:
    where = "spec.target"
    if not isinstance(target, dict) or len(target) != 1 or not set(target) <= {"service", "podSelector"}:
        raise InvalidFault(f"{where}: must have exactly one of service and podSelector")
    if "podSelector" in target:
        return None, _pods(target, where)
    if not isinstance(target["service"], str) or not target["service"]:
        raise InvalidFault(f"{where}.service: must be the name of a Service")
    return target["service"], None


def _pods(content: object, where: str) -> Object:
    if not isinstance(content, dict) or set(content) != {"podSelector"}:
        raise InvalidFault(f"{where}: must have podSelector and nothing else")
    selector = content["podSelector"]
    where = f"{where}.podSelector"
    if not isinstance(selector, dict) or not set(selector) <= {"matchLabels", "matchExpressions"}:
        raise InvalidFault(f"{where}: must be a label selector (matchLabels, matchExpressions)")
    labels = selector.get("matchLabels", {})
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        raise InvalidFault(f"{where}.matchLabels: must map label keys to strings")
    expressions = selector.get("matchExpressions", [])
    if not isinstance(expressions, list):
        raise InvalidFault(f"{where}.matchExpressions: must be a list")
    for number, expression in enumerate(expressions):
        _check_expression(expression, f"{where}.matchExpressions[{number}]")
    return selector


def _check_expression(expression: object, where: str) -> None:
    if not isinstance(expression, dict) or not isinstance(expression.get("key"), str):
        raise InvalidFault(f"{where}.key: must be a label key")
    needs_values = _NEEDS_VALUES.get(str(expression.get("operator")))
    if needs_values is None:
        raise InvalidFault(f"{where}.operator: must be one of {', '.join(_NEEDS_VALUES)}")
    values = expression.get("values", [])
    if not isinstance(values, list) or bool(values) is not needs_values:
        raise InvalidFault(f"{where}.values: needed for In and NotIn, and only for them")


def _dns_name(name: object, namespace: str, service: str | None) -> str:
    """The full name; a Service may be named as its pods name it. Without a name it is the target Service's."""
    if name is None and service is not None:
        name = service
    if not isinstance(name, str) or not name.strip("."):
        raise InvalidFault("spec.dnsName: must be a name")
    name = name.rstrip(".").lower()
    if name.endswith(f".{DOMAIN}"):
        return name
    match name.split("."):
        case [_]:
            return f"{name}.{namespace}.svc.{DOMAIN}"
        case [_, _]:
            return f"{name}.svc.{DOMAIN}"
        case [*_, "svc"]:
            return f"{name}.{DOMAIN}"
    raise InvalidFault(f"spec.dnsName: the cluster's DNS answers only for {DOMAIN}, a fault elsewhere has no effect")


def _choice(spec: dict[str, Any], name: str, values: tuple[str, ...]) -> str:
    value = spec.get(name)
    if not isinstance(value, str) or value not in values:
        raise InvalidFault(f"spec.{name}: must be one of {', '.join(values)}")
    return value


def _number(spec: dict[str, Any], name: str, *, above: float | None = None, most: float = MAX_SECONDS) -> float:
    value = spec.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidFault(f"spec.{name}: must be a number")
    if value < 0 or (above is not None and value <= above) or value > most:
        least = "above 0" if above is not None else "from 0"
        raise InvalidFault(f"spec.{name}: must be {least} up to {most:g}")
    return float(value)
