"""Requests to backends: a new connection for each, one more try while nothing has been sent."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import aiohttp
from yarl import URL

from services.api_router.directory import Route
from services.api_router.metrics import RouterMetrics
from services.api_router.refusals import Code, Refusal

ATTEMPTS = 2
DNS_CACHE_SECONDS = 5
NOT_FORWARDED = ("User-Agent", "Accept-Encoding", "Accept")


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a backend may take, in seconds: to accept a connection, to begin its answer, between two chunks."""

    connect_seconds: float = 2.0
    first_byte_seconds: float = 30.0
    idle_seconds: float = 30.0


class Backends:
    """Opens answers of backends. A Service in front of them balances connections, so none is used twice."""

    def __init__(self, limits: Limits, metrics: RouterMetrics) -> None:
        self._limits = limits
        self._metrics = metrics
        self._connector = aiohttp.TCPConnector(
            limit=0, force_close=True, ttl_dns_cache=DNS_CACHE_SECONDS, resolver=aiohttp.ThreadedResolver()
        )
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            auto_decompress=False,
            skip_auto_headers=NOT_FORWARDED,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=limits.connect_seconds, sock_read=limits.idle_seconds
            ),
        )

    async def open(self, route: Route, path: str, body: bytes, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        """The backend's answer, its body not read yet; the caller closes it.

        Raises:
            Refusal: there is no answer.
        """
        try:
            async with asyncio.timeout(self._limits.first_byte_seconds):
                return await self._connected(route, path, body, headers)
        except TimeoutError:
            raise self._failed(route, "timeout", "BACKEND_TIMEOUT", "did not begin to answer in time") from None
        except (aiohttp.ClientError, OSError) as error:
            problem = f"broke the connection: {str(error) or type(error).__name__}"
            raise self._failed(route, "reset", "BACKEND_ERROR", problem) from error

    async def close(self) -> None:
        """Closes its connections."""
        await self._session.close()

    async def _connected(
        self, route: Route, path: str, body: bytes, headers: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        problem: Exception | None = None
        for _ in range(ATTEMPTS):
            try:
                return await self._session.post(
                    _url(route.endpoint, path), data=body, headers=headers, allow_redirects=False
                )
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
                problem = error
                self._metrics.backend_errors.labels(route.model, "connect").inc()
                self._connector.clear_dns_cache()
            except (aiohttp.InvalidURL, ValueError) as error:
                problem = error
                break
        raise Refusal("BACKEND_UNAVAILABLE", f"no backend of {route.model} accepts a connection: {problem}")

    def _failed(self, route: Route, error_type: str, code: Code, problem: str) -> Refusal:
        self._metrics.backend_errors.labels(route.model, error_type).inc()
        return Refusal(code, f"backend {route.endpoint} {problem}")


@lru_cache(maxsize=256)
def _url(endpoint: str, path: str) -> URL:
    return URL(f"http://{endpoint}{path}")
