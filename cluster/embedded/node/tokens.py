"""Tokens of ServiceAccounts for the pods of a node, as the kubelet asks for them, keeps them and renews them.

(Kubernetes documentation: "Managing Service Accounts", bound service account token volumes.)
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from cluster.embedded.client import ApiClient
from cluster.embedded.node import podspec
from cluster.embedded.resources import SERVICE_ACCOUNTS, Object

_DEFAULT_SECONDS = 3600
_RENEWED_AFTER = 0.8
_LONGEST_USE_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class _Held:
    token: str
    renew_at: float


class PodTokens:
    """The tokens of one node's pods.

    Args:
        client: the API.
        clock: monotonic seconds.
    """

    def __init__(self, client: ApiClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._held: dict[str, dict[tuple[str, int], _Held]] = {}

    async def get(self, pod: Object, source: Object) -> bytes:
        """The token of a ``serviceAccountToken`` source of a pod's volume, a new one when it is time. Raises ApiError.

        A token is renewed when 80 % of its life, or a day, is over.
        """
        wanted = (str(source.get("audience") or ""), int(source.get("expirationSeconds") or _DEFAULT_SECONDS))
        of_pod = self._held.setdefault(podspec.uid(pod), {})
        held = of_pod.get(wanted)
        if held is None or self._clock() >= held.renew_at:
            held = of_pod[wanted] = await self._request(pod, *wanted)
        return held.token.encode()

    def due(self, pod: Object) -> bool:
        """Whether a token of the pod has to be renewed."""
        return any(self._clock() >= held.renew_at for held in self._held.get(podspec.uid(pod), {}).values())

    def forget(self, pod: Object) -> None:
        """The pod is gone."""
        self._held.pop(podspec.uid(pod), None)

    async def _request(self, pod: Object, audience: str, seconds: int) -> _Held:
        asked_at = self._clock()
        bound = {"apiVersion": "v1", "kind": "Pod", "name": podspec.name(pod), "uid": podspec.uid(pod)}
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "metadata": {
                "name": pod["spec"].get("serviceAccountName") or "default",
                "namespace": podspec.namespace(pod),
            },
            "spec": {
                "audiences": [audience] if audience else [],
                "expirationSeconds": seconds,
                "boundObjectRef": bound,
            },
        }
        answered = await self._client.create(SERVICE_ACCOUNTS, request, subresource="token")
        life_seconds = float(answered["spec"].get("expirationSeconds") or seconds)
        use_seconds = min(life_seconds * _RENEWED_AFTER, _LONGEST_USE_SECONDS)
        return _Held(answered["status"]["token"], asked_at + use_seconds)
