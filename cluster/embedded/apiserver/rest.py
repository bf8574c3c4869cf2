"""The verbs on collections and objects: what each HTTP method does to a route."""

from __future__ import annotations

from aiohttp import web

from cluster.embedded.apiserver.adapter import Adapter, WriteOptions
from cluster.embedded.apiserver.bodies import decode_delete_options, decode_object, decode_patch, duplicates
from cluster.embedded.apiserver.conversion import storage_of
from cluster.embedded.apiserver.delete_requests import DeleteOptions, delete_one, deletion_warnings
from cluster.embedded.apiserver.lists import check_version, list_page
from cluster.embedded.apiserver.negotiation import Presenter, negotiate
from cluster.embedded.apiserver.refusals import bad_request, invalid, method_not_allowed
from cluster.embedded.apiserver.responses import ITEMS_AT_ONCE, NO_CACHE, error_response, json_response, list_response
from cluster.embedded.apiserver.routes import Route
from cluster.embedded.apiserver.service_accounts import default_account
from cluster.embedded.apiserver.status import undecodable
from cluster.embedded.apiserver.streams import OpenStreams
from cluster.embedded.apiserver.watch import BOOKMARK_PERIOD_SECONDS, Watch, WatchOptions, is_true
from cluster.embedded.client import ApiError
from cluster.embedded.resources import PODS, Object


