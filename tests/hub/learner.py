"""A learner in a browser: logs in, starts a server, fetches the lessons, runs cells in a kernel."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import aiohttp

SPAWNED_WITHIN = 180.0
"""Seconds for a server, as the hub gives it: three at once take 10 on an idle machine."""

CELL_WITHIN = 120.0
"""Seconds for a cell: the slowest takes a few."""

FOLDER = "awaited"
"""Where the lessons are fetched to, in the home folder."""


@dataclass
class Said:
    """What a cell said: its printed text, and the error it ended in."""

    printed: str = ""
    error: str = ""


@dataclass
class Learner:
    """Somebody with a name and a password, in a browser of their own."""

    name: str
    hub: str
    session: aiohttp.ClientSession
    token: str = ""
    _headers: dict[str, str] = field(default_factory=dict)

    async def log_in(self, password: str) -> int:
        """Fill in the hub's form; return the status of the page that follows."""
        async with self.session.get(f"{self.hub}/hub/login") as page:
            form = await page.text()
        (xsrf,) = set(re.findall(r'name="_xsrf" value="([^"]+)"', form))
        fields = {"username": self.name, "password": password, "_xsrf": xsrf}
        url = f"{self.hub}/hub/login?next=%2Fhub%2Fhome"
        async with self.session.post(url, data=fields) as answer:
            return answer.status

    async def take_a_token(self) -> None:
        """Ask the hub for a token, as its page for tokens does; it stands for the learner."""
        async with self.session.get(f"{self.hub}/hub/home") as page:
            assert page.status == 200
            (xsrf,) = set(re.findall(r'xsrf_token: "([^"]+)"', await page.text()))
        url = f"{self.hub}/hub/api/users/{self.name}/tokens"
        async with self.session.post(url, json={}, headers={"X-XSRFToken": xsrf}) as answer:
            assert answer.status == 201, await answer.text()
            self.token = (await answer.json())["token"]
        self._headers = {"Authorization": f"token {self.token}"}

    async def ask(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        """Ask the hub or a server with the learner's token; return the status and the answer."""
        url = f"{self.hub}{path}"
        async with self.session.request(method, url, headers=self._headers, **more) as answer:
            text = await answer.text()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text

    async def start_a_server(self) -> None:
        status, said = await self.ask("POST", f"/hub/api/users/{self.name}/server")
        assert status in (201, 202), said
        async with asyncio.timeout(SPAWNED_WITHIN):
            while True:
                _, user = await self.ask("GET", f"/hub/api/users/{self.name}")
                if user["servers"] and user["servers"][""]["ready"]:
                    return
                await asyncio.sleep(0.3)

    async def fetch_the_lessons(self, repository: str) -> str:
        """Do what nbgitpuller's page does; return its last words."""
        query = {"repo": repository, "branch": "main", "targetpath": FOLDER}
        status, said = await self.ask("GET", f"/user/{self.name}/git-pull/api", params=query)
        assert status == 200, said
        return str(said).strip().rpartition("data: ")[2]

    @asynccontextmanager
    async def lesson(self, name: str) -> AsyncIterator["Kernel"]:
        """Open a lesson as Lab does, with a kernel of its own."""
        body = {
            "path": f"{FOLDER}/notebooks/{name}.ipynb",
            "name": name,
            "type": "notebook",
            "kernel": {"name": "python3"},
        }
        api = f"/user/{self.name}/api"
        status, opened = await self.ask("POST", f"{api}/sessions", json=body)
        assert status == 201, opened
        url = f"{self.hub}{api}/kernels/{opened['kernel']['id']}/channels"
        async with self.session.ws_connect(url, headers=self._headers, max_msg_size=0) as socket:
            yield Kernel(socket)


@dataclass
class Kernel:
    """A kernel, by the socket that a page talks to it through."""

    socket: aiohttp.ClientWebSocketResponse
    _session: str = field(default_factory=lambda: uuid4().hex)

    async def run(self, cell: str) -> Said:
        """Run a cell; return what it said."""
        name = uuid4().hex
        header = {
            "msg_id": name,
            "msg_type": "execute_request",
            "session": self._session,
            "username": "",
            "version": "5.3",
        }
        content = {"code": cell, "silent": False, "allow_stdin": False, "stop_on_error": False}
        await self.socket.send_json(
            {
                "channel": "shell",
                "header": header,
                "parent_header": {},
                "metadata": {},
                "content": content,
                "buffers": [],
            }
        )
        said = Said()
        async with asyncio.timeout(CELL_WITHIN):
            async for message in self.socket:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    continue  # a widget's, with its buffers
                news = json.loads(message.data)
                if news["parent_header"].get("msg_id") != name:
                    continue
                match news["msg_type"], news["content"]:
                    case "stream", {"text": text}:
                        said.printed += text
                    case "error", {"ename": kind, "evalue": value}:
                        said.error = f"{kind}: {value}"
                    case "status", {"execution_state": "idle"}:
                        return said
        raise ConnectionError(f"The kernel's socket closed in the cell {cell!r}.")
