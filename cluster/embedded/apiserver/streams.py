"""Long answers (watches, followed logs, commands): each has a deadline, and all end when the server stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class OpenStreams:
    """The streams that are being answered now."""

    def __init__(self) -> None:
        self._deadlines: set[asyncio.Timeout] = set()

    @asynccontextmanager
    async def limit(self, seconds: float) -> AsyncIterator[None]:
        """Leave the block quietly after so many seconds, or when the server stops."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds) as deadline:
                self._deadlines.add(deadline)
                try:
                    yield
                finally:
                    self._deadlines.discard(deadline)

    def end_all(self) -> None:
        """End every open stream, as if its time were up."""
        now = asyncio.get_running_loop().time()
        for deadline in self._deadlines:
            deadline.reschedule(now)