class Rest:
    """Verbs on the objects of the Registry."""

    def __init__(
        self,
        adapter: Adapter,
        open_streams: OpenStreams,
        *,
        bookmark_period_seconds: float = BOOKMARK_PERIOD_SECONDS,
    ) -> None:
        self._adapter = adapter
        self._open_streams = open_streams
        self._bookmark_period_seconds = bookmark_period_seconds

    async def handle(self, request: web.BaseRequest, route: Route) -> web.StreamResponse:
        """Answer a request for a collection, an object or its status. Raises ApiError."""
        if not route.name:
            return await self._collection(request, route)
        match request.method:
            case "GET":
                return self._get(request, route)
            case "PUT":
                return await self._put(request, route)
            case "PATCH":
                return await self._patch(request, route)
            case "DELETE" if not route.subresource:
                return await self._delete(request, route)
        raise method_not_allowed()

    async def _collection(self, request: web.BaseRequest, route: Route) -> web.StreamResponse:
        match request.method:
            case "GET" if route.watch or is_true(request.query.get("watch")):
                return await self._watch(request, route)
            case "GET":
                return self._list(request, route)
            case "POST" if route.namespace is not None or not route.resource.namespaced:
                return await self._create(request, route)
            case "DELETE" if "deletecollection" in route.resource.verbs:
                return await self._delete_collection(request, route)
        raise method_not_allowed()

    def _get(self, request: web.BaseRequest, route: Route) -> web.Response:
        presenter = _presenter(request, route)
        check_version(self._adapter.registry.store, request.query)
        obj = self._adapter.get(route.resource, route.namespace, route.name)
        return json_response(presenter.one(obj), pretty=is_true(request.query.get("pretty")))

    def _list(self, request: web.BaseRequest, route: Route) -> web.Response:
        query, presenter = request.query, _presenter(request, route)
        selected = self._adapter.selection(
            route.resource, query.get("labelSelector", ""), query.get("fieldSelector", "")
        )
        page = list_page(self._adapter.registry.store, route, selected, query)
        shown, pretty = presenter.many(page.items, page.metadata), is_true(query.get("pretty"))
        if "items" in shown and len(page.items) > ITEMS_AT_ONCE and not pretty:
            return list_response({**shown, "items": []}, shown["items"])
        return json_response(shown, pretty=pretty)

    async def _watch(self, request: web.BaseRequest, route: Route) -> web.StreamResponse:
        query, presenter = request.query, _presenter(request, route)
        options = WatchOptions.of(query)
        selected = self._adapter.selection(
            route.resource, query.get("labelSelector", ""), query.get("fieldSelector", "")
        )
        store = self._adapter.registry.store
        period = self._bookmark_period_seconds
        watch = Watch(
            store, route.resource, route.namespace, selected, options, presenter, bookmark_period_seconds=period
        )
        response = web.StreamResponse(headers={**NO_CACHE, "Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        async with self._open_streams.limit(options.timeout_seconds):
            await watch.run(self._open_streams.writer(request, response))
        await self._open_streams.finish(request, response)
        return response

    async def _create(self, request: web.BaseRequest, route: Route) -> web.Response:
        raw, media, options = await request.read(), content_type(request), write_options(request)
        obj = decode_object(raw, media, route.resource)
        metadata = _metadata(obj)
        _check_namespace(route, metadata)
        _check_duplicates(raw, media, route, options)
        presenter = _presenter(request, route)
        if route.resource is PODS:
            await default_account(self._adapter.registry, route.namespace or "", obj)
        try:
            created = self._adapter.create(route.resource, route.namespace, obj, options)
        except ApiError as error:
            return error_response(error, warnings=options.warnings)
        return json_response(presenter.one(created), 201, warnings=options.warnings)

    async def _put(self, request: web.BaseRequest, route: Route) -> web.Response:
        raw, media, options = await request.read(), content_type(request), write_options(request)
        obj, presenter = decode_object(raw, media, route.resource), _presenter(request, route)
        metadata = _metadata(obj)
        _check_name(route, metadata)
        _check_namespace(route, metadata)
        _check_duplicates(raw, media, route, options)
        existed = self._exists(route)
        try:
            updated = self._adapter.update(route.resource, obj, options, subresource=route.subresource)
        except ApiError as error:
            return error_response(error, warnings=options.warnings)
        return json_response(presenter.one(updated), 200 if existed else 201, warnings=options.warnings)

    async def _patch(self, request: web.BaseRequest, route: Route) -> web.Response:
        patch_type, patch = decode_patch(await request.read(), content_type(request))
        options, existed = write_options(request), True
        if patch_type == "apply":
            existed = self._exists(route)
            _check_apply(request, route, patch)
        try:
            patched = self._adapter.patch(
                route.resource,
                route.namespace,
                route.name,
                patch,
                options,
                patch_type=patch_type,
                subresource=route.subresource,
            )
        except ApiError as error:
            return error_response(error, warnings=options.warnings)
        code = 200 if existed else 201
        return json_response(_presenter(request, route).one(patched), code, warnings=options.warnings)

    async def _delete(self, request: web.BaseRequest, route: Route) -> web.Response:
        options = await delete_options(request)
        answer = delete_one(self._adapter, route.resource, route.namespace, route.name, options)
        return json_response(answer, warnings=deletion_warnings(route.resource, options))

    async def _delete_collection(self, request: web.BaseRequest, route: Route) -> web.Response:
        query, options = request.query, await delete_options(request)
        selected = self._adapter.selection(
            route.resource, query.get("labelSelector", ""), query.get("fieldSelector", "")
        )
        store = self._adapter.registry.store
        items = [obj for obj in store.list(storage_of(route.resource), route.namespace) if selected(obj)]
        for obj in items:
            metadata = obj["metadata"]
            delete_one(self._adapter, route.resource, metadata.get("namespace"), metadata["name"], options)
        listed = Presenter(route.resource).many(items, {"resourceVersion": str(store.version)})
        return json_response(listed)

    def _exists(self, route: Route) -> bool:
        return self._adapter.exists(route.resource, route.namespace, route.name)


def content_type(request: web.BaseRequest) -> str:
    """The media type of the body without parameters, empty when none was named."""
    return request.headers.get("Content-Type", "").split(";", 1)[0].strip().lower()


def write_options(request: web.BaseRequest) -> WriteOptions:
    """The options of a write."""
    return WriteOptions.of(request.query, request.headers.get("User-Agent", ""))


async def delete_options(request: web.BaseRequest) -> DeleteOptions:
    """The options of a DELETE, from its body or its query. Raises ApiError."""
    body = decode_delete_options(await request.read(), content_type(request))
    return DeleteOptions.of(body, request.query)


def _presenter(request: web.BaseRequest, route: Route) -> Presenter:
    form = negotiate(request.headers.get("Accept", ""))
    return Presenter(route.resource, form, request.query.get("includeObject", "Metadata"))


def _metadata(obj: Object) -> Object:
    metadata = obj.setdefault("metadata", {}) or {}
    if not isinstance(metadata, dict):
        raise bad_request("json: cannot unmarshal metadata into Go value of type v1.ObjectMeta")
    obj["metadata"] = metadata
    return metadata


def _check_duplicates(raw: bytes, media: str, route: Route, options: WriteOptions) -> None:
    """Keys that are there twice are refused or warned of, as fieldValidation says. Raises ApiError 400."""
    found = duplicates(raw, media) if options.field_validation != "Ignore" else []
    if found and options.field_validation == "Strict":
        raise undecodable(route.resource, "strict decoding error: " + ", ".join(found))
    options.warnings.extend(found)


def _check_namespace(route: Route, metadata: Object) -> None:
    """The namespace of the URL goes into the object; another one in the object is refused."""
    if route.namespace is None:
        metadata.pop("namespace", None)
        return
    if metadata.get("namespace") not in (None, "", route.namespace):
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    metadata["namespace"] = route.namespace


def _check_name(route: Route, metadata: Object) -> None:
    name = metadata.get("name") or ""
    if name != route.name:
        raise name_mismatch(name, route.name)


def name_mismatch(in_object: str, in_url: str) -> ApiError:
    """400: body and URL name different objects."""
    return bad_request(f"the name of the object ({in_object}) does not match the name on the URL ({in_url})")


def _check_apply(request: web.BaseRequest, route: Route, patch: Object) -> None:
    if not request.query.get("fieldManager"):
        problem = "Required value: is required for apply patch"
        raise invalid("PatchOptions", "meta.k8s.io", "", "fieldManager", "FieldValueRequired", problem)
    metadata = _metadata(patch)
    metadata.setdefault("name", route.name)
    _check_namespace(route, metadata)
