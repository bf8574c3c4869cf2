"""What the HTTP services share: where to listen, and how to stop without dropping requests.

Settings come from the environment, as in a pod. A problem with them ends the process with exit code 2 and one
line, before anything listens.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from aiohttp import web

from clients.errors import EnvironmentUnusable, GamedayError, InputError

logger = logging.getLogger(__name__)

TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS = frozenset({"0", "false", "no", "off"})


def listen_host(environment: Mapping[str, str]) -> str:
    """The address to bind: ``HOST``, else every address of the pod, else loopback alone outside of pods."""
    if host := environment.get("HOST", ""):
        return host
    return "0.0.0.0" if environment.get("POD_IP") else "127.0.0.1"


def listen_port(environment: Mapping[str, str], default: int) -> int:
    """The port to bind: ``HTTP_PORT`` (0 picks a free one), else ``default``.

    Raises:
        InputError: it is no port number.
    """
    port = integer(environment, "HTTP_PORT", default)
    if not 0 <= port <= 65535:
        raise InputError(f"{port} is no port", where="HTTP_PORT", remedy="use 0 to 65535")
    return port


def integer(environment: Mapping[str, str], name: str, default: int) -> int:
    """A whole number from the environment.

    Raises:
        InputError: the variable holds something else.
    """
    text = environment.get(name, "")
    try:
        return int(text) if text else default
    except ValueError:
        raise InputError(f"{text!r} is no whole number", where=name, remedy="set a number") from None


def seconds(environment: Mapping[str, str], name: str, default: float) -> float:
    """A duration in seconds from the environment.

    Raises:
        InputError: the variable holds no number, or a negative one.
    """
    text = environment.get(name, "")
    try:
        value = float(text) if text else default
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise InputError(f"{text!r} is no duration", where=name, remedy="set seconds, for example 2.5")
    return value


def switch(environment: Mapping[str, str], name: str, default: bool) -> bool:
    """A yes or no from the environment.

    Raises:
        InputError: the variable holds something else.
    """
    text = environment.get(name, "").strip().lower()
    if not text:
        return default
    if text not in TRUE_WORDS | FALSE_WORDS:
        raise InputError(f"{text!r} is neither true nor false", where=name, remedy="set true or false")
    return text in TRUE_WORDS


async def serve(
    runner: web.AppRunner, host: str, port: int, *, before_stop: Callable[[], Awaitable[None]] | None = None
) -> None:
    """Serves until SIGTERM or SIGINT, then finishes the requests under way.

    Args:
        runner: the application; its ``shutdown_timeout`` bounds how long requests under way may take.
        host: address to bind.
        port: port to bind; 0 picks a free one. The port is logged once it listens.
        before_stop: runs after the signal and before the listener closes, for a service that first has to
            tell others that it leaves.

    Raises:
        EnvironmentUnusable: the address cannot be bound.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await runner.setup()
    try:
        await _listen(runner, host, port)
        await stop.wait()
        logger.info("stopping: finishing the requests under way")
        if before_stop:
            await before_stop()
    finally:
        await runner.cleanup()
    logger.info("stopped")


async def _listen(runner: web.AppRunner, host: str, port: int) -> None:
    site = web.TCPSite(runner, host, port, backlog=1024)
    try:
        await site.start()
    except OSError as error:
        raise EnvironmentUnusable(
            f"cannot listen: {error.strerror or error}",
            where=f"{host}:{port}",
            remedy="free the port or set HTTP_PORT",
        ) from error
    address = runner.addresses[0]
    logger.info("listening on %s:%d", address[0], address[1])


def run_service(service: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Runs a service to its end and returns the exit code: 0 stopped as asked, 2 could not run."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        asyncio.run(service())
    except GamedayError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0
