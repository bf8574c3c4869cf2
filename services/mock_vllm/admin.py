"""The fault port: `GET /faults` tells what is broken, `PUT /faults` replaces it. Real vLLM has no such port."""

from __future__ import annotations

import hmac

from aiohttp import web

from clients.errors import InputError
from services.mock_vllm.faults import Faults, FaultSwitch
from services.mock_vllm.logs import API


def build_admin_app(faults: FaultSwitch, token: str) -> web.Application:
    """The application of the admin port.

    Args:
        faults: what is switched.
        token: `Authorization: Bearer` of changes; when empty nobody may change anything.
    """

    async def read(_: web.Request) -> web.Response:
        return web.json_response(faults.current.as_mapping())

    async def replace(request: web.Request) -> web.Response:
        if not _allowed(request, token):
            return web.json_response({"error": "a change needs MOCK_VLLM_ADMIN_TOKEN as bearer token"}, status=401)
        try:
            wanted = Faults.parse(await request.read())
        except InputError as error:
            return web.json_response({"error": str(error)}, status=400)
        API.warning("Faults are now %s", wanted)
        faults.set(wanted)
        return await read(request)

    app = web.Application()
    app.router.add_get("/faults", read)
    app.router.add_put("/faults", replace)
    return app


def _allowed(request: web.Request, token: str) -> bool:
    given = request.headers.get("Authorization", "")
    return bool(token) and hmac.compare_digest(given.encode(), f"Bearer {token}".encode())
