"""The page's server: one window, one session. It listens on this machine alone and answers who knows its address.

Every address begins with a random token, compared in constant time. The Host must be 127.0.0.1 or localhost with the
port (a foreign name that was made to point here is refused), and what changes anything must come from the page itself
(Origin). The page loads nothing from elsewhere, which its Content-Security-Policy enforces.

    GET  /TOKEN/                   the page
    GET  /TOKEN/play               a websocket: commands as text, answers as bytes (watch_messages.py)
    POST /TOKEN/video/WINDOW       a video for a window; the number comes with its first answer, the name in X-Name
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hmac
import logging
import re
import secrets
import signal
import tempfile
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import WSCloseCode, WSMsgType, web

import watch_messages as told
from watch_runner import LOG, Runner, sentence, where
from watch_session import Session, Video

PAGE = Path(__file__).with_name("watch_page.html")
HOSTS = ("127.0.0.1", "localhost")
LARGEST = 64 << 20  # of a video  [bytes]
WINDOWS = 8  # at once
WAITING = 200  # answers to a window that does not take them; more are dropped
HEARTBEAT = 20.0  # a window that is silent twice as long is gone  [s]
PATIENCE = 10.0  # for a session to end  [s]
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Site:
    """What is served.

    make      a new session      port   that it listens on, once it does      largest   of a video  [bytes]
    """

    make: Callable[[], Session]
    port: int = 0
    largest: int = LARGEST
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    windows: dict[str, Runner] = field(default_factory=dict)
    _sockets: set[web.WebSocketResponse] = field(default_factory=set)

    @property
    def address(self) -> str:
        """Of the page."""
        return f"http://127.0.0.1:{self.port}/{self.token}/"

    @property
    def hosts(self) -> set[str]:
        """What a Host header may say."""
        return {f"{name}:{self.port}" for name in HOSTS} | (set(HOSTS) if self.port == 80 else set())

    def app(self) -> web.Application:
        """The application, as `served` runs it."""

        @web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                self._admit(request)
                response = await handler(request)
            except web.HTTPException as refused:
                response = _text(refused.status, refused.text or refused.reason)
            except Exception as error:
                LOG.warning("%s", sentence(error), exc_info=where(error))
                response = _text(500, sentence(error))
            if not response.prepared:
                response.headers.update(HEADERS)
            return response

        app = web.Application(middlewares=[guarded])
        app.router.add_get("/{token}/", self._page)
        app.router.add_get("/{token}/play", self._play)
        app.router.add_post("/{token}/video/{window}", self._video)
        return app

    def _admit(self, request: web.Request) -> None:
        if request.headers.get("Host", "") not in self.hosts:
            raise web.HTTPForbidden(text=f"this page is at {HOSTS[0]}:{self.port} and answers to no other name")
        token = request.match_info.get("token", "")
        if not hmac.compare_digest(token.encode(), self.token.encode()):
            raise web.HTTPForbidden(text="this is not the address that was printed: copy the whole of it")
        if request.method != "GET" or request.path.endswith("/play"):
            origin = request.headers.get("Origin", "")
            if origin not in {f"http://{host}" for host in self.hosts}:
                raise web.HTTPForbidden(text="this was not asked by the page itself")

    async def _page(self, request: web.Request) -> web.StreamResponse:
        nonce, host = secrets.token_urlsafe(16), request.headers["Host"]
        text = (await asyncio.to_thread(PAGE.read_text, "utf-8")).replace("{nonce}", nonce)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data:; "
            f"connect-src 'self' ws://{host}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        return web.Response(text=text, content_type="text/html", headers={"Content-Security-Policy": policy})

    async def _play(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(max_msg_size=told.LONGEST, heartbeat=HEARTBEAT, compress=False)
        if not socket.can_prepare(request).ok:
            raise web.HTTPBadRequest(text="this address is for a websocket: open the page instead")
        if len(self.windows) >= WINDOWS:
            raise web.HTTPServiceUnavailable(text=f"{WINDOWS} windows are open already: close one")
        window, loop = secrets.token_urlsafe(16), asyncio.get_running_loop()
        outbox: asyncio.Queue[bytes] = asyncio.Queue(WAITING)

        def put(message: bytes) -> None:
            with contextlib.suppress(asyncio.QueueFull):
                outbox.put_nowait(message)

        def send(message: bytes) -> None:
            with contextlib.suppress(RuntimeError):  # the server has ended
                loop.call_soon_threadsafe(put, message)

        runner = Runner(self.make, send)
        self.windows[window] = runner
        try:
            await socket.prepare(request)
            self._sockets.add(socket)
            await socket.send_bytes(told.pack({"kind": "window", "window": window, "largest": self.largest}))
            runner.start()
            writing = asyncio.create_task(self._write(socket, outbox))
            try:
                await self._read(socket, runner, put)
            finally:
                writing.cancel()
        finally:
            runner.stop()
            self._sockets.discard(socket)
            del self.windows[window]
        return socket

    async def _video(self, request: web.Request) -> web.StreamResponse:
        runner = self.windows.get(request.match_info["window"])
        if runner is None:
            raise web.HTTPNotFound(text="this window has gone: reload the page")
        too_large = web.HTTPRequestEntityTooLarge(
            self.largest, 0, text=f"a video may have {self.largest >> 20} MB at most: cut it, or make it smaller"
        )
        if (request.content_length or 0) > self.largest:
            raise too_large
        name = Path(urllib.parse.unquote(request.headers.get("X-Name", "")) or "a video").name[:80]
        suffix = Path(name).suffix.lower()
        suffix = suffix if re.fullmatch(r"\.[a-z0-9]{1,5}", suffix) else ""
        with tempfile.NamedTemporaryFile(prefix="watch_", suffix=suffix, delete=False) as file:
            path = Path(file.name)
            try:
                n = 0
                async for part in request.content.iter_chunked(1 << 16):
                    n += len(part)
                    if n > self.largest:
                        raise too_large
                    file.write(part)
                file.flush()
                runner.tell(Video(path, name))
            except BaseException as error:
                path.unlink(missing_ok=True)
                if isinstance(error, ValueError):
                    raise web.HTTPServiceUnavailable(text=str(error)) from error
                raise
        return _text(200, "it is being read")

    @staticmethod
    async def _write(socket: web.WebSocketResponse, outbox: asyncio.Queue[bytes]) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                await socket.send_bytes(await outbox.get())

    @staticmethod
    async def _read(socket: web.WebSocketResponse, runner: Runner, put: Callable[[bytes], None]) -> None:
        """Hand on commands until the window goes; a bad one is answered in one sentence."""
        async for message in socket:
            try:
                if message.type != WSMsgType.TEXT:
                    raise ValueError("a command must be text")
                runner.tell(told.parse(message.data))
            except ValueError as error:
                LOG.warning("%s", error)
                put(told.pack({"kind": "error", "text": str(error)}))

    async def close(self) -> None:
        """End all sessions; their files go with them."""
        runners = list(self.windows.values())
        for runner in runners:
            runner.stop()
        for socket in list(self._sockets):
            await socket.close(code=WSCloseCode.GOING_AWAY, message=b"the server has ended")
        for runner in runners:
            await asyncio.to_thread(runner.join, PATIENCE)

    @contextlib.asynccontextmanager
    async def served(self) -> AsyncIterator[Site]:
        """Within it the site is served on 127.0.0.1; with port 0 on a free one.

        Raises   ValueError if the port is in use or may not be used.
        """
        runner = web.AppRunner(self.app(), access_log=None, shutdown_timeout=2.0)
        await runner.setup()
        try:
            try:
                await web.TCPSite(runner, HOSTS[0], self.port).start()
            except OSError as error:
                why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror or error})"
                raise ValueError(f"port {self.port} {why}: choose another one with --port, or 0 for any") from error
            self.port = runner.addresses[0][1]
            yield self
        finally:
            await self.close()
            await runner.cleanup()

    async def until_stopped(self, begun: Callable[[str], None]) -> None:
        """Serve until Ctrl-C.

        begun    called with the address once somebody can come      Raises   as `served`
        """
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        async with self.served():
            begun(self.address)
            await stop.wait()


def _text(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text)


def log_to_stderr() -> None:
    """One line per sentence."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
