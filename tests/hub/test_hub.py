"""A class on one machine: three learners run lesson 02, each with what is theirs alone."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from os import geteuid
from pathlib import Path

import aiohttp
import pytest

from helpers.checks.shipped import HEADING
from tests.hub.learner import FOLDER, Kernel, Learner
from tests.hub.machine import PROXY, ROOT, Hub, hub
from tests.needs import missing
from tools import notebooks

pytestmark = pytest.mark.hub

LESSON = "02_async_streaming"
NAMES = ("ada", "ben", "cleo")
ABSENT, TEACHER = "dora", "grace"

LISTEN, LOOPBACK = "0A", "0100007F"
"""As the kernel's tables of sockets have them."""

ASK_ITS_OWN = """\
import json, os
import helpers.endpoint as way
from helpers import requests_seen
place = way.endpoint()
print(json.dumps({"url": place.base_url, "key": place.api_key, "seen": requests_seen(),
                  "uid": os.getuid(), "server": way._server._process.pid}))
"""

PASSED = """\
from helpers import progress
print(*sorted(progress().passed))
"""

KNOCK = """\
import httpx2
doors = ("GET", "/mock/journal"), ("DELETE", "/mock/journal"), ("POST", "/mock/reset")
for key in {keys}:
    for method, path in doors:
        answer = httpx2.request(method, {url!r}.removesuffix("/v1") + path,
                                headers={{"Authorization": "Bearer " + key}})
        print(answer.status_code)
"""

READ = """\
import os
from pathlib import Path
for path in {paths}:
    try:
        os.listdir(path) if os.path.isdir(path) else Path(path).open("rb").close()
        print("opened")
    except PermissionError:
        print("refused")
"""


@dataclass(frozen=True, slots=True)
class Desk:
    """A learner, with lesson 02 open and run."""

    learner: Learner
    kernel: Kernel
    facts: dict[str, object]
    """What the kernel says of its mock server and account after the run."""
    unexpected: list[str]
    """Cells that ended otherwise than the stored lesson's."""


@dataclass(frozen=True, slots=True)
class Class:
    """Three desks, and the hub that they are at."""

    runner: asyncio.Runner
    hub: Hub
    desks: dict[str, Desk]

    def at(self, name: str, cell: str) -> str:
        """Run a cell at somebody's desk; return what it printed."""
        said = self.runner.run(self.desks[name].kernel.run(cell))
        assert said.error == "", said
        return said.printed


@pytest.fixture(scope="module")
def a_class() -> Iterator[Class]:
    """Three learners who have logged in, fetched the lessons and run one, at the same time."""
    if geteuid() != 0:
        missing("root", "learners have accounts, in a namespace of their own: run it as root")
    if shutil.which("unshare") is None or not PROXY.exists():
        missing("unshare or configurable-http-proxy", "run `make hub` on Linux")
    with hub([*NAMES, ABSENT], TEACHER) as running, asyncio.Runner() as runner:
        stack = AsyncExitStack()
        try:
            desks = runner.run(_seated(stack, running))
            yield Class(runner, running, desks)
        except BaseException:
            print(running.log.read_text()[-5000:])
            raise
        finally:
            runner.run(stack.aclose())


async def _seated(stack: AsyncExitStack, running: Hub) -> dict[str, Desk]:
    found = await asyncio.gather(*(_sit_down(stack, running, name) for name in NAMES))
    return dict(zip(NAMES, found, strict=True))


@asynccontextmanager
async def _somebody(running: Hub, name: str) -> AsyncIterator[Learner]:
    cookies = aiohttp.CookieJar(unsafe=True)  # the hub has an address and no name
    async with aiohttp.ClientSession(cookie_jar=cookies) as session:
        yield Learner(name, running.url, session)


async def _sit_down(stack: AsyncExitStack, running: Hub, name: str) -> Desk:
    learner = await stack.enter_async_context(_somebody(running, name))
    assert await learner.log_in(f"{name}'s own password") == 200
    await learner.take_a_token()
    await learner.start_a_server()
    assert await learner.fetch_the_lessons(str(running.course)) == '{"phase": "finished"}'
    kernel = await stack.enter_async_context(learner.lesson(LESSON))
    unexpected = []
    lesson = notebooks.read(ROOT / "notebooks" / f"{LESSON}.ipynb")
    for cell in lesson.cells:
        if cell.cell_type == "code":
            # Without its heading a solution is the learner's own work, and counts.
            said = await kernel.run(cell.source.removeprefix(f"{HEADING}\n"))
            stored = [output.ename for output in cell.outputs if output.output_type == "error"]
            if [said.error.partition(":")[0]] != (stored or [""]):
                unexpected.append(f"{cell.id}: {said.error or 'no error'}, stored {stored}")
    facts = json.loads((await kernel.run(ASK_ITS_OWN)).printed)
    return Desk(learner, kernel, facts, unexpected)


def test_each_learner_runs_the_lesson_and_passes_its_exercises(a_class: Class) -> None:
    for name in NAMES:
        assert a_class.desks[name].unexpected == [], name
        assert a_class.at(name, PASSED).split() == ["02-1", "02-2"], name


def test_each_has_an_account_and_a_mock_server_of_their_own(a_class: Class) -> None:
    facts = [desk.facts for desk in a_class.desks.values()]
    for fact in ("uid", "url", "key", "server"):
        assert len({one[fact] for one in facts}) == len(NAMES), fact
    assert all(int(str(one["seen"])) > 10 for one in facts)
    assert "0" not in {str(one["uid"]) for one in facts}


