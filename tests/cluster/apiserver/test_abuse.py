"""What clients do wrong, by mistake or on purpose: they get a Status, and the server keeps serving."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psutil
import pytest

from cluster.embedded.resources import CONFIG_MAPS
from tests.cluster.apiserver.conftest import TOKEN, Cluster, Http

CONFIG_MAPS_PATH = "/api/v1/namespaces/system/configmaps"
APPLY = f"{CONFIG_MAPS_PATH}/c?fieldManager=m"


@pytest.fixture(autouse=True)
def still_serves(http: Http) -> Iterator[None]:
    yield
    assert http("GET", "/readyz").text == "ok"
    created = http("POST", CONFIG_MAPS_PATH, {"metadata": {"generateName": "after-"}})
    assert created.status_code == 201


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b"42", b'"text"', b"\xff\xfe", b'{"a":1,}', b'{"metadata":[]}',
        b'{"metadata":{"name":1}}',
        b'{"metadata":{"name":"\\ud800"}}', b'{"data":{"a":NaN}}', b'{"metadata":{"labels":{"a":1e400}}}',
        b"[" * 200_000, b'{"a":' * 200_000, b'{"data":' + b'{"a":' * 20_000 + b"1" + b"}" * 20_001,
    ],
    ids=lambda body: repr(body[:30]),
)  # fmt: skip
@pytest.mark.parametrize(
    "content_type", ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"]
)
def test_a_body_that_is_no_object_is_refused(http: Http, body: bytes, content_type: str) -> None:
    response = http("POST", CONFIG_MAPS_PATH, body, content_type=content_type)
    assert response.status_code in (400, 422), response.text[:300]
    assert response.json()["kind"] == "Status"
    assert len(response.content) < 10_000


@pytest.mark.parametrize("body", [b"{", b"[" * 200_000, b'{"a":' * 100_000, b"a: " * 10_000, b"\x00", b"- " * 100_000])
@pytest.mark.parametrize(
    "patch", ["json-patch+json", "merge-patch+json", "strategic-merge-patch+json", "apply-patch+yaml"]
)
def test_a_patch_that_is_none_is_refused(http: Http, patch: str, body: bytes) -> None:
    http("POST", CONFIG_MAPS_PATH, {"metadata": {"name": "c"}})
    response = http("PATCH", APPLY, body, content_type=f"application/{patch}")
    assert response.status_code in (400, 422), response.text[:300]
    assert response.json()["kind"] == "Status"


def test_aliases_that_multiply_are_refused(http: Http) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    for method, path, media in (("POST", CONFIG_MAPS_PATH, "yaml"), ("PATCH", APPLY, "apply-patch+yaml")):
        response = http(method, path, "\n".join(lines), content_type=f"application/{media}")
        assert response.status_code == 400, response.text[:300]
        assert "excessive aliasing" in response.json()["message"]


def test_aliases_that_do_not_are_understood(http: Http) -> None:
    body = "metadata: {name: aliased}\ndata: {a: &text hello, b: *text}"
    assert http("POST", CONFIG_MAPS_PATH, body, content_type="application/yaml").json()["data"] == {
        "a": "hello",
        "b": "hello",
    }


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_ten_megabytes_is_refused_and_not_kept(http: Http, chunked: bool) -> None:
    text = b'{"metadata":{"name":"big"},"data":{"a":"' + b"x" * 10_000_000 + b'"}}'
    before = psutil.Process().memory_info().rss
    for _ in range(5):
        data = (text[at : at + 65536] for at in range(0, len(text), 65536)) if chunked else text
        response = http.session.post(
            f"{http.url}{CONFIG_MAPS_PATH}", data=data, headers={"Content-Type": "application/json"}, timeout=10
        )
        assert response.status_code == 413
        assert response.json()["reason"] == "RequestEntityTooLarge"
    assert psutil.Process().memory_info().rss - before < 40_000_000


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/xml", "multipart/form-data; boundary=x", "nonsense", "application/cbor"]
)
def test_a_content_type_that_is_not_read_is_refused(http: Http, content_type: str) -> None:
    response = http("POST", CONFIG_MAPS_PATH, b'{"metadata":{"name":"c"}}', content_type=content_type)
    assert (response.status_code, response.json()["reason"]) == (415, "UnsupportedMediaType")


@pytest.mark.parametrize(
    "path",
    ["/api/v1/namespaces/%00/pods", "/api/v1/namespaces/system/pods/%2e%2e/x", "/api/v1/" + "x" * 6000, "//api//v1",
     "/%ff%fe",
     "/api/v1/pods?labelSelector=" + "(" * 3000, "/api/v1/pods?fieldSelector=" + "a=b," * 1000, "/api/v1/pods?limit=x",
     "/api/v1/pods?continue=!!!", "/api/v1/pods?resourceVersion=-1", "/api/v1/pods?watch=1&timeoutSeconds=x"],
)  # fmt: skip
def test_a_url_that_means_nothing_gets_an_answer(http: Http, path: str) -> None:
    response = http.session.get(f"{http.url}{path}", timeout=10, stream=True)
    assert 200 <= response.status_code < 500
    response.close()


def connect(cluster: Cluster, *, buffer_bytes: int = 0) -> ssl.SSLSocket:
    """A raw TLS connection, with a small receive buffer if wanted."""
    host, _, port = cluster.url.removeprefix("https://").partition(":")
    plain = socket.socket()
    if buffer_bytes:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    plain.settimeout(10)
    plain.connect((host, int(port)))
    context = ssl.create_default_context(cafile=str(cluster.ca_file))
    return context.wrap_socket(plain, server_hostname="127.0.0.1")


def ask(link: ssl.SSLSocket, path: str, *, method: str = "GET", extra: str = "") -> None:
    link.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n{extra}\r\n".encode())


def is_closed(link: ssl.SSLSocket, seconds: float) -> bool:
    """Whether the server closes the connection in time, once all that it sent is read."""
    link.settimeout(seconds)
    try:
        while link.recv(1 << 20):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x00" * 100,
        b"GET /" + b"a" * 100_000,
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    ],
)
def test_what_is_not_http_is_hung_up_on(cluster: Cluster, garbage: bytes) -> None:
    link = connect(cluster)
    with suppress(OSError):  # it may hang up before it has read all
        link.sendall(garbage)
    assert is_closed(link, 5)


def test_a_client_that_hangs_up_in_the_middle_costs_nothing(cluster: Cluster) -> None:
    for _ in range(50):
        link = connect(cluster)
        ask(link, CONFIG_MAPS_PATH, method="POST", extra="Content-Type: application/json\r\nContent-Length: 1000\r\n")
        link.sendall(b'{"metadata":')
        link.close()


def test_a_half_closed_watch_ends(cluster: Cluster) -> None:
    link = connect(cluster)
    ask(link, f"{CONFIG_MAPS_PATH}?watch=1")
    assert link.recv(100).startswith(b"HTTP/1.1 200")
    socket.socket.shutdown(link, socket.SHUT_WR)
    assert is_closed(link, 5)


def fill(cluster: Cluster, changes: int, size: int = 50_000) -> None:
    """Change an object so often that no socket buffer holds it all."""
    text = "x" * size
    for number in range(changes):
        cluster.call(
            cluster.registry.patch,
            CONFIG_MAPS,
            "system",
            "moving",
            {"data": {"a": f"{number}{text}"}},
            patch_type="merge",
        )


def test_a_watcher_that_does_not_read_is_dropped_and_others_are_not(cluster: Cluster, http: Http) -> None:
    http("POST", CONFIG_MAPS_PATH, {"metadata": {"name": "moving"}})
    deaf = [connect(cluster, buffer_bytes=4096) for _ in range(20)]
    for link in deaf:
        ask(link, f"{CONFIG_MAPS_PATH}?watch=1")
        assert link.recv(64).startswith(b"HTTP/1.1 200")
    attentive = http.session.get(f"{http.url}{CONFIG_MAPS_PATH}?watch=1", stream=True, timeout=20)
    seen: list[str] = []

    def read() -> None:
        for line in attentive.iter_lines():
            seen.append(json.loads(line)["object"].get("data", {}).get("a", "")[:3])
            if seen[-1] == "299":
                return

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    before = psutil.Process().memory_info().rss
    fill(cluster, 300)
    reader.join(20)
    assert seen[-1] == "299"
    assert psutil.Process().memory_info().rss - before < 200_000_000
    deadline = time.monotonic() + 10
    while cluster.server.open_streams > 1:
        assert time.monotonic() < deadline, f"{cluster.server.open_streams} watches are still served"
        time.sleep(0.02)
    for link in deaf:
        link.close()
    attentive.close()


def test_thousands_of_watchers_that_never_read_are_dropped_within_bounds(cluster: Cluster, http: Http) -> None:
    http("POST", CONFIG_MAPS_PATH, {"metadata": {"name": "moving"}})
    deaf = []
    for _ in range(2000):
        deaf.append(connect(cluster, buffer_bytes=4096))
        ask(deaf[-1], f"{CONFIG_MAPS_PATH}?watch=1")
    for link in deaf:
        assert link.recv(64).startswith(b"HTTP/1.1 200")
    before, slowest = psutil.Process().memory_info().rss, 0.0
    for _ in range(15):
        fill(cluster, 2)
        asked = time.monotonic()
        assert http("GET", f"{CONFIG_MAPS_PATH}/moving").status_code == 200
        slowest = max(slowest, time.monotonic() - asked)
    grown = psutil.Process().memory_info().rss - before
    deadline = time.monotonic() + 20
    while cluster.server.open_streams:
        assert time.monotonic() < deadline, f"{cluster.server.open_streams} watches are still served"
        time.sleep(0.02)
    for link in deaf:
        link.close()
    assert slowest < 5.0
    assert grown < len(deaf) * 600_000, f"{grown / len(deaf):.0f} bytes are kept for each"


def test_a_thousand_watchers_are_served_and_leave_nothing(cluster: Cluster, http: Http) -> None:
    http("POST", CONFIG_MAPS_PATH, {"metadata": {"name": "moving"}})
    links: list[Any] = []
    for _ in range(1000):
        links.append(connect(cluster))
        ask(links[-1], f"{CONFIG_MAPS_PATH}?watch=1&fieldSelector=metadata.name%3Dmoving")
    for link in links:
        assert link.recv(64).startswith(b"HTTP/1.1 200")
    fill(cluster, 3, size=100)
    for link in links[::100]:
        text = b""
        while b'"2xxx' not in text:
            text += link.recv(65536)
    for link in links:
        link.close()
    deadline = time.monotonic() + 10
    while cluster.server.open_streams:
        assert time.monotonic() < deadline, f"{cluster.server.open_streams} watches are still served"
        time.sleep(0.02)


def test_a_body_that_never_ends_is_not_waited_for(cluster: Cluster) -> None:
    link = connect(cluster)
    ask(link, CONFIG_MAPS_PATH, method="POST", extra="Content-Type: application/json\r\nContent-Length: 1000\r\n")
    answer = link.recv(65536)
    assert answer.startswith(b"HTTP/1.1 504")
    assert b'"reason":"Timeout"' in answer
    assert is_closed(link, 5)


def test_an_answer_that_nobody_reads_is_not_kept(cluster: Cluster, http: Http) -> None:
    for number in range(40):
        http("POST", CONFIG_MAPS_PATH, {"metadata": {"name": f"c{number}"}, "data": {"a": "x" * 500_000}})
    connected, link = cluster.server.open_connections, connect(cluster, buffer_bytes=4096)
    ask(link, CONFIG_MAPS_PATH)
    assert link.recv(64).startswith(b"HTTP/1.1 200")
    deadline = time.monotonic() + 10
    while cluster.server.open_connections > connected:
        assert time.monotonic() < deadline, "the answer is still kept"
        time.sleep(0.02)
