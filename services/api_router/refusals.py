"""Everything the router answers by itself instead of a backend, in one place.

| code | status | outcome | when |
|---|---|---|---|
| AUTH_INVALID | 401 | client_error | no API key, or a wrong one |
| INVALID_REQUEST | 400 | client_error | the body is no JSON object |
| MISSING_FIELD | 400 | client_error | it names no model |
| REQUEST_TOO_LARGE | 413 | client_error | it is larger than the limit |
| NOT_FOUND | 404 | client_error | the model is not registered in this environment |
| MODEL_DISABLED | 503 | refused | it is registered and disabled |
| MODEL_NOT_READY | 503 | error | it is registered in another status than ready |
| REGISTRY_UNAVAILABLE | 503 | error | it is not cached, and the registry does not answer |
| BACKEND_UNAVAILABLE | 503 | error | no backend accepts a connection |
| BACKEND_ERROR | 502 | error | the backend answered 5xx or broke the connection before it answered |
| BACKEND_TIMEOUT | 504 | error | the backend did not begin to answer in time |
| INTERNAL_ERROR | 500 | error | a defect of the router |
"""

from __future__ import annotations

from typing import Literal

from aiohttp import web

Outcome = Literal["success", "client_error", "refused", "error", "stream_cut"]
OUTCOMES: tuple[Outcome, ...] = ("success", "client_error", "refused", "error", "stream_cut")

Code = Literal[
    "AUTH_INVALID",
    "INVALID_REQUEST",
    "MISSING_FIELD",
    "REQUEST_TOO_LARGE",
    "NOT_FOUND",
    "MODEL_DISABLED",
    "MODEL_NOT_READY",
    "REGISTRY_UNAVAILABLE",
    "BACKEND_UNAVAILABLE",
    "BACKEND_ERROR",
    "BACKEND_TIMEOUT",
    "INTERNAL_ERROR",
]

_MEANINGS: dict[Code, tuple[int, Outcome]] = {
    "AUTH_INVALID": (401, "client_error"),
    "INVALID_REQUEST": (400, "client_error"),
    "MISSING_FIELD": (400, "client_error"),
    "REQUEST_TOO_LARGE": (413, "client_error"),
    "NOT_FOUND": (404, "client_error"),
    "MODEL_DISABLED": (503, "refused"),
    "MODEL_NOT_READY": (503, "error"),
    "REGISTRY_UNAVAILABLE": (503, "error"),
    "BACKEND_UNAVAILABLE": (503, "error"),
    "BACKEND_ERROR": (502, "error"),
    "BACKEND_TIMEOUT": (504, "error"),
    "INTERNAL_ERROR": (500, "error"),
}


class Refusal(Exception):
    """The router answers by itself: ``{error, code, trace_id}``."""

    def __init__(self, code: Code, problem: str) -> None:
        super().__init__(problem)
        self.code = code
        self.problem = problem
        self.status, self.outcome = _MEANINGS[code]

    def response(self, trace_id: str) -> web.Response:
        """The answer to the client."""
        return web.json_response({"error": self.problem, "code": self.code, "trace_id": trace_id}, status=self.status)
