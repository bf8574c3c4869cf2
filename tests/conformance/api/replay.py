"""Replay of one flow: every request is sent again, every answer compared.

An answer has to be equal after normalising (``normalise.py``). Controllers, scheduler and kubelet work beside the
client, in this run as in the recorded one, but never at exactly the same moment. So where they have a hand in what is
shown, two more answers are accepted, and nothing else: a read that becomes equal within `SETTLE_SECONDS`, and an object
or list item of which an independent observer saw exactly the recorded version during the flow. A value that never
occurs is a difference in any case.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.conformance import scope
from tests.conformance.api import late, prior, target
from tests.conformance.api.bodies import REPEATED, SEE_DISCOVERY, Earlier, discovered, with_duplicate
from tests.conformance.api.borrowed import borrowed
from tests.conformance.api.http import Answer, Http, Observer
from tests.conformance.api.kubelets import Kubelets
from tests.conformance.api.kubelets import steps as kubelet_steps
from tests.conformance.api.names import Names, identities
from tests.conformance.api.player import Player, behaviours_of, delays_of
from tests.conformance.api.timing import Timing, target_of
from tests.conformance.api.watched import stream_differences, watched_differences
from tests.conformance.compare import differences
from tests.conformance.recordings import Flow

SETTLE_SECONDS = 3.0
_TOLERANCE_SECONDS = 0.3
_RETRIES = 3
_EARLY_SECONDS = 0.05
"""What comes just before a client closes its watch may be recorded, or not."""
HEADERS = ("Warning", "Content-Type", "Retry-After", "Allow")
_SENT = ("Accept", "User-Agent", "Upgrade", "Sec-WebSocket-Protocol", "X-Stream-Protocol-Version")
_WEBSOCKET = {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode()}
_BULK = re.compile(r"<([\d.]+) MB of data>")
_CUT = re.compile(r"\.\.\.<\d+ chars>$")
_HINT = re.compile(r"<(not recorded.*|same as .*|protobuf .*|\d+ .*)>$")
_PLAYED = {
    "pods", "deployments", "replicasets", "events", "endpointslices", "endpoints", "nodes", "jobs", "namespaces",
    "statefulsets", "daemonsets", "poddisruptionbudgets", "horizontalpodautoscalers", "serviceaccounts", "leases",
    "resourcequotas",
}  # fmt: skip


@dataclass(slots=True)
class Result:
    """How many exchanges of a recording were equal, different, out of scope; and what was different."""

    recording: str
    exchanges: int = 0
    equal: int = 0
    different: int = 0
    unsupported: int = 0
    details: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    def count(self, label: str, problems: list[str], reason: str = "") -> None:
        """Take in one exchange."""
        self.exchanges += 1
        if reason:
            self.unsupported += 1
            self.reasons[reason] += 1
        elif problems:
            self.different += 1
            self.details.append(f"{label}\n    " + "\n    ".join(problems[:12]))
        else:
            self.equal += 1


async def replay(flow: Flow, kubeconfig: str = "") -> list[Result]:
    """Replay all parts of a flow on one cluster; a new embedded one unless a kubeconfig is given."""
    parts = flow.parts()
    contents = [content for _, content in parts]
    with_accounts = "kube-api-access-" in json.dumps([c.get("exchanges") for c in contents])
    opened = target.existing(kubeconfig) if kubeconfig else target.embedded(service_accounts=with_accounts)
    async with opened as http, _scene(http, contents, is_ours=not kubeconfig) as kubelets:
        names = Names(kubelets.observer, identities(contents))
        _, changes = late.split(contents, _seeds(contents))
        return [
            await _Replay(http, kubelets, names, name, content, _of_part(changes, index)).run()
            for index, (name, content) in enumerate(parts)
        ]


def _seeds(parts: list[dict[str, Any]]) -> list[prior.Create]:
    return [*prior.services(parts), *prior.objects(parts), *prior.pods_of_tables(parts)]


def _of_part(changes: dict[late.Place, late.Changes], index: int) -> dict[int, late.Changes]:
    return {n: change for (part, n), change in changes.items() if part == index}


@contextlib.asynccontextmanager
async def _scene(http: Http, parts: list[dict[str, Any]], *, is_ours: bool) -> AsyncIterator[Kubelets]:
    """What was there before the recording: nodes, namespaces, objects; with observer and kubelets at work.

    A cluster that is not ours is left as it was found.
    """
    names = prior.nodes(parts)
    observer = Observer(http)
    player = Player(http, delays_of(parts[0]), behaviours_of(parts))
    kubelets = Kubelets(http, player, observer)
    at_work = [asyncio.ensure_future(observer.run()), asyncio.ensure_future(player.run(observer.pods))]
    try:
        async with contextlib.nullcontext() if is_ours else borrowed(http, observer, names):
            for name in sorted(names):
                await target.register_node(http, name)
            at_work += [asyncio.ensure_future(kubelets.keep_beating(name)) for name in names]
            await _set_up(http, observer, parts)
            yield kubelets
    finally:
        for work in at_work:
            work.cancel()
        ended = await asyncio.gather(*at_work, return_exceptions=True)
    if broken := [end for end in ended if not isinstance(end, asyncio.CancelledError)]:
        raise RuntimeError("the observer, the player or a heartbeat ended during the replay") from (
            broken[0] if isinstance(broken[0], Exception) else None
        )


async def _set_up(http: Http, observer: Observer, parts: list[dict[str, Any]]) -> None:
    """Make what the recording shows and does not create."""
    for name in sorted(prior.namespaces(parts)):
        await http.call("POST", "/api/v1/namespaces", "", {"metadata": {"name": name}})
    await observer.quiet()
    for path, obj in late.split(parts, _seeds(parts))[0]:
        await http.call("POST", path, "", obj)
    await observer.quiet(calm_seconds=0.8)
    for path in prior.terminating_pods(parts):
        await http.call("DELETE", path)
    if http.age and prior.is_aged(parts):
        http.age()


class _Replay:
    """One recording against a prepared cluster."""

    def __init__(
        self,
        http: Http,
        kubelets: Kubelets,
        names: Names,
        name: str,
        content: dict[str, Any],
        changes: dict[int, late.Changes],
    ) -> None:
        self._http = http
        self._kubelets, self._observer = kubelets, kubelets.observer
        self._names = names
        self._content = content
        self._changes = changes
        self._result = Result(name)
        self._earlier = Earlier()
        self._timing = Timing(kubelets.observer)
        self._watches: list[tuple[dict[str, Any], asyncio.Task[list[str]]]] = []

    async def run(self) -> Result:
        exchanges = self._content.get("exchanges") or []
        loop = asyncio.get_running_loop()
        began, watched_from = loop.time(), len(self._observer.events)
        planned = kubelet_steps(self._content)
        first = min([*(e["t"] for e in exchanges), *(step.seconds for step in planned)], default=0.0)
        last = max((event["t"] for event in self._content.get("watch") or []), default=0.0)
        life = asyncio.ensure_future(self._kubelets.play(planned, began - first))
        for exchange in sorted(exchanges, key=lambda e: (e["t"], e["n"])):
            await asyncio.sleep(max(0.0, began + exchange["t"] - first - loop.time()))
            before = loop.time()
            await self._change(self._changes.get(exchange["n"], late.Changes()))
            await self._exchange(exchange)
            began += max(0.0, loop.time() - before - exchange.get("dt", 0.0))
        for exchange, task in self._watches:
            self._result.count(_label(exchange), await task)
        await self._watched(watched_from, began + last - first + _TOLERANCE_SECONDS)
        life.cancel()
        return self._result

    async def _change(self, change: late.Changes) -> None:
        """Do what nobody was recorded doing."""
        for path, obj in change.created:
            await self._http.call("POST", path, "", obj)
        for path in change.deleted:
            await self._http.call("DELETE", path)

    async def _exchange(self, exchange: dict[str, Any]) -> None:
        reason = scope.reason(self._result.recording, exchange)
        request = exchange["request"]
        if reason:
            self._result.count(_label(exchange), [], reason)
            if request["method"] != "GET":
                await self._send(exchange)
            return
        if exchange["response"].get("events") is not None:
            self._watches.append((exchange, asyncio.ensure_future(self._watch(exchange))))
            await asyncio.sleep(0)
            return
        answer = await self._send(exchange)
        for _ in range(_RETRIES if exchange["response"]["status"] < 300 else 0):
            if answer.status != 409:
                break
            answer = await self._send(exchange)  # a controller wrote between the read of the version and the write
        problems = self._problems(exchange, answer)
        if problems and request["method"] == "GET":
            problems = await self._settled(exchange, problems)
        if problems and self._is_timing(exchange, answer, problems):
            problems = []
        self._earlier.take(exchange)
        if answer.status == exchange["response"]["status"]:
            self._names.learn(self._recorded_body(exchange), answer.body)
        self._result.count(_label(exchange), problems)

    async def _send(self, exchange: dict[str, Any]) -> Answer:
        request = exchange["request"]
        headers = {key: value for key, value in request["headers"].items() if key in _SENT}
        headers.setdefault("Accept", "")
        if "Upgrade" in headers:
            headers |= {"Connection": "Upgrade", **_WEBSOCKET}
        if exchange["response"]["status"] == 304:
            headers["If-None-Match"] = await self._etag(request, headers)
        body = await self._current(exchange, self._request_body(exchange))
        return await self._http.call(
            request["method"],
            self._names.path(request["path"]),
            self._names.query(request.get("query") or ""),
            body,
            content_type=_content_type(request, body),
            headers=headers,
            anonymous="no Authorization" in exchange.get("note", "") or "anonymous" in exchange.get("note", ""),
        )

    async def _etag(self, request: dict[str, Any], headers: dict[str, str]) -> str:
        """The ETag of a document that the client had in its cache, as a 304 says."""
        answer = await self._http.call("GET", request["path"], headers=headers)
        return "".join(answer.headers.get("Etag", []))

    async def _current(self, exchange: dict[str, Any], body: Any) -> Any:
        """A write that succeeded on its resourceVersion was made on the latest one; so it is here."""
        request, status = exchange["request"], exchange["response"]["status"]
        if isinstance(body, list) and status < 300:
            return await self._current_operations(request, body)
        metadata = body.get("metadata") if isinstance(body, dict) else None
        if status >= 300 or request["method"] not in ("PUT", "PATCH") or not isinstance(metadata, dict):
            return body
        if not metadata.get("resourceVersion"):
            return body
        now = await self._http.call("GET", self._names.path(request["path"]))
        if now.status != 200:
            return body
        return {**body, "metadata": {**metadata, "resourceVersion": now.body["metadata"]["resourceVersion"]}}

    async def _current_operations(self, request: dict[str, Any], operations: list[Any]) -> list[Any]:
        """The same for a JSON patch."""
        if not any(operation.get("path") == "/metadata/resourceVersion" for operation in operations):
            return operations
        now = await self._http.call("GET", self._names.path(request["path"]))
        version = now.body["metadata"].get("resourceVersion") if now.status == 200 else None
        return [
            {**operation, "value": version} if operation.get("path") == "/metadata/resourceVersion" else operation
            for operation in operations
        ]

    def _request_body(self, exchange: dict[str, Any]) -> Any:
        request = exchange["request"]
        body = request.get("body")
        if not isinstance(body, str):
            sent = self._names.body(body)
            return with_duplicate(sent, exchange["response"].get("body")) or sent
        if body.startswith("<protobuf"):
            return self._rebuilt(exchange)
        if match := _BULK.match(body):
            return _bulky(exchange, float(match[1]))
        return body

    def _rebuilt(self, exchange: dict[str, Any]) -> Any:
        """What a protobuf body must have said, judged by the answer."""
        request, shown = exchange["request"], exchange["response"].get("body")
        if request["method"] == "DELETE":
            return {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        if request["path"].endswith("/eviction"):
            return {"kind": "Eviction", "apiVersion": "policy/v1", "metadata": {"name": request["path"].split("/")[-2]}}
        if not isinstance(shown, dict) or shown.get("kind") == "Status":
            return {}
        metadata = {k: v for k, v in shown["metadata"].items() if k in ("name", "namespace", "labels", "annotations")}
        sent = {key: value for key, value in shown.items() if key not in ("status", "_reduced")}
        if isinstance(sent.get("data"), dict):
            packed = base64.b64encode(b"packed").decode()
            sent["data"] = {k: packed if _CUT.search(str(v)) else v for k, v in sent["data"].items()}
        return self._names.body({**sent, "metadata": metadata})

    def _recorded_body(self, exchange: dict[str, Any]) -> Any:
        return exchange["response"].get("body")

    def _problems(self, exchange: dict[str, Any], answer: Answer) -> list[str]:
        recorded = exchange["response"]
        found = []
        if answer.status != recorded["status"]:
            found.append(f"status: recorded {recorded['status']}, got {answer.status}: {str(answer.body)[:300]}")
        for name in HEADERS:
            one, other = _header(recorded.get("headers") or {}, name), _header(answer.headers, name)
            if one != other:
                found.append(f"header {name}: recorded {one}, got {other}")
        body = self._expected(exchange)
        if body is None and recorded.get("body") is not None:
            if "body_status" in recorded and isinstance(answer.body, dict):
                found += differences({"status": recorded["body_status"]}, {"status": answer.body.get("status")})
            return found
        return found + differences(body, answer.body)

    def _expected(self, exchange: dict[str, Any]) -> Any:
        """The recorded body; None when it was not recorded and is not known from elsewhere either."""
        body = exchange["response"].get("body")
        if body == SEE_DISCOVERY:
            return discovered(exchange)
        if body == REPEATED:
            return None if _is_played(exchange) else self._earlier.same_as(exchange)
        return None if isinstance(body, str) and _HINT.match(body) else body

    async def _settled(self, exchange: dict[str, Any], problems: list[str]) -> list[str]:
        """Read again until it is equal, if anybody else may still change what is read."""
        if not _is_played(exchange):
            return problems
        loop = asyncio.get_running_loop()
        end = loop.time() + SETTLE_SECONDS
        latest = problems
        while latest and loop.time() < end:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._observer.changed.wait(), 0.2)
            answer = await self._send(exchange)
            latest = self._problems(exchange, answer)
            if latest and self._is_timing(exchange, answer, latest):
                return []
            if not latest:
                self._names.learn(self._recorded_body(exchange), answer.body)
        return latest

    def _is_timing(self, exchange: dict[str, Any], answer: Answer, problems: list[str]) -> bool:
        """Whether only the moment differs at which controllers and the kubelet wrote what is shown."""
        body, shown = self._expected(exchange), answer.body
        path = self._names.path(exchange["request"]["path"])
        if not _is_played(exchange):
            return False
        if (exchange["response"]["status"], answer.status) == (200, 404) and exchange["request"]["method"] == "GET":
            return self._timing.has_gone(path, body)
        if any(problem.startswith(("status:", "header")) for problem in problems):
            return False
        if body is None and "body_status" in exchange["response"] and isinstance(shown, dict):
            body = {**shown, "status": exchange["response"]["body_status"]}
        return self._timing.explains(path, body, shown, is_read=exchange["request"]["method"] == "GET")

    async def _watch(self, exchange: dict[str, Any]) -> list[str]:
        """Open the recorded watch, read as long as it was open, compare its events."""
        request, recorded = exchange["request"], exchange["response"]
        headers = {key: value for key, value in request["headers"].items() if key in ("Accept", "User-Agent")}
        path, query = self._names.path(request["path"]), self._names.query(request.get("query") or "")
        open_seconds = exchange.get("dt", 0.0) + _TOLERANCE_SECONDS
        seen: list[Any] = []
        async with self._http.stream(path, query, headers) as answer:
            if answer.status != recorded["status"]:
                return [f"status: recorded {recorded['status']}, got {answer.status}"]
            reading = asyncio.ensure_future(_collect(answer, seen, exchange.get("dt", 0.0) - _EARLY_SECONDS))
            await asyncio.wait({reading}, timeout=open_seconds)
            problems = await asyncio.to_thread(self._unlike, exchange, list(seen))
            if problems and not reading.done():
                await asyncio.wait({reading}, timeout=SETTLE_SECONDS)
                problems = await asyncio.to_thread(self._unlike, exchange, list(seen))
            reading.cancel()
        self._learn_events(recorded["events"], seen)
        return problems

    def _learn_events(self, recorded: list[Any], seen: list[Any]) -> None:
        """Versions that only a watch tells, such as those of deletions."""
        for one, other in zip(recorded, seen, strict=False):
            if one.get("type") == other.get("type") and one.get("type") != "ERROR":
                self._names.learn(one.get("object"), other.get("object"))

    def _unlike(self, exchange: dict[str, Any], seen: list[Any]) -> list[str]:
        if not _is_played(exchange):
            return stream_differences(exchange["response"]["events"], seen)
        return stream_differences(exchange["response"]["events"], seen, known=self._known(exchange))

    def _known(self, exchange: dict[str, Any]) -> list[Any]:
        """What the observer saw of the objects that a client watches."""
        plural = exchange["request"]["path"].rstrip("/").rpartition("/")[2]
        history = list(self._observer.history.items())
        versions = ((key[0], version) for key, found in history for version in list(found))
        return [version for resource, version in versions if resource == plural]

    async def _watched(self, start: int, until: float) -> None:
        """Compare what the observers of both runs saw of each object."""
        recorded = [event for event in self._content.get("watch") or [] if event["type"] != "MARK"]
        if not recorded:
            return
        reason = scope.reason(self._result.recording, _WATCHED)
        problems: list[tuple[str, list[str]]] = []
        for calm_seconds in (_TOLERANCE_SECONDS, SETTLE_SECONDS):
            await self._observer.quiet(calm_seconds, SETTLE_SECONDS)
            seen = self._observer.events[start:]
            problems = await asyncio.to_thread(watched_differences, recorded, seen, until)
            if not any(found for _, found in problems):
                break
        for label, found in problems:
            self._result.count(f"watch of {label}", found, reason)


_WATCHED: dict[str, Any] = {
    "n": -1,
    "request": {"method": "WATCH", "path": "", "headers": {}},
    "response": {"status": 200},
}


async def _collect(answer: aiohttp.ClientResponse, seen: list[Any], open_seconds: float) -> None:
    """Read the events of a watch until it ends; those after the time that the recorded one was open are late."""
    loop = asyncio.get_running_loop()
    until = loop.time() + open_seconds
    while line := await answer.content.readline():
        seen.append({**json.loads(line), "late": loop.time() > until})


def _bulky(exchange: dict[str, Any], megabytes: float) -> dict[str, Any]:
    """A ConfigMap of a size; its name is told by the refusal."""
    name = (exchange["response"]["body"].get("details") or {}).get("name", "bulky")
    data = {"k": "x" * int(megabytes * 1_000_000)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def _label(exchange: dict[str, Any]) -> str:
    request, note = exchange["request"], exchange.get("note", "")
    query = f"?{request['query']}" if request.get("query") else ""
    return f"#{exchange['n']} {request['method']} {request['path']}{query}" + (f" ({note})" if note else "")


def _is_played(exchange: dict[str, Any]) -> bool:
    """Whether controllers, scheduler or kubelet have a hand in what the path shows."""
    return target_of(exchange["request"]["path"])[0] in _PLAYED


def _content_type(request: dict[str, Any], body: Any) -> str:
    given = str(request["headers"].get("Content-Type") or "application/json")
    rebuilt = "protobuf" in given and not isinstance(body, str)
    return "application/json" if rebuilt else given


def _header(headers: dict[str, Any], name: str) -> list[str]:
    value = headers.get(name) or headers.get(name.title())
    if value is None:
        return []
    return sorted(str(v).replace(" ", "") if name == "Content-Type" else str(v) for v in _listed(value))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
