"""The replay judges as it says: what is right is equal, what is wrong is different, whatever the recording is."""

from __future__ import annotations

import asyncio
import copy
import json
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import normalise
from tests.conformance.api.replay import Result, replay
from tests.conformance.compare import differences
from tests.conformance.recordings import Flow

PATH = "/api/v1/namespaces/system/configmaps"
HEADERS = {"Accept": "application/json", "User-Agent": "golden-script"}
STAMPED = {
    "creationTimestamp": "2026-01-01T00:00:00Z",
    "resourceVersion": "7",
    "uid": "0" * 8 + "-0000-0000-0000-" + "0" * 12,
}
MANAGED = {"apiVersion": "v1", "manager": "golden-script", "operation": "Update"}


def _exchange(n: int, method: str, path: str, status: int, body: Any, sent: Any = None) -> dict[str, Any]:
    request = {"method": method, "path": path, "headers": HEADERS, **({"body": sent} if sent else {})}
    return {
        "n": n,
        "t": n / 100,
        "dt": 0.001,
        "request": request,
        "response": {"status": status, "headers": {"Content-Type": "application/json"}, "body": body},
    }


@pytest.fixture
def recording() -> dict[str, Any]:
    """A ConfigMap is created, read, and not found under another name."""
    sent = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}}
    metadata = {"name": "a", "namespace": "system", "managedFields": [MANAGED], **STAMPED}
    stored = {**sent, "metadata": metadata}
    missing = {
        "apiVersion": "v1",
        "kind": "Status",
        "metadata": {},
        "status": "Failure",
        "message": 'configmaps "b" not found',
        "reason": "NotFound",
        "details": {"name": "b", "kind": "configmaps"},
        "code": 404,
    }
    exchanges = [
        _exchange(0, "POST", PATH, 201, stored, sent),
        _exchange(1, "GET", f"{PATH}/a", 200, copy.deepcopy(stored)),
        _exchange(2, "GET", f"{PATH}/b", 404, missing),
    ]
    return {"name": "small", "exchanges": exchanges}


def _replayed(recording: dict[str, Any], folder: Path) -> Result:
    path = folder / "small.json"
    path.write_text(json.dumps(recording))
    (result,) = asyncio.run(replay(Flow("small", (path,))))
    return result


def test_what_a_real_server_answered_is_equal(recording: dict[str, Any], tmp_path: Path) -> None:
    result = _replayed(recording, tmp_path)
    assert (result.exchanges, result.equal, result.different) == (3, 3, 0), result.details


@pytest.mark.parametrize(
    ("n", "change", "shown"),
    [
        (0, lambda response: response["headers"].update({"Retry-After": "1"}), "header Retry-After"),
        (1, lambda response: response["body"]["data"].update(k="w"), ".data.k"),
        (1, lambda response: response["body"].update(immutable=True), ".immutable"),
        (1, lambda response: response["headers"].update(Warning='299 - "old"'), "header Warning"),
        (2, lambda response: response["body"]["details"].update(kind="secrets"), ".details.kind"),
        (2, lambda response: response["body"].update(message="gone"), ".message"),
    ],
)
def test_whatever_is_wrong_is_different(
    recording: dict[str, Any], tmp_path: Path, n: int, change: Any, shown: str
) -> None:
    changed = copy.deepcopy(recording)
    change(changed["exchanges"][n]["response"])
    result = _replayed(changed, tmp_path)
    assert (result.equal, result.different) == (2, 1)
    assert shown in result.details[0]


def test_an_event_that_never_comes_is_different(recording: dict[str, Any], tmp_path: Path) -> None:
    obj = recording["exchanges"][0]["response"]["body"]
    seen = [{"t": 0.01, "resource": "configmaps", "type": "ADDED", "object": obj}]
    assert _replayed({**recording, "watch": seen}, tmp_path).different == 0
    other = {**obj, "metadata": {**obj["metadata"], "name": "never"}}
    seen.append({"t": 0.02, "resource": "configmaps", "type": "DELETED", "object": other})
    result = _replayed({**recording, "watch": seen}, tmp_path)
    assert (result.different, result.details[0].splitlines()[-1].strip()) == (1, "never seen here")


def test_only_what_varies_is_replaced() -> None:
    pod = {
        "metadata": {"name": "web-f54ff5bf7-gsmjp", "uid": STAMPED["uid"], "labels": {"app": "web"}},
        "status": {"phase": "Running"},
    }
    assert normalise.body(pod) == {
        "metadata": {"name": "web-<hash>-<rand>", "uid": "<uid>", "labels": {"app": "web"}},
        "status": {"phase": "Running"},
    }
    assert differences(pod, {**pod, "status": {"phase": "Pending"}}) == [
        ".status.phase: recorded 'Running', got 'Pending'"
    ]


def test_a_reduced_body_is_compared_by_what_it_has() -> None:
    whole = {
        "kind": "Pod",
        "metadata": {"name": "a", **STAMPED},
        "spec": {"nodeName": "n"},
        "status": {"phase": "Running"},
    }
    reduced = {"kind": "Pod", "_reduced": True, "metadata": {"name": "a"}, "status": {"phase": "Running"}}
    assert differences(reduced, whole) == []
    assert differences({**reduced, "status": {"phase": "Failed"}}, whole) != []
    assert differences(whole, {"kind": "Pod"}) != []
