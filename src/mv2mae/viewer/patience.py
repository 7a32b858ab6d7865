"""How long the viewer waits for what a browser sends: nobody who stops in the middle keeps others out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from mv2mae.errors import InputError

IDLE_SECONDS, UPLOAD_SECONDS, HEAD_SECONDS = 20.0, 900.0, 15.0
"""Without a byte; for a whole upload; for the head of a request."""


async def in_time(
    chunks: AsyncIterator[bytes], *, idle: float | None = None, total: float | None = None
) -> AsyncIterator[bytes]:
    """What is sent, as long as it comes.

    Args:
        chunks: parts of a request.
        idle: seconds to wait for each part; None = `IDLE_SECONDS`.
        total: seconds for all of them; None = `UPLOAD_SECONDS`.

    Raises:
        InputError: nothing came for too long, or all of it takes too long.
    """
    idle, loop = IDLE_SECONDS if idle is None else idle, asyncio.get_running_loop()
    end = loop.time() + (UPLOAD_SECONDS if total is None else total)
    while True:
        try:
            chunk = await asyncio.wait_for(anext(chunks), max(0.0, min(idle, end - loop.time())))
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            why = f"nothing came for {idle:g} seconds" if loop.time() < end else "it takes too long"
            raise InputError(f"the request was given up: {why}; try again") from error
        yield chunk


class ImpatientProtocol(H11Protocol):
    """uvicorn's, which hangs up on who opens a connection and never says the whole of what he wants."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """A connection that says nothing is half a request too."""
        super().connection_made(transport)
        self._mind_head()

    def data_received(self, data: bytes) -> None:
        """Wait for the rest of a head, but not for ever."""
        super().data_received(data)
        self._mind_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing to wait for any more."""
        self._forget()
        super().connection_lost(exc)

    def _mind_head(self) -> None:
        if self.conn.their_state is not h11.IDLE:  # the head is there
            self._forget()
        elif self._waiting is None:
            self._waiting = self.loop.call_later(HEAD_SECONDS, self._hang_up)

    def _forget(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _hang_up(self) -> None:
        self._waiting = None
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.close()
