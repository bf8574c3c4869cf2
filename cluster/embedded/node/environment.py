"""The environment and the command line of a container, from its image, its spec and the cluster's contract."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from cluster.embedded.client import ApiClient, ApiError
from cluster.embedded.node import podspec
from cluster.embedded.node.images import Image
from cluster.embedded.quantity import parse_quantity
from cluster.embedded.resources import CONFIG_MAPS, SECRETS, Object, Resource

_REFERENCE = re.compile(r"\$(\$|\(([A-Za-z_.-][A-Za-z0-9_.-]*)\))")
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


class ConfigError(Exception):
    """A container cannot be created from its spec as the cluster is now (CreateContainerConfigError)."""


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace ``$(NAME)``; ``$$`` is a dollar, and a name that is not there stays as it is written."""

    def replacement(match: re.Match[str]) -> str:
        if match[1] == "$":
            return "$"
        return variables.get(match[2], match[0])

    return _REFERENCE.sub(replacement, text)


def command_line(spec: Object, image: Image, variables: Mapping[str, str]) -> list[str]:
    """What a container runs: ``command`` replaces entry point and cmd, ``args`` replaces cmd."""
    command, args = spec.get("command") or [], spec.get("args") or []
    if command:
        return [expand(word, variables) for word in (*command, *args)]
    given = [expand(word, variables) for word in args]
    return [*image.entrypoint, *(given or image.cmd)]


async def variables(client: ApiClient, pod: Object, spec: Object, facts: Mapping[str, str]) -> dict[str, str]:
    """The variables that a container's spec defines (``envFrom``, then ``env``).

    Args:
        facts: values that only the node knows: ``podIP``, ``hostIP``, and allocatable ``cpu`` and ``memory``.

    Raises:
        ConfigError: a ConfigMap, Secret or key is missing.
    """
    result: dict[str, str] = {}
    for source in spec.get("envFrom") or []:
        result.update(await _from_source(client, podspec.namespace(pod), source))
    for variable in spec.get("env") or []:
        if "valueFrom" in variable:
            value = await _value_from(client, pod, spec, variable["valueFrom"], facts)
        else:
            value = expand(str(variable.get("value") or ""), {**facts_as_variables(facts), **result})
        if value is not None:
            result[variable["name"]] = value
    return result


def facts_as_variables(facts: Mapping[str, str]) -> dict[str, str]:
    """Variables of the cluster's contract, which a spec may refer to as well."""
    return {"POD_IP": facts.get("podIP", "")}


def pod_field(pod: Object, path: str, facts: Mapping[str, str]) -> str:
    """A field of the downward API (``fieldRef``). Raises ConfigError."""
    metadata, spec = pod["metadata"], pod["spec"]
    if match := _SUBSCRIPT.fullmatch(path):
        return str((metadata.get(match[1]) or {}).get(match[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        pairs = metadata.get(path.removeprefix("metadata.")) or {}
        return "\n".join(f'{key}="{value}"' for key, value in sorted(pairs.items()))
    readers: dict[str, Callable[[], Any]] = {
        "metadata.name": lambda: metadata["name"],
        "metadata.namespace": lambda: podspec.namespace(pod),
        "metadata.uid": lambda: metadata["uid"],
        "spec.nodeName": lambda: spec.get("nodeName", ""),
        "spec.serviceAccountName": lambda: spec.get("serviceAccountName") or "default",
        "status.podIP": lambda: facts.get("podIP", ""),
        "status.podIPs": lambda: facts.get("podIP", ""),
        "status.hostIP": lambda: facts.get("hostIP", ""),
        "status.hostIPs": lambda: facts.get("hostIP", ""),
    }
    if path not in readers:
        raise ConfigError(f"unsupported fieldPath: {path}")
    return str(readers[path]())


def resource_field(spec: Object, source: Object, facts: Mapping[str, str]) -> str:
    """A limit or request (``resourceFieldRef``), rounded up to its divisor; limits default to the node's."""
    side, _, resource = source["resource"].partition(".")
    resources = spec.get("resources") or {}
    quantity = (resources.get(side) or {}).get(resource)
    if quantity is None:
        quantity = facts.get(resource, "0") if side == "limits" else 0
    divisor = parse_quantity(source.get("divisor") or 0) or 1
    return str(math.ceil(parse_quantity(quantity) / divisor))


async def _from_source(client: ApiClient, namespace: str, source: Object) -> dict[str, str]:
    reference = source.get("configMapRef") or source.get("secretRef") or {}
    resource = CONFIG_MAPS if "configMapRef" in source else SECRETS
    data = await read_data(client, resource, namespace, reference)
    prefix = source.get("prefix") or ""
    return {f"{prefix}{key}": value.decode(errors="replace") for key, value in (data or {}).items()}


async def _value_from(
    client: ApiClient, pod: Object, spec: Object, source: Object, facts: Mapping[str, str]
) -> str | None:
    if "fieldRef" in source:
        return pod_field(pod, source["fieldRef"]["fieldPath"], facts)
    if "resourceFieldRef" in source:
        reference = source["resourceFieldRef"]
        owner = podspec.container(pod, reference.get("containerName") or spec["name"]) or spec
        return resource_field(owner, reference, facts)
    for key, resource in (("configMapKeyRef", CONFIG_MAPS), ("secretKeyRef", SECRETS)):
        if key in source:
            return await _key_of(client, podspec.namespace(pod), resource, source[key])
    raise ConfigError("invalid valueFrom: no source that this node knows")


async def _key_of(client: ApiClient, namespace: str, resource: Resource, reference: Object) -> str | None:
    data = await read_data(client, resource, namespace, reference)
    if data is not None and reference["key"] in data:
        return data[reference["key"]].decode(errors="replace")
    if reference.get("optional"):
        return None
    raise ConfigError(f"couldn't find key {reference['key']} in {resource.kind} {namespace}/{reference['name']}")


async def read_data(
    client: ApiClient, resource: Resource, namespace: str, reference: Object
) -> dict[str, bytes] | None:
    """Contents of a ConfigMap or Secret; None when it is missing and optional. Raises ConfigError."""
    name = reference.get("name") or reference.get("secretName") or ""
    try:
        return decode_data(resource, await client.get(resource, name, namespace))
    except ApiError as error:
        if error.code != 404:
            raise ConfigError(f"failed to get {resource.kind}: {error}") from None
    if reference.get("optional"):
        return None
    raise ConfigError(f'{resource.kind.lower()} "{name}" not found')


def decode_data(resource: Resource, obj: Object) -> dict[str, bytes]:
    """All keys of a ConfigMap or Secret as bytes."""
    if resource is SECRETS:
        plain = {key: str(value).encode() for key, value in (obj.get("stringData") or {}).items()}
        return {key: base64.b64decode(value) for key, value in (obj.get("data") or {}).items()} | plain
    binary = {key: base64.b64decode(value) for key, value in (obj.get("binaryData") or {}).items()}
    return {key: str(value).encode() for key, value in (obj.get("data") or {}).items()} | binary
