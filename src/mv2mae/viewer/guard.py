"""Who may talk to the viewer: the page itself, under a name of this machine; nobody else's page in the same browser.

A page from elsewhere can make a browser send requests to this machine. It cannot read the answers (no CORS headers
are sent), but must not get work done or files stored either, and must not read them under a name of its own that it
lets point here (DNS rebinding). So a request must name this machine as its `Host`, and if the browser says where it
comes from (`Origin`, `Sec-Fetch-Site`), that must be the page. And nobody who stops in the middle of a request keeps
others out.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import h11
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from mv2mae.errors import InputError

LOOPBACK = ("localhost", "127.0.0.1", "::1")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
"""A Host header: a name or an address, IPv6 in brackets, and perhaps a port."""
HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """Refuses requests that do not come from the viewer's own page, and gives every answer its safety headers.

    Args:
        app: what answers the others.
        host: the address that the viewer listens on. Unless it is a loopback address, requests may name this machine
            by any address or by its own name too; by no other name.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self.app, self.is_open = app, not is_loopback(host)
        self.names = {*LOOPBACK, host.lower()}
        if self.is_open:
            self.names |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        why = self.refusal(Headers(scope=scope), is_page=scope["path"] == "/")
        answer = self.app if why is None else JSONResponse({"error": why}, status_code=403)
        await answer(scope, receive, send_with_headers)

    def refusal(self, headers: Headers, is_page: bool) -> str | None:
        """Why a request is refused, if it is; the page itself may be opened by a link from anywhere."""
        hosts = headers.getlist("host")
        host = hosts[0] if len(hosts) == 1 else ""
        if not _HOST.fullmatch(host):
            return f"the request's Host header is none: {', '.join(hosts)[:60]!r}"
        name = _name_of(host)
        if not (name in self.names or (self.is_open and _is_address(name))):
            return f"the viewer does not answer to the name {name[:60]!r}"
        if is_page:
            return None
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            return "the request comes from another site"
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return "the request comes from another site"
        return None


def _name_of(host: str) -> str:
    """A Host header without its port and brackets, in lower case; empty if what stands in brackets is no address."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


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
