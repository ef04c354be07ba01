"""A window without a browser: it comes in as a page does, says a few things and looks at what it is shown."""

from __future__ import annotations

import json
import time
from typing import Any

import aiohttp

from watch_messages import unpack
from watch_server import Site

SCRIPT: tuple[dict[str, Any], ...] = (
    {"do": "speed", "rate": 60},
    {"do": "fit", "memory": 4, "units": 2, "frames": 300},
    {"do": "disturb", "name": "inversion"},
    {"do": "adapt", "mode": "photometric", "clock": 15},
    {"do": "film"},
)
BETWEEN = 20  # pictures between one command and the next
PATIENCE = 60.0  # for an answer  [s]
LARGEST = 1 << 28  # of an answer  [bytes]


class Visitor:
    """One visit to a site that is not served yet."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.counts: dict[str, int] = {"picture": 0, "error": 0, "film": 0}

    async def visit(self) -> dict[str, float]:
        """Say all of SCRIPT; how many pictures, steps, films and errors there were, and what they cost.

        Raises   ValueError if the page is not there.
        """
        async with self._site.served(), aiohttp.ClientSession() as client:
            async with client.get(self._site.address) as page:
                if page.status != 200:
                    raise ValueError(f"the page is not there: {await page.text()}")
            origin, wall, busy = f"http://127.0.0.1:{self._site.port}", time.perf_counter(), time.process_time()
            async with client.ws_connect(f"{self._site.address}play", origin=origin, max_msg_size=LARGEST) as socket:
                await self._look_on(socket)
                (runner,) = self._site.windows.values()
                return {
                    "pictures": self.counts["picture"],
                    "steps": runner.steps,
                    "films": self.counts["film"],
                    "errors": self.counts["error"],
                    "seconds": time.perf_counter() - wall,
                    "cpu_seconds": time.process_time() - busy,
                }

    async def _look_on(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        left, due = list(SCRIPT), BETWEEN
        while not self.counts["film"]:
            header, _ = unpack((await socket.receive(timeout=PATIENCE)).data)
            kind = header["kind"]
            self.counts[kind] = self.counts.get(kind, 0) + 1
            if kind != "picture":
                continue
            await socket.send_str(json.dumps({"do": "ack", "number": header["number"]}))
            if left and not header["busy"] and self.counts["picture"] >= due:
                await socket.send_str(json.dumps(left.pop(0)))
                due = self.counts["picture"] + BETWEEN
