"""A cluster that is not ours: what a replay needs in it, and leaving it as it was.

The recordings were made on nodes that a script plays, so such nodes are registered, and nodes that are there already
take no new pods meanwhile. Afterwards everything that came during the replay is deleted, whoever made it: nobody else
should use the cluster at that time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from clients.errors import DeadlineExceeded, EnvironmentUnusable
from tests.conformance.api.http import OBSERVED, Http, Observer

_GONE_SECONDS = 60.0
_LOOK_AGAIN_SECONDS = 0.5
_CLUSTER_SCOPED = ("nodes", "namespaces")
_MERGE = "application/merge-patch+json"
_PATHS = {path.rsplit("/", 1)[1]: path for path in OBSERVED}
_SELF_MADE = ("events", "endpointslices", "endpoints", "leases", "replicasets")
"""Goes with what it belongs to, or by itself."""
_EVERYWHERE = (("configmaps", "kube-root-ca.crt"), ("serviceaccounts", "default"))
"""Comes with each namespace."""

Key = tuple[str, str, str]


@contextlib.asynccontextmanager
async def borrowed(http: Http, observer: Observer, played: set[str]) -> AsyncIterator[None]:
    """Keep the cluster's own nodes out of the block, and clean up after it. ``played`` are the nodes to be registered.

    Raises EnvironmentUnusable when the cluster has a node of one of those names.
    """
    before = await _listed(http)
    own = {name for resource, _, name in before if resource == "nodes"}
    if taken := sorted(own & played):
        raise EnvironmentUnusable(
            f"the cluster has a node {taken[0]} of its own",
            where="--kubeconfig",
            remedy="replay on a cluster whose nodes have other names: the recordings' nodes are played",
        )
    nodes = (await http.call("GET", "/api/v1/nodes")).body["items"]
    open_ones = {each["metadata"]["name"] for each in nodes if not each["spec"].get("unschedulable")}
    try:
        await _cordon(http, open_ones, is_cordoned=True)
        yield
    finally:
        try:
            await _clean(http, observer, before)
        finally:
            await _cordon(http, open_ones, is_cordoned=False)


async def _listed(http: Http) -> set[Key]:
    """What exists now: (resource, namespace, name)."""
    found: set[Key] = set()
    for resource, path in _PATHS.items():
        answer = await http.call("GET", path)
        if answer.status != 200:
            raise EnvironmentUnusable(f"{path} cannot be listed: {answer.status}", where="--kubeconfig")
        every = [item["metadata"] for item in answer.body.get("items") or []]
        found |= {(resource, metadata.get("namespace", ""), metadata["name"]) for metadata in every}
    return found


async def _cordon(http: Http, nodes: set[str], *, is_cordoned: bool) -> None:
    for node in sorted(nodes):
        body = {"spec": {"unschedulable": is_cordoned or None}}
        await http.call("PATCH", f"/api/v1/nodes/{node}", "", body, content_type=_MERGE)


async def _clean(http: Http, observer: Observer, before: set[Key]) -> None:
    """Delete what is new, pods at once, and wait until it is gone. Raises DeadlineExceeded."""
    try:
        async with asyncio.timeout(_GONE_SECONDS):
            while came := {key for key in await _listed(http) - before if _is_to_go(key)}:
                for resource, namespace, name in sorted(came, key=_order):
                    await http.call("DELETE", _path(resource, namespace, name), "gracePeriodSeconds=0")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(observer.changed.wait(), _LOOK_AGAIN_SECONDS)
    except TimeoutError:
        left = ", ".join("/".join(key) for key in sorted(came))
        raise DeadlineExceeded(f"left after {_GONE_SECONDS:.0f} s: {left}", where="--kubeconfig") from None


def _is_to_go(key: Key) -> bool:
    resource, namespace, name = key
    return resource not in _SELF_MADE and (resource, name) not in _EVERYWHERE and not namespace.startswith("kube-")


def _order(key: Key) -> tuple[int, Key]:
    """What makes others goes before them, and namespaces and nodes last."""
    return (2 if key[0] in _CLUSTER_SCOPED else 1 if key[0] == "pods" else 0), key


def _path(resource: str, namespace: str, name: str) -> str:
    root, _, plural = _PATHS[resource].rpartition("/")
    return f"{root}/namespaces/{namespace}/{plural}/{name}" if namespace else f"{root}/{plural}/{name}"
