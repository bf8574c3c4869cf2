"""What only happens between machines: lost versions, servers that are away, wrong credentials."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import pytest
from aiohttp import web

from clients.errors import InputError
from cluster.embedded.client import ApiError
from cluster.embedded.http_client import HttpClient
from cluster.embedded.kubeconfig import Credentials
from cluster.embedded.resources import CONFIG_MAPS, SERVICE_ACCOUNTS
from cluster.embedded.store import Store
from tests.cluster.envtest.test_both_transports_keep_one_contract import config_map, served

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def run(work: Awaitable[None]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(20):
            await work

    asyncio.run(limited())


async def against(handler: Handler, work: Callable[[HttpClient], Awaitable[None]], **options: float) -> None:
    """Run something against a server that answers as the handler says."""
    runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with HttpClient(Credentials(f"http://127.0.0.1:{runner.addresses[0][1]}"), **options) as client:
            await work(client)
    finally:
        await runner.cleanup()


def test_a_version_that_is_forgotten_is_410(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path, Store(log_size=4)) as (_, credentials, _), HttpClient(credentials) as client:
            for number in range(10):
                await client.create(CONFIG_MAPS, config_map(f"c{number}"))
            with pytest.raises(ApiError) as gone:
                async with aclosing(client.watch(CONFIG_MAPS, resource_version="1")) as events:  # type: ignore[type-var]
                    async for _ in events:
                        pass
            assert gone.value.code == 410

    run(scenario())


def test_a_watch_that_ends_goes_on_from_the_last_bookmark() -> None:
    asked: list[str] = []

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        asked.append(request.query["resourceVersion"])
        event = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": f"{10 * len(asked)}"}}}
        if len(asked) == 3:
            event = {"type": "ADDED", "object": {"metadata": {"resourceVersion": "99", "name": "new"}}}
        return web.Response(text=json.dumps(event) + "\n")

    async def work(client: HttpClient) -> None:
        async with aclosing(client.watch(CONFIG_MAPS, resource_version="5")) as events:  # type: ignore[type-var]
            event = await anext(aiter(events))
        assert (event.type, event.object["metadata"]["name"]) == ("ADDED", "new")
        assert asked == ["5", "10", "20"]

    run(against(handler, work))


def test_a_server_that_is_away_or_silent_is_an_api_error() -> None:
    async def silent(request: web.BaseRequest) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async def work(client: HttpClient) -> None:
        with pytest.raises(ApiError) as late:
            await client.get(CONFIG_MAPS, "one", "default")
        assert late.value.code == 504

    run(against(silent, work, request_seconds=0.2))

    async def away() -> None:
        async with HttpClient(Credentials("http://127.0.0.1:1")) as client:
            with pytest.raises(ApiError) as refused:
                await client.get(CONFIG_MAPS, "one", "default")
            assert refused.value.code == 503

    run(away())


def test_a_busy_server_is_asked_again_and_text_is_an_error_too() -> None:
    answers = [
        web.Response(status=429, headers={"Retry-After": "0"}, text="busy"),
        web.Response(status=502, text="bad gateway"),
    ]

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return answers.pop(0)

    async def work(client: HttpClient) -> None:
        with pytest.raises(ApiError) as failed:
            await client.get(CONFIG_MAPS, "one", "default")
        assert (failed.value.code, str(failed.value)) == (502, "bad gateway")
        assert not answers

    run(against(handler, work))


def test_a_wrong_token_is_401_and_an_account_s_token_is_asked_for(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as (_, credentials, _):
            wrong = Credentials(credentials.server, credentials.ca_pem, "wrong")
            async with HttpClient(wrong) as client:
                with pytest.raises(ApiError) as refused:
                    await client.list(CONFIG_MAPS)
                assert refused.value.code == 401
            async with HttpClient(credentials) as client:
                account = {"metadata": {"name": "robot", "namespace": "default"}}
                await client.create(SERVICE_ACCOUNTS, account)
                issued = await client.create(SERVICE_ACCOUNTS, {**account, "spec": {}}, subresource="token")
            async with HttpClient(
                Credentials(credentials.server, credentials.ca_pem, issued["status"]["token"])
            ) as robot:
                with pytest.raises(ApiError) as forbidden:
                    await robot.list(CONFIG_MAPS)
                assert forbidden.value.code == 403
                assert "system:serviceaccount:default:robot" in str(forbidden.value)

    run(scenario())


def test_a_server_of_another_authority_is_not_talked_to(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as (_, credentials, _), HttpClient(Credentials(credentials.server)) as client:
            with pytest.raises(ApiError, match="certificate verify failed"):
                await client.list(CONFIG_MAPS)

    run(scenario())


def test_a_kubeconfig_may_name_files_and_holds_one_context_of_many(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-file\n")
    entry = {"server": "https://127.0.0.1:1/", "certificate-authority-data": base64.b64encode(b"PEM").decode()}
    config = {
        "clusters": [{"name": "c", "cluster": entry}],
        "users": [{"name": "u", "user": {"tokenFile": "token"}}, {"name": "e", "user": {"exec": {"command": "x"}}}],
        "contexts": [
            {"name": "one", "context": {"cluster": "c", "user": "u"}},
            {"name": "two", "context": {"cluster": "c", "user": "e"}},
        ],
        "current-context": "one",
    }
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config))
    assert Credentials.load(path) == Credentials("https://127.0.0.1:1", "PEM", "from-file")
    for context, problem in (("two", "'exec'"), ("three", "no entry 'three'")):
        with pytest.raises(InputError, match=problem):
            Credentials.load(path, context)
    assert isinstance(Credentials("https://x").ssl_context(), ssl.SSLContext)
