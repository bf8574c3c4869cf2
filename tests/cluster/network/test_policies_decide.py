"""NetworkPolicy: examples from the documentation, and the decision held to a second formulation of the rules."""

from __future__ import annotations

import fnmatch
import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.embedded.network.flows import Flow, PodPeer
from cluster.embedded.network.policy import allowed

NAMESPACES = {"a": {"team": "x"}, "b": {"team": "y"}}
PORTS = (80, 443, 8080)
PODS = [
    PodPeer("a", "a-web", "127.9.128.1", {"app": "web"}, {"http": 80}),
    PodPeer("a", "a-db", "127.9.128.2", {"app": "db"}, {"http": 8080}),
    PodPeer("b", "b-web", "127.9.129.1", {"app": "web", "tier": "front"}, {}),
    PodPeer("b", "b-none", "127.9.129.2", {}, {"http": 443}),
]
WEB_A, DB_A, WEB_B, NONE_B = PODS


def flow(source: PodPeer | None, destination: PodPeer, port: int = 80) -> Flow:
    return Flow(source, destination, source.address if source else "127.0.0.1", destination.address, port)


def policy(namespace: str = "a", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p", "namespace": namespace}, "spec": {"podSelector": {}, **spec}}


SELECT_WEB = {"matchLabels": {"app": "web"}}
TEAM_Y = {"matchLabels": {"team": "y"}}


@pytest.mark.parametrize(
    ("spec", "source", "destination", "port", "passes"),
    [
        pytest.param({"ingress": []}, WEB_B, WEB_A, 80, False, id="default deny of ingress"),
        pytest.param({"ingress": []}, WEB_A, WEB_B, 80, True, id="ingress says nothing of egress"),
        pytest.param({"policyTypes": ["Egress"]}, WEB_A, WEB_B, 80, False, id="default deny of egress"),
        pytest.param({"policyTypes": ["Egress"]}, WEB_B, WEB_A, 80, True, id="egress says nothing of ingress"),
        pytest.param({"ingress": [{}]}, WEB_B, WEB_A, 80, True, id="an empty rule allows all"),
        pytest.param({"ingress": []}, None, WEB_A, 80, True, id="the node reaches its pods"),
        pytest.param({"ingress": []}, WEB_A, WEB_A, 80, True, id="a pod reaches itself"),
        pytest.param({"ingress": [{"from": [{"podSelector": {}}]}]}, DB_A, WEB_A, 80, True, id="own namespace"),
        pytest.param({"ingress": [{"from": [{"podSelector": {}}]}]}, WEB_B, WEB_A, 80, False, id="not the other one"),
        pytest.param(
            {"ingress": [{"from": [{"namespaceSelector": TEAM_Y}]}]}, NONE_B, WEB_A, 80, True, id="namespace"
        ),
        pytest.param(
            {"ingress": [{"from": [{"namespaceSelector": TEAM_Y, "podSelector": SELECT_WEB}]}]},
            NONE_B, WEB_A, 80, False, id="namespace and pod in one peer: both",
        ),
        pytest.param(
            {"ingress": [{"from": [{"namespaceSelector": TEAM_Y}, {"podSelector": SELECT_WEB}]}]},
            NONE_B, WEB_A, 80, True, id="namespace and pod in two peers: either",
        ),
        pytest.param({"ingress": [{"ports": [{"port": 80}]}]}, DB_A, WEB_A, 443, False, id="another port"),
        pytest.param({"ingress": [{"ports": [{"port": "http"}]}]}, WEB_A, DB_A, 8080, True, id="a named port"),
        pytest.param({"ingress": [{"ports": [{"port": "http"}]}]}, WEB_A, DB_A, 80, False, id="named elsewhere"),
        pytest.param({"ingress": [{"ports": [{"port": 80, "endPort": 443}]}]}, DB_A, WEB_A, 443, True, id="endPort"),
        pytest.param({"ingress": [{"ports": [{"port": 80, "endPort": 442}]}]}, DB_A, WEB_A, 443, False, id="past it"),
        pytest.param({"ingress": [{"ports": [{"protocol": "UDP"}]}]}, DB_A, WEB_A, 80, False, id="UDP is not TCP"),
        pytest.param(
            {"ingress": [{"from": [{"ipBlock": {"cidr": "127.9.129.0/24", "except": ["127.9.129.2/32"]}}]}]},
            WEB_B, WEB_A, 80, True, id="ipBlock",
        ),
        pytest.param(
            {"ingress": [{"from": [{"ipBlock": {"cidr": "127.9.129.0/24", "except": ["127.9.129.2/32"]}}]}]},
            NONE_B, WEB_A, 80, False, id="except",
        ),
        pytest.param({"egress": [{"to": [{"namespaceSelector": TEAM_Y}]}]}, WEB_A, DB_A, 80, False, id="egress rules"),
        pytest.param({"egress": [], "ingress": [{}]}, WEB_A, WEB_B, 80, True, id="no egress rule"),
    ],
)  # fmt: skip
def test_policies_as_documented(
    spec: dict[str, Any], source: PodPeer | None, destination: PodPeer, port: int, passes: bool
) -> None:
    assert allowed(flow(source, destination, port), [policy(**spec)], NAMESPACES) is passes


def test_policies_add_up() -> None:
    policies = [policy(ingress=[]), policy(ingress=[{"ports": [{"port": 80}]}])]
    assert allowed(flow(DB_A, WEB_A, 80), policies, NAMESPACES)
    assert not allowed(flow(DB_A, WEB_A, 443), policies, NAMESPACES)


# -- a second formulation: sets of (other pod, port) that each pod may exchange packets with

Reach = set[tuple[str, int]]


def selected(selector: dict[str, Any], labels: Any) -> bool:
    wanted = set((selector.get("matchLabels") or {}).items())
    for expression in selector.get("matchExpressions") or []:
        key, values = expression["key"], set(expression.get("values") or [])
        has = {labels[key]} if key in labels else set()
        fits = {
            "In": bool(has & values), "NotIn": not has & values, "Exists": bool(has), "DoesNotExist": not has,
        }  # fmt: skip
        if not fits[expression["operator"]]:
            return False
    return wanted <= set(labels.items())


def in_block(block: dict[str, Any], address: str) -> bool:
    """Blocks of the strategy end at octets, so that a wildcard says the same."""

    def glob(cidr: str) -> str:
        network, _, bits = cidr.partition("/")
        kept = network.split(".")[: int(bits) // 8]
        return ".".join([*kept, "*"]) if len(kept) < 4 else network

    return fnmatch.fnmatch(address, glob(block["cidr"])) and not any(
        fnmatch.fnmatch(address, glob(one)) for one in block.get("except", [])
    )


def peers_of(rule_peers: list[dict[str, Any]], home: str) -> set[str]:
    if not rule_peers:
        return {pod.name for pod in PODS}
    found: set[str] = set()
    for peer in rule_peers:
        if "ipBlock" in peer:
            found |= {pod.name for pod in PODS if in_block(peer["ipBlock"], pod.address)}
            continue
        spaces = {home}
        if "namespaceSelector" in peer:
            spaces = {name for name, labels in NAMESPACES.items() if selected(peer["namespaceSelector"], labels)}
        found |= {p.name for p in PODS if p.namespace in spaces and selected(peer.get("podSelector", {}), p.labels)}
    return found


def ports_of(rule_ports: list[dict[str, Any]], server: PodPeer) -> set[int]:
    if not rule_ports:
        return set(PORTS)
    found: set[int] = set()
    for port in rule_ports:
        if port.get("protocol", "TCP") != "TCP":
            continue
        if "port" not in port:
            found |= set(PORTS)
        elif isinstance(port["port"], str):
            found |= {server.ports[port["port"]]} if port["port"] in server.ports else set()
        else:
            found |= set(range(port["port"], port.get("endPort", port["port"]) + 1)) & set(PORTS)
    return found


def reach(pod: PodPeer, policies: list[dict[str, Any]], direction: str) -> Reach:
    key, side = ("ingress", "from") if direction == "Ingress" else ("egress", "to")
    everything = set(itertools.product((p.name for p in PODS), PORTS))
    mine = []
    for one in policies:
        spec = one["spec"]
        types = spec.get("policyTypes") or (["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])
        home = one["metadata"]["namespace"] == pod.namespace
        if home and direction in types and selected(spec["podSelector"], pod.labels):
            mine.append(spec)
    if not mine:
        return everything
    found: Reach = set()
    for spec in mine:
        for rule in spec.get(key) or []:
            for other in PODS:
                if other.name in peers_of(rule.get(side) or [], pod.namespace):
                    server = pod if direction == "Ingress" else other
                    found |= {(other.name, port) for port in ports_of(rule.get("ports") or [], server)}
    return found


LABELS = st.dictionaries(st.sampled_from(["app", "tier"]), st.sampled_from(["web", "db", "front"]), max_size=1)
EXPRESSIONS = st.one_of(
    st.fixed_dictionaries(
        {
            "key": st.sampled_from(["app", "tier"]),
            "operator": st.sampled_from(["In", "NotIn"]),
            "values": st.lists(st.sampled_from(["web", "db", "front"]), min_size=1, max_size=2),
        }
    ),
    st.fixed_dictionaries(
        {"key": st.sampled_from(["app", "tier"]), "operator": st.sampled_from(["Exists", "DoesNotExist"])}
    ),
)
SELECTORS = st.fixed_dictionaries(
    {}, optional={"matchLabels": LABELS, "matchExpressions": st.lists(EXPRESSIONS, max_size=1)}
)
SPACES = st.sampled_from([{}, {"matchLabels": {"team": "x"}}, {"matchLabels": {"team": "y"}}])
BLOCKS = st.fixed_dictionaries(
    {"cidr": st.sampled_from(["0.0.0.0/0", "127.9.128.0/24", "127.9.129.0/24", "127.9.0.0/16"])},
    optional={"except": st.lists(st.sampled_from(["127.9.128.1/32", "127.9.129.0/24"]), max_size=2)},
)
PEERS = st.one_of(
    st.fixed_dictionaries({"podSelector": SELECTORS}),
    st.fixed_dictionaries({"namespaceSelector": SPACES}),
    st.fixed_dictionaries({"namespaceSelector": SPACES, "podSelector": SELECTORS}),
    st.fixed_dictionaries({"ipBlock": BLOCKS}),
)
RULE_PORTS = st.one_of(
    st.fixed_dictionaries({"port": st.sampled_from([80, 443, "http", "no"])}, optional={"protocol": st.just("TCP")}),
    st.fixed_dictionaries({"port": st.sampled_from([80, 443]), "endPort": st.sampled_from([443, 8080])}),
    st.sampled_from([{}, {"protocol": "UDP"}, {"protocol": "TCP"}]),
)  # fmt: skip


def rules(side: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    rule = st.fixed_dictionaries(
        {}, optional={side: st.lists(PEERS, max_size=2), "ports": st.lists(RULE_PORTS, max_size=2)}
    )
    return st.lists(rule, max_size=2)


SPECS = st.fixed_dictionaries(
    {"podSelector": SELECTORS},
    optional={
        "ingress": rules("from"),
        "egress": rules("to"),
        "policyTypes": st.sampled_from([["Ingress"], ["Egress"], ["Ingress", "Egress"]]),
    },
)
POLICIES = st.lists(st.builds(lambda home, spec: policy(home, **spec), st.sampled_from(["a", "b"]), SPECS), max_size=3)


@settings(max_examples=300, deadline=None)
@given(POLICIES)
def test_every_decision_is_that_of_the_second_formulation(policies: list[dict[str, Any]]) -> None:
    leaves = {pod.name: reach(pod, policies, "Egress") for pod in PODS}
    enters = {pod.name: reach(pod, policies, "Ingress") for pod in PODS}
    for source, destination, port in itertools.product(PODS, PODS, PORTS):
        expected = source == destination or (
            (destination.name, port) in leaves[source.name] and (source.name, port) in enters[destination.name]
        )
        assert allowed(flow(source, destination, port), policies, NAMESPACES) is expected, (source, destination, port)


@given(POLICIES)
def test_a_further_rule_never_takes_a_way_from_a_pod_that_is_isolated_already(policies: list[dict[str, Any]]) -> None:
    isolated = [policy(home, policyTypes=["Ingress", "Egress"]) for home in ("a", "b")]
    for source, destination, port in itertools.product(PODS, PODS, PORTS):
        one = flow(source, destination, port)
        fewer = [*isolated, *policies[1:]]
        if allowed(one, fewer, NAMESPACES):
            assert allowed(one, [*isolated, *policies], NAMESPACES)
