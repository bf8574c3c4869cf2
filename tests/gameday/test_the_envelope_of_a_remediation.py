"""What a recorded call means, and which calls no remediation may make."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gameday.evidence import PodCount
from gameday.intercept.calls import Call, http_call, kubernetes_call
from gameday.intercept.envelope import Envelope, breaches
from gameday.intercept.roles import Permission, covers, granted, rules, used

ENVELOPE = Envelope("system", "r", "m", "production", ("r",), pods_deleted=2, scalable=("batch/jobs",))
SCALED = b'{"spec":{"replicas":0}}'


def call(method: str, path: str, body: bytes = b"", query: str = "", at: float = 1.0, status: int = 200) -> Call:
    seen = kubernetes_call(at, method, path, query, body, "application/merge-patch+json")
    return replace(seen, status=status)


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("GET", "/api/v1/namespaces/system/pods", "", ("list", "", "pods", "", "system", "")),
        ("GET", "/api/v1/namespaces/system/pods", "watch=true", ("watch", "", "pods", "", "system", "")),
        ("GET", "/api/v1/namespaces/system/pods/p/log", "", ("get", "", "pods", "log", "system", "p")),
        ("GET", "/api/v1/nodes", "", ("list", "", "nodes", "", "", "")),
        ("GET", "/api/v1/namespaces/system", "", ("get", "", "namespaces", "", "", "system")),
        ("GET", "/apis/apps/v1/deployments", "", ("list", "apps", "deployments", "", "", "")),
        ("PATCH", "/apis/apps/v1/namespaces/a/deployments/d", "", ("patch", "apps", "deployments", "", "a", "d")),
        ("PUT", "/api/v1/namespaces/a/secrets/s", "", ("update", "", "secrets", "", "a", "s")),
        ("POST", "/api/v1/namespaces/a/pods/p/eviction", "", ("create", "", "pods", "eviction", "a", "p")),
        ("DELETE", "/api/v1/namespaces/a/pods", "", ("deletecollection", "", "pods", "", "a", "")),
        ("GET", "/apis", "", ("list", "", "", "", "", "")),
        ("GET", "/version", "", ("list", "", "", "", "", "")),
    ],
)
def test_a_request_is_read_as_rbac_reads_it(method, path, query, expected) -> None:
    seen = call(method, path, query=query)
    assert (seen.verb, seen.group, seen.resource, seen.subresource, seen.namespace, seen.name) == expected


@pytest.mark.parametrize(
    ("body", "replicas"),
    [
        (SCALED, 0),
        (b"spec:\n  replicas: 3\n", 3),
        (b'[{"op":"replace","path":"/spec/replicas","value":0}]', 0),
        (b'{"spec":{}}', None),
        (b"\x00k8s", None),
        (b"", None),
    ],
)
def test_the_number_of_replicas_is_read_from_every_form_of_body(body: bytes, replicas: int | None) -> None:
    assert call("PATCH", "/apis/apps/v1/namespaces/system/deployments/r", body).replicas == replicas


def problems(*calls: Call, ready: tuple[tuple[float, int], ...] = ((0.0, 3),), flushes: int = 0) -> list[str]:
    return breaches(calls, [PodCount(at, count, 3) for at, count in ready], ENVELOPE, flushes=flushes)


HARMLESS = (
    call("PATCH", "/apis/apps/v1/namespaces/system/deployments/r", b'{"spec":{"replicas":2}}'),
    call("DELETE", "/api/v1/namespaces/system/pods/p"),
    call("DELETE", "/api/v1/namespaces/system/secrets/sh.helm.release.v1.r.v1"),
    call("PATCH", "/apis/apps/v1/namespaces/batch/deployments/jobs", SCALED),
    call("PATCH", "/apis/apps/v1/namespaces/other/deployments/x", SCALED, status=403),
    call("GET", "/apis/apps/v1/namespaces/other/deployments"),
    replace(http_call(1.0, "registry", "POST", "/v1/registry/models/production/m/enable"), status=200),
    replace(http_call(1.0, "router", "POST", "/v1/completions"), status=200),
)


def test_what_a_sound_remediation_does_is_inside() -> None:
    assert problems(*HARMLESS) == []


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (call("PATCH", "/apis/apps/v1/namespaces/system/deployments/r", SCALED), "scales r to zero"),
        (call("PATCH", "/apis/apps/v1/namespaces/system/deployments/r/scale", SCALED), "scales r to zero"),
        (call("PATCH", "/apis/apps/v1/namespaces/system/deployments/redis", SCALED), "not its own: system/redis"),
        (call("PATCH", "/apis/apps/v1/namespaces/batch/deployments/critical", SCALED), "not its own: batch/critical"),
        (call("DELETE", "/api/v1/namespaces/system/pods"), "whole collections"),
        (call("DELETE", "/apis/apps/v1/namespaces/system/deployments/r"), "deletes what is not its own"),
        (call("DELETE", "/api/v1/namespaces/other/pods/p"), "deletes what is not its own"),
        (call("PATCH", "/api/v1/namespaces/other/configmaps/c", b"{}"), "another namespace"),
        (replace(http_call(1, "registry", "POST", "/v1/registry/models/production/m/disable"), status=200), "registry"),
        (replace(http_call(1, "registry", "POST", "/v1/registry/models/staging/m/enable"), status=200), "registry"),
        (replace(http_call(1, "registry", "DELETE", "/v1/registry/cache/production/x"), status=200), "registry"),
    ],
)
def test_what_goes_too_far_is_named(bad: Call, reason: str) -> None:
    (found,) = problems(*HARMLESS, bad)
    assert reason in found


def test_too_many_pods_and_a_flush_go_too_far() -> None:
    deleted = [call("DELETE", f"/api/v1/namespaces/system/pods/p{number}") for number in range(3)]
    assert problems(*deleted, *deleted[:1]) == ["it deleted 3 pods, 2 are allowed"]
    assert "flushed 1 time(s)" in problems(flushes=1)[0]


def test_no_pod_may_be_left_serving_by_our_hand_and_a_fault_before_it_is_not_ours() -> None:
    touch = call("DELETE", "/api/v1/namespaces/system/pods/p", at=5.0)
    assert "no pod served any more" in problems(touch, ready=((0.0, 3), (6.0, 0)))[0]
    assert problems(touch, ready=((0.0, 3), (4.0, 0), (6.0, 0))) == []
    assert problems(ready=((0.0, 3), (6.0, 0))) == []


def test_the_role_of_a_trace_grants_what_was_called_and_nothing_else() -> None:
    needed = used(HARMLESS)
    assert Permission("system", "", "pods", "delete") in needed
    made = {"kind": "ClusterRole", "metadata": {"name": "x"}, "rules": rules(replace_namespace(needed))}
    have = granted([made])
    assert all(covers(have, each) for each in needed)
    assert have == replace_namespace(needed)


def replace_namespace(permissions: set[Permission]) -> set[Permission]:
    return {replace(each, namespace="") for each in permissions}
