"""The viewer over HTTP: a page, requests as JSON, answers as JSON with arrays behind it."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from mv2mae.errors import InputError
from mv2mae.text import counted
from mv2mae.viewer.guard import Guard, ImpatientProtocol, in_time, is_loopback
from mv2mae.viewer.requests import read_clip, read_look, read_masks, read_token, read_weighting
from mv2mae.viewer.session import Answer, Session

PAGE = Path(__file__).parent / "page"
MAX_REQUEST_BYTES, MAX_ABOUT, MAX_CONNECTIONS = 2**20, 4096, 64
_ALIGN = 8

Values = dict[str, Any]
Part = TypeVar("Part")


def application(session: Session, host: str = "127.0.0.1") -> Guard:
    """The viewer as an ASGI application.

    Args:
        session: what answers; closed when the application ends.
        host: the address that it will be reached under.
    """
    config, receiving = session.config, asyncio.Lock()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        # here and not after the server: it ends itself by the signal that it got, and nothing runs after that
        try:
            yield
        finally:
            session.close()

    async def page(_: Request) -> Response:
        return FileResponse(PAGE / "index.html")

    async def model(_: Request) -> Response:
        return JSONResponse(session.about())

    async def groups(request: Request) -> Response:
        return JSONResponse(session.groups(request.query_params.get("search", "")[:200]))

    async def files(request: Request) -> Response:
        said = request.query_params.get("about", "")
        if len(said) > MAX_ABOUT:
            raise InputError("the files' names are too long; shorten them")
        about = _json(said)
        names, sizes = _list_of(str, about.get("names")), _list_of(int, about.get("sizes"))
        if len(names) != len(sizes):
            raise InputError("the upload does not say which files it holds")
        if receiving.locked():  # so that uploads never take more room than two pairs of files
            raise InputError("another upload is under way; try again when it is through")
        async with receiving:
            draft = await session.uploads.receive(in_time(request.stream()), sizes)
            return JSONResponse(await run_in_threadpool(session.take_files, draft, names))

    def endpoint_of(answer: Callable[[Values], Answer | Values]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            values = _json(await _body(request))
            found = await run_in_threadpool(answer, values)
            return JSONResponse(found) if isinstance(found, dict) else packed(*found)

        return endpoint

    requests: dict[str, Callable[[Values], Answer | Values]] = {
        "clip": lambda values: session.clip(read_clip(values)),
        "masks": lambda values: session.masks(read_masks(values, config)),
        "look": lambda values: session.look(read_look(values, config)),
        "losses": lambda values: session.losses(read_look(values, config), read_weighting(values)),
        "attention": lambda values: session.attention(read_look(values, config), read_token(values, config)),
        "place": lambda values: session.place(read_look(values, config), read_token(values, config)),
    }
    routes = [
        Route("/", page),
        Mount("/page", StaticFiles(directory=PAGE)),
        Route("/api/model", model),
        Route("/api/groups", groups),
        Route("/api/files", files, methods=["POST"]),
        *(Route(f"/api/{name}", endpoint_of(answer), methods=["POST"]) for name, answer in requests.items()),
    ]
    handlers = {InputError: _bad_input, ClientDisconnect: _gone, Exception: _failure}
    # around all, not among Starlette's middleware, so that its answer to a failure has the headers too
    return Guard(Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan), host)


def packed(about: dict[str, Any], arrays: dict[str, np.ndarray]) -> Response:
    """JSON and arrays in one body: the JSON's length (uint32, little endian), the JSON, the arrays' bytes.

    Each part begins at a multiple of 8 bytes. In the JSON, `arrays` says of each its name, type, shape and first byte,
    counted from the end of the JSON.
    """
    placed, parts, offset = [], [], 0
    for name, array in arrays.items():
        raw = np.ascontiguousarray(array).tobytes()
        placed.append({"name": name, "type": array.dtype.name, "shape": array.shape, "offset": offset})
        parts += [raw, bytes(-len(raw) % _ALIGN)]
        offset += len(raw) + len(parts[-1])
    head = json.dumps({**about, "arrays": placed}).encode()
    head += b" " * (-(len(head) + 4) % _ALIGN)
    return Response(b"".join([struct.pack("<I", len(head)), head, *parts]), media_type="application/octet-stream")


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        InputError: the port is taken or the address is not of this machine.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise InputError(
            f"cannot listen at {host}:{port} ({getattr(error, 'strerror', None) or error}); "
            "give another --port (0 = any that is free), or another --host"
        ) from error


def serve(session: Session, host: str, port: int) -> None:
    """Answer until stopped by hand (Ctrl-C)."""
    with listening(host, port) as sock:
        address, port = host, sock.getsockname()[1]
        shown = f"[{address}]" if ":" in address else address
        print(f"  {session.title}: {counted(len(session.catalogue.groups), 'group')} to look at")
        print(f"  open http://{shown}:{port}/ in a browser; Ctrl-C ends the viewer", flush=True)
        if not is_loopback(host):
            print(
                f"  warning: whoever can reach {shown}:{port} sees the videos of the manifest and can load files up; "
                "there is no password",
                flush=True,
            )
        config = uvicorn.Config(
            application(session, host),
            http=ImpatientProtocol,
            log_level="warning",
            access_log=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=3,
        )
        uvicorn.Server(config).run(sockets=[sock])


async def _body(request: Request) -> str:
    received = bytearray()
    async for chunk in in_time(request.stream()):
        received += chunk
        if len(received) > MAX_REQUEST_BYTES:
            raise InputError("the request is longer than a megabyte")
    return received.decode("utf-8", errors="replace")


def _json(text: str) -> Values:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError("the request is no JSON") from error
    if not isinstance(values, dict):
        raise InputError("the request is no JSON object")
    return values


def _list_of(kind: type[Part], values: Any) -> list[Part]:
    """The values if they are a list of that kind, otherwise none."""
    return values if isinstance(values, list) and all(type(value) is kind for value in values) else []


async def _bad_input(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, status_code=422)


async def _gone(_: Request, __: Exception) -> Response:
    """Who hung up in the middle hears no answer, and it is no failure of the viewer's."""
    return Response(status_code=400)


async def _failure(_: Request, __: Exception) -> Response:  # the server prints the traceback
    return JSONResponse({"error": "the viewer failed; the terminal in which it runs says why"}, status_code=500)
