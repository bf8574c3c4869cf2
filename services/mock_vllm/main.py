"""Placeholder server."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import time

from aiohttp import web


def main(argv: list[str] | None = None) -> None:
    p = argparse.ArgumentParser()
    p.add_argument("--model")
    p.add_argument("--served-model-name")
    p.add_argument("--host", default="0.0.0.0")
    p.add_argument("--port", type=int, default=8000)
    p.add_argument("--shutdown-timeout", type=float, default=0)
    o, _ = p.parse_known_args(argv)
    asyncio.run(serve(o))


async def serve(o: argparse.Namespace) -> None:
    mib = int(os.environ.get("MOCK_VLLM_WEIGHTS", "64Mi").removesuffix("Mi"))
    print("Starting to load model", o.model, file=sys.stderr, flush=True)
    weights = []
    for _ in range(mib // 4):
        b = bytearray(4 << 20)
        b[::4096] = b"x" * len(b[::4096])
        weights.append(b)
        await asyncio.sleep(float(os.environ.get("MOCK_VLLM_LOAD_SECONDS", "1")) / (mib // 4))
    name = o.served_model_name or o.model

    async def health(_: web.Request) -> web.Response:
        return web.Response()

    async def complete(r: web.Request) -> web.StreamResponse:
        body = await r.json()
        h = {"X-Served-By": os.environ.get("HOSTNAME", "")}
        if body.get("model") != name:
            return web.json_response({"error": {"message": "The model does not exist."}}, status=404, headers=h)
        n = int(body.get("max_tokens") or 16)
        await asyncio.sleep(0.03)
        if not body.get("stream"):
            await asyncio.sleep(n * 0.01)
            return web.json_response({"choices": [{"text": "x " * n}], "usage": {"completion_tokens": n}}, headers=h)
        s = web.StreamResponse(headers={**h, "Content-Type": "text/event-stream"})
        await s.prepare(r)
        for _ in range(n):
            await asyncio.sleep(0.01)
            await s.write(b"data: " + json.dumps({"choices": [{"text": "x"}]}).encode() + b"\n\n")
        await s.write(b"data: [DONE]\n\n")
        return s

    app = web.Application()
    app.add_routes(
        [web.get("/health", health), web.post("/v1/completions", complete), web.post("/v1/chat/completions", complete)]
    )
    runner = web.AppRunner(app, shutdown_timeout=o.shutdown_timeout, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, o.host, o.port).start()
    print("Application startup complete.", time.time(), file=sys.stderr, flush=True)
    stop = asyncio.Event()
    for sig in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sig, stop.set)
    await stop.wait()
    await runner.cleanup()


if __name__ == "__main__":
    main()
