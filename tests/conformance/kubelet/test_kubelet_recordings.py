"""The replayer judges recordings as it says: one that holds, one that was changed, one that cannot be followed."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.conformance.kubelet import replay
from tests.conformance.kubelet.lab import with_rooted_mounts

_NAMESPACE = "replayed"
_SHELL = {"name": "app", "image": "lab.local/app:1", "command": ["sh", "-c", "echo hello; exit 3"]}
_PRESENT = 'Container image "lab.local/app:1" already present on machine and can be accessed by the pod'


def _event(t: float, reason: str, message: str, *, event_type: str = "Normal") -> dict[str, Any]:
    involved = {"kind": "Pod", "name": "once", "fieldPath": "spec.containers{app}"}
    content = {"reason": reason, "type": event_type, "message": message, "count": 1}
    return {
        "t": t,
        "resource": "events",
        "type": "ADDED",
        "object": {**content, "involvedObject": involved, "source": "kubelet"},
    }


@pytest.fixture
def recording() -> dict[str, Any]:
    """A pod that runs once."""
    scheduled = _event(0.0, "Scheduled", f"Successfully assigned {_NAMESPACE}/once to lab-node")
    scheduled["object"] |= {
        "count": None,
        "involvedObject": {"kind": "Pod", "name": "once"},
        "source": "default-scheduler",
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "once"}}
    return {
        "name": "once",
        "namespace": _NAMESPACE,
        "manifest": [pod | {"spec": {"restartPolicy": "Never", "containers": [_SHELL]}}],
        "timeline": [
            scheduled,
            _event(0.5, "Pulled", _PRESENT),
            _event(0.5, "Created", "Container created"),
            _event(0.6, "Started", "Container started"),
        ],
    }


def test_what_happens_as_recorded_is_equal(recording: dict[str, Any]) -> None:
    result = replay(recording)
    assert (result.total, result.equal, result.different) == (4, 4, 0), result.details


def test_what_did_not_happen_is_different(recording: dict[str, Any]) -> None:
    changed = copy.deepcopy(recording)
    changed["timeline"][3]["object"]["message"] = "Container began"
    result = replay(changed)
    assert (result.equal, result.different) == (3, 1)
    assert "Container began" in result.details[0]


def test_something_more_in_between_is_different(recording: dict[str, Any]) -> None:
    changed = copy.deepcopy(recording)
    del changed["timeline"][2]
    result = replay(changed)
    assert (result.equal, result.different) == (2, 1)
    assert "Container created" in result.details[0]


def test_what_a_note_does_not_tell_is_unsupported(recording: dict[str, Any]) -> None:
    note = {"t": 0.1, "resource": "action", "type": "NOTE", "object": {"action": "somebody changes something"}}
    result = replay(recording | {"timeline": [recording["timeline"][0], note, *recording["timeline"][1:]]})
    assert (result.total, result.equal, result.unsupported) == (4, 1, 3)


def test_a_kind_that_is_not_served_is_unsupported(recording: dict[str, Any]) -> None:
    job = {"apiVersion": "unheard.of/v1", "kind": "Wish", "metadata": {"name": "once"}}
    result = replay(recording | {"manifest": [job]})
    assert (result.unsupported, result.equal) == (4, 0)


def test_entries_beyond_the_horizon_are_unsupported(recording: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONFORMANCE_SECONDS", "0.2")
    result = replay(recording)
    assert (result.equal, result.unsupported) == (1, 3)


def test_mount_paths_of_a_script_are_below_the_containers_root() -> None:
    script = "n=$(cat /d/n); echo $n > /d/n; ls /usr/d/n"
    container = {"command": ["sh", "-c", script], "volumeMounts": [{"name": "d", "mountPath": "/d"}]}
    rooted = "n=$(cat $GAMEDAY_ROOTFS/d/n); echo $n > $GAMEDAY_ROOTFS/d/n; ls /usr/d/n"
    assert with_rooted_mounts(container) == ["sh", "-c", rooted]