@pytest.mark.parametrize(("who", "whose"), [("ada", "ben"), ("ben", "cleo"), ("cleo", "ada")])
def test_nobody_reads_or_resets_what_anothers_mock_server_saw(
    a_class: Class, who: str, whose: str
) -> None:
    theirs, own = a_class.desks[whose].facts, a_class.desks[who].facts
    keys = ["EMPTY", "mock", str(own["key"])]
    said = a_class.at(who, KNOCK.format(keys=keys, url=theirs["url"]))
    assert said.split() == ["401"] * 9
    assert json.loads(a_class.at(whose, ASK_ITS_OWN))["seen"] == theirs["seen"]


@pytest.mark.parametrize(("who", "whose"), [("ada", "ben"), ("ben", "cleo"), ("cleo", "ada")])
def test_nobody_reads_anothers_files_progress_or_process(
    a_class: Class, who: str, whose: str
) -> None:
    home = a_class.hub.homes / whose
    progress = home / ".local" / "share" / "awaited" / "progress.json"
    lesson = home / FOLDER / "notebooks" / f"{LESSON}.ipynb"
    server = a_class.desks[whose].facts["server"]
    paths = [str(home), str(progress), str(lesson)]
    paths += [f"/proc/{server}/environ", f"/proc/{server}/mem"]
    assert a_class.at(who, READ.format(paths=paths)).split() == ["refused"] * len(paths)
    assert a_class.at(whose, READ.format(paths=paths[:3])).split() == ["opened"] * 3


def test_to_forget_ones_progress_leaves_the_others_theirs(a_class: Class) -> None:
    a_class.at("cleo", "from helpers import reset_progress; reset_progress()")
    assert a_class.at("cleo", PASSED).split() == []
    assert a_class.at("ada", PASSED).split() == ["02-1", "02-2"]


def test_practice_copies_land_beside_the_lessons_that_were_fetched(a_class: Class) -> None:
    a_class.at("ada", "from helpers import practice; practice()")
    practice = a_class.hub.homes / "ada" / FOLDER / "practice"
    assert (practice / f"{LESSON}.ipynb").exists()
    assert not (a_class.hub.homes / "ben" / FOLDER / "practice").exists()


def test_a_learners_token_opens_no_other_server(a_class: Class) -> None:
    async def knock() -> list[int]:
        ada = a_class.desks["ada"].learner
        tries = [
            ("GET", "/user/ben/api/contents"),
            ("GET", "/user/ben/api/kernels"),
            ("POST", "/user/ben/api/kernels"),
            ("GET", f"/user/ben/files/{FOLDER}/notebooks/{LESSON}.ipynb"),
            ("GET", "/user/ben/git-pull/api"),
            ("DELETE", "/hub/api/users/ben/server"),
            ("GET", "/hub/api/users/ben"),
        ]
        return [(await ada.ask(method, path))[0] for method, path in tries]

    statuses = a_class.runner.run(knock())
    assert set(statuses) <= {403, 404}
    assert statuses[0] == 403


def test_only_the_class_logs_in_and_only_with_the_password_of_the_first_time(
    a_class: Class,
) -> None:
    async def status(name: str, password: str) -> int:
        async with _somebody(a_class.hub, name) as person:
            return await person.log_in(password)

    run: Callable[[Awaitable[int]], int] = a_class.runner.run  # type: ignore[assignment]
    assert run(status("mallory", "a long password")) == 403
    assert run(status("ben", "ada's own password")) == 403
    assert run(status("ben", "ben's own password")) == 200


def test_a_learner_whom_the_teacher_deletes_logs_in_anew_with_another_password(
    a_class: Class,
) -> None:
    async def statuses() -> list[int]:
        async with _somebody(a_class.hub, TEACHER) as teacher:
            await teacher.log_in("grace's own password")
            await teacher.take_a_token()
            async with _somebody(a_class.hub, ABSENT) as before:
                found = [await before.log_in("soon forgotten")]
            async with _somebody(a_class.hub, ABSENT) as after:
                found.append(await after.log_in("a new password"))
                found.append((await teacher.ask("DELETE", f"/hub/api/users/{ABSENT}"))[0])
                found.append(await after.log_in("a new password"))
        return found

    assert a_class.runner.run(statuses()) == [200, 403, 204, 200]
    home = a_class.hub.homes / ABSENT
    assert (home / ".gitconfig").exists(), "what is in the home folder stays"


def test_a_link_leads_each_to_the_lessons_in_their_own_server(a_class: Class) -> None:
    link = f"/hub/user-redirect/git-pull?repo={a_class.hub.course}&branch=main&urlpath=lab"

    async def where() -> str:
        ben = a_class.desks["ben"].learner
        async with ben.session.get(f"{ben.hub}{link}") as page:
            assert page.status == 200
            return page.url.path

    assert a_class.runner.run(where()) == "/user/ben/git-pull"


def test_a_process_that_asks_for_all_memory_gets_an_error_and_no_more(a_class: Class) -> None:
    cell = (
        "try:\n    hog = bytearray(5 << 30)\n    print('taken')\n"
        "except MemoryError:\n    print('MemoryError')"
    )
    assert a_class.at("ada", cell).strip() == "MemoryError"
    assert a_class.at("ben", "print('goes on')").strip() == "goes on"


def test_the_learners_servers_and_kernels_and_the_hub_listen_on_loopback_alone(
    a_class: Class,
) -> None:
    uids = {str(desk.facts["uid"]) for desk in a_class.desks.values()}
    ports = {a_class.hub.url.rpartition(":")[2]}
    listening = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            _, local, _, state, _, _, _, uid, *_ = line.split()
            address, _, port = local.partition(":")
            if state == LISTEN and (uid in uids or str(int(port, 16)) in ports):
                listening.add((uid, address))
    assert {uid for uid, _ in listening} == uids | {"0"}
    assert {address for _, address in listening} == {LOOPBACK}
