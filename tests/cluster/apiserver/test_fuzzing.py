"""Requests made up from the published schemas, right and wrong in every place: each gets an answer of the right form.

``FUZZ_EXAMPLES=5000 pytest tests/cluster/apiserver/test_fuzzing.py`` goes on for longer.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.embedded.apiserver.schema import Type, type_of
from cluster.embedded.resources import CLUSTER_ROLES, JOBS, NAMESPACES, NODES, RESOURCES, Resource
from tests.cluster.apiserver.conftest import Http

_COMPLETED = (NAMESPACES, NODES, CLUSTER_ROLES, JOBS)
"""What the server or a controller changes beside the client."""
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES") or 150)
_DEPTH = 4
_NAMES = ("a", "b", "web.1", "Bad_Name", "", "-x", "x" * 300, "ü", "a/b", "..", "%2e")
_GARBAGE: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 2**31, 2**70, 1.5, "", "x", "1Gi", "-5m", [], [None], {}, {"x": 1}, [[]], {"": None}]
)
_SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "string": st.sampled_from(["", "a", "web", "Always", "TCP", "x" * 70, "ü", "a b", "10.0.0.1", "RollingUpdate"]),
    "time": st.sampled_from(["2026-01-01T00:00:00Z", "yesterday", ""]),
    "bytes": st.sampled_from(["YQ==", "%", ""]),
    "bool": st.booleans(),
    "int32": st.integers(-2, 70_000),
    "int64": st.integers(-(2**40), 2**40),
    "number": st.floats(allow_nan=False, allow_infinity=False),
    "quantity": st.sampled_from(["1", "100m", "1Gi", "-1", "1e3", "x", ""]),
    "intorstring": st.sampled_from([0, 1, 8080, -1, "25%", "http", "110%", "x"]),
    "any": _GARBAGE,
}


def value(type_: Type, depth: int = 0) -> st.SearchStrategy[Any]:
    """A value of a type, or now and then something else."""
    if type_.kind == "struct":
        if depth >= _DEPTH:
            return st.just({})
        fields = {name: st.deferred(lambda t=t: value(t, depth + 1)) for name, t in type_.fields.items()}
        right: st.SearchStrategy[Any] = st.lists(
            st.sampled_from(sorted(fields) or ["x"]), max_size=5, unique=True
        ).flatmap(lambda names: st.fixed_dictionaries({name: fields.get(name, _GARBAGE) for name in names}))
    elif type_.kind in ("list", "map") and type_.element is not None:
        inner = value(type_.element, depth + 1)
        right = (
            st.lists(inner, max_size=2)
            if type_.kind == "list"
            else st.dictionaries(st.sampled_from(["a", "b/c"]), inner)
        )
    else:
        right = _SCALARS.get(type_.kind, _GARBAGE)
    return st.one_of(*[right] * 9, _GARBAGE)


@dataclass(frozen=True)
class Call:
    """One request."""

    method: str
    path: str
    body: Any
    content_type: str


@st.composite
def calls(draw: st.DrawFn) -> Call:
    resource = draw(st.sampled_from(RESOURCES))
    method = draw(st.sampled_from(["POST", "POST", "PUT", "PATCH", "PATCH", "PATCH", "GET", "DELETE"]))
    name = draw(st.sampled_from(_NAMES[:3] * 4 + _NAMES))
    body, content_type = _body(draw, resource, method, name)
    path = _path(draw, resource, "" if method == "POST" else name)
    return Call(method, path + _query(draw), body, content_type)


def _path(draw: st.DrawFn, resource: Resource, name: str) -> str:
    root = f"/apis/{resource.api_version}" if resource.group else f"/api/{resource.version}"
    scope = f"/namespaces/{draw(st.sampled_from(['system', 'system', 'nosuch']))}" if resource.namespaced else ""
    subresource = draw(st.sampled_from(["", "", "", "/status", "/scale", "/eviction", "/binding", "/token", "/nosuch"]))
    return f"{root}{scope}/{resource.plural}" + (f"/{name}{subresource}" if name else "")


_QUERY = {
    "dryRun": ["All", "None", ""], "fieldValidation": ["Strict", "Warn", "Ignore", "x"],
    "fieldManager": ["me", "x" * 200], "force": ["true", "maybe"],
    "labelSelector": ["a=b", "a in (", "!a", "a>1", ","], "limit": ["1", "-1", "x"],
    "fieldSelector": ["metadata.name=a", "x", "spec.nodeName!=", "a=b,"], "continue": ["x", "e30"],
    "resourceVersion": ["0", "1", "x", "-1"], "resourceVersionMatch": ["Exact", "NotOlderThan", "x"],
    "propagationPolicy": ["Orphan", "x"], "gracePeriodSeconds": ["0", "-1", "x"], "pretty": ["true"],
    "includeObject": ["Object", "x"], "timeoutSeconds": ["1", "x"],
}  # fmt: skip


def _query(draw: st.DrawFn) -> str:
    chosen = draw(st.lists(st.sampled_from(sorted(_QUERY)), max_size=2, unique=True))
    pairs = {key: draw(st.sampled_from(_QUERY[key])) for key in chosen}
    return f"?{urlencode(pairs)}" if pairs else ""


def _body(draw: st.DrawFn, resource: Resource, method: str, name: str) -> tuple[Any, str]:
    if method == "GET":
        return None, ""
    obj = draw(value(type_of(resource)))
    if isinstance(obj, dict) and draw(st.integers(0, 9)):
        metadata = obj.get("metadata") if isinstance(obj.get("metadata"), dict) else {}
        obj = {**obj, "apiVersion": resource.api_version, "kind": resource.kind, "metadata": {**metadata, "name": name}}
    if method != "PATCH":
        return obj, draw(st.sampled_from(["application/json"] * 6 + ["application/yaml", "text/plain", ""]))
    kind = draw(st.sampled_from(["merge", "strategic", "apply", "json", "unknown"]))
    media = {"merge": "merge-patch+json", "strategic": "strategic-merge-patch+json", "apply": "apply-patch+yaml"}
    if kind in media:
        return obj, f"application/{media[kind]}"
    if kind == "unknown":
        return obj, "application/x-patch"
    operation = st.fixed_dictionaries(
        {},
        optional={
            "op": st.sampled_from(["add", "remove", "replace", "test", "move", "copy", "x"]),
            "path": st.sampled_from(["/spec", "/metadata/labels/a", "/x/0", "", "x", "/spec/ports/-", "/metadata"]),
            "from": st.sampled_from(["/metadata", "/spec", "x"]),
            "value": st.just(obj),
        },
    )
    return draw(st.lists(operation, max_size=3) | _GARBAGE), "application/json-patch+json"


@given(call=calls())
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_request_gets_an_answer_of_the_right_form(http: Http, call: Call) -> None:
    response = http(call.method, call.path, call.body, content_type=call.content_type)
    shown = f"{call} -> {response.status_code} {response.text[:300]}"
    if response.status_code == 404 and response.text == "404 page not found\n":
        return
    answer = response.json()
    if response.status_code >= 400:
        assert answer["kind"] == "Status", shown
        assert (answer["status"], answer["code"]) == ("Failure", response.status_code), shown
        assert answer.get("message"), shown
        assert "see the server's log" not in answer["message"], shown
    else:
        assert answer["kind"], shown
    assert http("GET", "/readyz").status_code == 200, shown


@given(data=st.data())
@settings(max_examples=max(EXAMPLES // 3, 30), deadline=None, suppress_health_check=list(HealthCheck))
def test_what_is_accepted_is_kept_and_applied_again_changes_nothing(http: Http, data: st.DataObject) -> None:
    resource = data.draw(st.sampled_from([r for r in RESOURCES if r not in _COMPLETED]))
    obj = data.draw(value(type_of(resource)).filter(lambda found: isinstance(found, dict)))
    metadata = {"name": "kept", "labels": {"owned": "yes"}}
    obj = {**obj, "apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}
    root = f"/apis/{resource.api_version}" if resource.group else f"/api/{resource.version}"
    path = f"{root}{'/namespaces/system' if resource.namespaced else ''}/{resource.plural}/kept"
    applied = f"{path}?fieldManager=fuzz&force=true"
    first = http("PATCH", applied, json.dumps(obj), content_type="application/apply-patch+yaml")
    if first.status_code >= 400:
        return
    assert http("GET", path).json() == first.json()
    again = http("PATCH", applied, json.dumps(obj), content_type="application/apply-patch+yaml")
    assert (again.status_code, again.json()) == (200, first.json())
    http("DELETE", f"{path}?gracePeriodSeconds=0&propagationPolicy=Background")
