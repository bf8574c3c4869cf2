"""``serviceaccounts/NAME/token``: a ServiceAccount's token for whoever may ask for one."""

from __future__ import annotations

from aiohttp import web

from cluster.embedded.apiserver.adapter import Adapter
from cluster.embedded.apiserver.authentication.service_accounts import ServiceAccountTokens
from cluster.embedded.apiserver.authorization.reviews import managed_fields
from cluster.embedded.apiserver.bodies import decode_object
from cluster.embedded.apiserver.refusals import bad_request
from cluster.embedded.apiserver.responses import json_response
from cluster.embedded.apiserver.rest import content_type, write_options
from cluster.embedded.apiserver.routes import Route
from cluster.embedded.resources import SERVICE_ACCOUNTS


async def handle(
    request: web.BaseRequest, route: Route, adapter: Adapter, tokens: ServiceAccountTokens
) -> web.Response:
    """POST of a TokenRequest. Raises ApiError."""
    wanted = decode_object(await request.read(), content_type(request), SERVICE_ACCOUNTS, kind="TokenRequest")
    options = write_options(request)
    if not isinstance(wanted.get("spec") or {}, dict):
        raise bad_request("TokenRequest: spec must be an object")
    adapter.require_namespace(route.namespace)
    answered = tokens.request(route.namespace or "", route.name, wanted)
    if options.field_manager:
        answered["metadata"]["managedFields"] = managed_fields(answered, options.field_manager, "token")
    return json_response(answered, 201)
