"""What a real API server must have before pods can run here, put there with nothing but its API."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from clients.errors import DeadlineExceeded
from cluster.embedded.client import ApiError
from cluster.embedded.http_client import HttpClient, path_of
from cluster.embedded.resources import NETWORK_FAULTS, SERVICE_ACCOUNTS, Object

_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_POLL_SECONDS = 0.1


async def prepare(client: HttpClient, seconds: float) -> None:
    """Define NetworkFaults and wait for the default ServiceAccount. Raises DeadlineExceeded."""
    try:
        async with asyncio.timeout(seconds):
            await define_network_faults(client)
            await _default_account(client)
    except TimeoutError:
        raise DeadlineExceeded(
            f"the control plane was not ready for pods within {seconds:.0f} s",
            where="default/default, networkfaults.chaos.gameday.dev",
            remedy="see the logs of kube-controller-manager and kube-apiserver in the state folder",
        ) from None


async def define_network_faults(client: HttpClient) -> None:
    """Make the API server serve NetworkFaults, unless it does."""
    if await _is_served(client):
        return
    try:
        await client.request("POST", _DEFINITIONS, body=definition())
    except ApiError as error:
        if error.code != 409:
            raise
    while not await _is_served(client):  # what a definition brings cannot be watched before it is there
        await asyncio.sleep(_POLL_SECONDS)


def definition() -> Object:
    """The CustomResourceDefinition; the network itself says in the status what is wrong with a spec."""
    resource = NETWORK_FAULTS
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": resource.group_resource},
        "spec": {
            "group": resource.group,
            "scope": "Namespaced",
            "names": {
                "plural": resource.plural,
                "singular": resource.singular,
                "kind": resource.kind,
                "shortNames": list(resource.short_names),
            },
            "versions": [
                {
                    "name": resource.version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": schema, "status": schema}}},
                    "subresources": {"status": {}},
                }
            ],
        },
    }


async def _is_served(client: HttpClient) -> bool:
    try:
        await client.request("GET", path_of(NETWORK_FAULTS, None), query={"limit": "1"})
    except ApiError as error:
        if error.code == 404:
            return False
        raise
    return True


async def _default_account(client: HttpClient) -> None:
    """Wait for default/default, which the controller manager makes: without it, pods are refused."""
    named = "metadata.name=default"
    listed = await client.list(SERVICE_ACCOUNTS, "default", fields=named)
    if listed.items:
        return
    watch = client.watch(SERVICE_ACCOUNTS, "default", resource_version=listed.resource_version, fields=named)
    async with aclosing(watch) as events:  # type: ignore[type-var]
        async for event in events:
            if event.type == "ADDED":
                return
