"""JSON over HTTP with the standard library: what the registry and router clients share."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any

from clients.errors import DeadlineExceeded, EnvironmentUnusable, InputError

# Proxies of the machine are for the outside world; a cluster's addresses are never reached through one.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered, whatever the status; header names are case-insensitive."""

    status: int
    headers: Message
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; an empty one when it is none."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


def check_base_url(url: str, *, where: str) -> str:
    """The URL without a trailing slash.

    Raises:
        InputError: it is no http or https URL.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise InputError(f"{url!r} is no URL", where=where, remedy="use http://HOST:PORT")
    return url.rstrip("/")


def call(
    method: str,
    url: str,
    *,
    body: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_seconds: float,
) -> Answer:
    """Sends one request and reads the whole answer, whatever its status.

    Args:
        method: HTTP method.
        url: http or https URL.
        body: sent as JSON when given.
        headers: added to the request.
        timeout_seconds: how long connecting, and each read, may take.

    Raises:
        EnvironmentUnusable: nobody answers at that address, or the connection broke.
        DeadlineExceeded: the answer did not come in time.
    """
    data = None if body is None else json.dumps(body).encode()
    content_type = {"Content-Type": "application/json"} if data is not None else {}
    request = urllib.request.Request(  # noqa: S310 - check_base_url allows http and https alone
        url, data=data, method=method, headers={**content_type, **(headers or {})}
    )
    try:
        with _opener.open(request, timeout=timeout_seconds) as response:
            return Answer(response.status, response.headers, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read())
    except TimeoutError as error:
        raise _late(url, timeout_seconds) from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise _late(url, timeout_seconds) from error
        raise EnvironmentUnusable(
            f"cannot be reached: {error.reason}", where=url, remedy="check that it runs"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise EnvironmentUnusable(f"broke the connection: {error!r}", where=url, remedy="check that it runs") from error


def _late(url: str, timeout_seconds: float) -> DeadlineExceeded:
    return DeadlineExceeded(f"did not answer within {timeout_seconds:g} s", where=url, remedy="check that it runs")
