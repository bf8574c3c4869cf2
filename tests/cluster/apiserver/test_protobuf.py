"""Protobuf bodies, written here by hand from the wire format, so that the decoder is not its own witness."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.embedded.apiserver import protobuf
from cluster.embedded.apiserver.protobuf_schema import KINDS, MESSAGES
from cluster.embedded.client import ApiError
from tests.cluster.apiserver.conftest import Http


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def block(number: int, data: bytes | str) -> bytes:
    raw = data.encode() if isinstance(data, str) else data
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def integer(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def entry(number: int, key: str, value: bytes) -> bytes:
    return block(number, block(1, key) + block(2, value))


def body(api_version: str, kind: str, raw: bytes) -> bytes:
    return b"k8s\0" + block(1, block(1, api_version) + block(2, kind)) + block(2, raw) + block(3, "") + block(4, "")


METADATA = block(1, "demo") + block(3, "system") + block(5, "") + block(8, b"") + entry(11, "owner", b"helm")


def test_a_secret_keeps_its_bytes_and_loses_empty_fields() -> None:
    raw = block(1, METADATA) + entry(2, "release", b"\x00\xff") + block(3, "helm.sh/release.v1")
    assert protobuf.decode(body("v1", "Secret", raw)) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "demo", "namespace": "system", "labels": {"owner": "helm"}},
        "data": {"release": "AP8="},
        "type": "helm.sh/release.v1",
    }


def test_a_zero_counts_where_go_has_a_pointer() -> None:
    template = block(2, block(2, block(1, "web") + block(6, integer(3, 80))))
    spec = integer(1, 0) + block(3, template) + integer(5, 0) + integer(7, 0)
    decoded = protobuf.decode(body("apps/v1", "Deployment", block(1, METADATA) + block(2, spec) + block(3, b"")))
    assert decoded["spec"] == {
        "replicas": 0,
        "template": {"spec": {"containers": [{"name": "web", "ports": [{"containerPort": 80}]}]}},
    }
    options = protobuf.decode(body("v1", "DeleteOptions", integer(1, 0) + block(4, "Background")))
    assert (options["gracePeriodSeconds"], options["propagationPolicy"]) == (0, "Background")


def test_quantities_ports_and_embedded_structs_become_json() -> None:
    resources = entry(1, "memory", block(1, "1Gi"))
    probe = block(1, block(2, block(1, "/health") + block(2, integer(1, 1) + integer(2, 0) + block(3, "http"))))
    container = block(1, "c") + block(8, resources) + block(11, probe + integer(4, 10))
    volumes = block(1, block(1, "tmp") + block(2, block(2, b"")))
    decoded = protobuf.decode(body("v1", "Pod", block(2, volumes + block(2, container))))
    assert decoded["spec"] == {
        "volumes": [{"name": "tmp", "emptyDir": {}}],
        "containers": [
            {
                "name": "c",
                "resources": {"limits": {"memory": "1Gi"}},
                "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 10},
            }
        ],
    }


def test_what_is_not_understood_is_refused_rather_than_dropped() -> None:
    for raw, code in (
        (body("v1", "Node", b""), 415),
        (body("v1", "ConfigMap", block(99, "new")), 400),
        (b"k8s\0\xff\xff", 400),
        (body("v1", "Secret", block(1, block(8, integer(1, 1 << 62)))), 400),
        (body("v1", "Secret", block(1, block(17, block(7, block(1, "not json"))))), 400),
        (b"{}", 400),
    ):
        with pytest.raises(ApiError) as refused:
            protobuf.decode(raw)
        assert refused.value.code == code


@given(st.binary(max_size=200))
def test_no_body_is_an_internal_error(raw: bytes) -> None:
    for kind in KINDS:
        try:
            protobuf.decode(body(*kind, raw))
        except ApiError as error:
            assert error.code in (400, 415)  # noqa: PT017 - either outcome is fine, another exception is not


def test_every_message_of_the_table_is_defined() -> None:
    scalars = {"string", "bytes", "bool", "int32", "int64", "skip"}
    for name, fields in MESSAGES.items():
        assert len({field.number for field in fields}) == len(fields), name
        assert {field.kind for field in fields} <= scalars | set(MESSAGES), name


def test_a_protobuf_body_is_stored_and_answered_in_json(http: Http) -> None:
    raw = body("v1", "ConfigMap", block(1, METADATA) + entry(2, "k", b"v"))
    media, accept = "application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf,application/json"
    url = "/api/v1/namespaces/system/configmaps"
    created = http("POST", url, raw, content_type=media, Accept=accept)
    assert (created.status_code, created.json()["data"]) == (201, {"k": "v"})
    options = body("v1", "DeleteOptions", block(2, block(1, "not-its-uid")))
    assert http("DELETE", f"{url}/demo", options, content_type=media).status_code == 409
