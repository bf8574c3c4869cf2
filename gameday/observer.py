"""The harness's own eyes: how many pods of the release are Ready, independent of what the remediation says."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kubernetes import client, config, watch
from urllib3.exceptions import HTTPError

from gameday.evidence import PodCount
from gameday.timeline import Timeline

LIST_SECONDS = 10.0
_INSTANCE = "app.kubernetes.io/instance"


def kubernetes_client(kubeconfig: Path) -> client.ApiClient:
    """An API client of its own for one thread."""
    api: client.ApiClient = config.new_client_from_config(config_file=str(kubeconfig))
    return api


class ReleaseObserver:
    """Follows the pods and the Deployment of one release by watches, in threads of its own.

    Args:
        on_change: called with every new count.
    """

    def __init__(
        self,
        kubeconfig: Path,
        namespace: str,
        release: str,
        timeline: Timeline,
        on_change: Callable[[PodCount], None] = lambda _: None,
    ) -> None:
        self.counts: list[PodCount] = []
        self._kubeconfig = kubeconfig
        self._namespace = namespace
        self._selector = f"{_INSTANCE}={release}"
        self._timeline = timeline
        self._on_change = on_change
        self._pods: dict[str, Any] = {}
        self._deployments: dict[str, Any] = {}
        self._replica_sets: dict[str, Any] = {}
        self._listed: set[int] = set()
        self._lock = threading.Condition()
        self._stopping = threading.Event()
        self._watches: list[watch.Watch] = []
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to follow."""
        api = kubernetes_client(self._kubeconfig)
        core, apps = client.CoreV1Api(api), client.AppsV1Api(api)
        for lister, cache in (
            (core.list_namespaced_pod, self._pods),
            (apps.list_namespaced_deployment, self._deployments),
            (apps.list_namespaced_replica_set, self._replica_sets),
        ):
            thread = threading.Thread(target=self._follow, args=(lister, cache), daemon=True, name="observer")
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Stop following; what was seen stays."""
        self._stopping.set()
        for one in self._watches:
            one.stop()

    def wait_until(self, condition: Callable[[PodCount], bool], *, timeout_seconds: float) -> bool:
        """Wait until the latest count satisfies a condition; False when the time ran out."""
        with self._lock:
            return self._lock.wait_for(lambda: bool(self.counts) and condition(self.counts[-1]), timeout_seconds)

    def pods(self) -> list[Any]:
        """The pods as last seen (API objects as dictionaries)."""
        with self._lock:
            return list(self._pods.values())

    def deployment_names(self) -> tuple[str, ...]:
        """The release's own Deployments."""
        with self._lock:
            return tuple(self._deployments)

    def _follow(self, lister: Callable[..., Any], cache: dict[str, Any]) -> None:
        while not self._stopping.is_set():
            one = watch.Watch()
            self._watches.append(one)
            try:
                version = self._relist(lister, cache)
                for event in one.stream(
                    lister,
                    self._namespace,
                    label_selector=self._selector,
                    resource_version=version,
                    timeout_seconds=60,
                    deserialize=False,
                    _request_timeout=65,
                ):
                    self._apply(cache, event["type"], event["object"])
                    if self._stopping.is_set():
                        return
            except (client.ApiException, HTTPError, OSError, KeyError) as error:  # KeyError: an ERROR event, list again
                if self._stopping.wait(0.2):
                    return
                self._timeline.add("run", "watch-broke", error=str(error)[:200])
            finally:
                self._watches.remove(one)

    def _relist(self, lister: Callable[..., Any], cache: dict[str, Any]) -> str:
        """Fill a cache from a list; returns the resourceVersion to watch from."""
        answer = lister(
            self._namespace, label_selector=self._selector, _preload_content=False, _request_timeout=LIST_SECONDS
        )
        listed = json.loads(answer.data)
        with self._lock:
            cache.clear()
            cache.update({item["metadata"]["name"]: item for item in listed["items"]})
            self._listed.add(id(cache))
        self._recount()
        return str(listed["metadata"]["resourceVersion"])

    def _apply(self, cache: dict[str, Any], kind: str, obj: dict[str, Any]) -> None:
        with self._lock:
            if kind == "DELETED":
                cache.pop(obj["metadata"]["name"], None)
            elif kind in ("ADDED", "MODIFIED"):
                cache[obj["metadata"]["name"]] = obj
        self._recount()

    def _recount(self) -> None:
        """Keep the count when it changed, and wake who waits."""
        with self._lock:
            count = self._count()
            last = self.counts[-1] if self.counts else None
            changed = count is not None and (last is None or (last.ready, last.desired) != (count.ready, count.desired))
            if count is not None and changed:
                self.counts.append(count)
            self._lock.notify_all()
        if count is not None and changed:
            self._timeline.add("pods", "count", at_seconds=count.at_seconds, ready=count.ready, desired=count.desired)
            self._on_change(count)

    def _count(self) -> PodCount | None:
        if len(self._listed) < 3 or len(self._deployments) != 1:
            return None
        deployment = next(iter(self._deployments.values()))
        owned = {name for name, rs in self._replica_sets.items() if _owner(rs) == deployment["metadata"]["uid"]}
        ready = sum(_owner_name(pod) in owned and is_ready(pod) for pod in self._pods.values())
        return PodCount(time.monotonic(), ready, int(deployment["spec"].get("replicas", 1)))


def is_ready(pod: dict[str, Any]) -> bool:
    """Ready and not on its way out."""
    if pod["metadata"].get("deletionTimestamp"):
        return False
    conditions = pod.get("status", {}).get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _owner(obj: dict[str, Any]) -> str:
    return next((o["uid"] for o in obj["metadata"].get("ownerReferences") or [] if o.get("controller")), "")


def _owner_name(obj: dict[str, Any]) -> str:
    return next((o["name"] for o in obj["metadata"].get("ownerReferences") or [] if o.get("controller")), "")
