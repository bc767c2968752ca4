"""A machine with accounts of its own for learners, and a hub on it; nothing of it stays.

Accounts keep learners' files apart, so there must be some. They are made in a namespace of mounts:
what runs in it sees other files as /etc/passwd and /etc/group, and the machine keeps its own. A
namespace of processes comes with it: all that the hub starts ends with it.
"""

import os
import secrets
import shlex
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

ROOT = Path(__file__).resolve().parents[2]
PROXY = ROOT / "build" / "hub" / "node_modules" / ".bin" / "configurable-http-proxy"

FIRST_UID = 52_000
"""Of the learners' accounts: above those that a system gives out by itself."""

UP_WITHIN = 90.0
"""Seconds for a hub to answer: it takes 14 on an idle machine."""

CONFIG = """
load_subconfig({deployed!r})
c.JupyterHub.hub_port = {hub_port}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_port}"
c.ConfigurableHTTPProxy.command = [{proxy!r}]
c.Spawner.environment = {{"MOCK_PACE": "0.1"}}  # the tests' pace
"""


@dataclass(frozen=True, slots=True)
class Hub:
    """A hub that answers at `url`; `course` is a git repository that learners can clone."""

    url: str
    homes: Path
    course: Path
    log: Path


@contextmanager
def hub(learners: Sequence[str], teacher: str) -> Iterator[Hub]:
    """Run the hub as `deploy/jupyterhub_config.py` sets it up, by accounts; the teacher has none.

    Raises:
        RuntimeError: it did not come up; the message has the end of its log.
    """
    with _folder() as folder:
        homes = _accounts(folder, learners)
        course = folder / "course.git"
        subprocess.run(["git", "clone", "--quiet", "--bare", ROOT, course], check=True)
        subprocess.run(["git", "-C", course, "update-ref", "refs/heads/main", "HEAD"], check=True)
        (folder / "learners.txt").write_text("\n".join(["# a class", *learners, ""]))
        (folder / "jupyterhub_config.py").write_text(
            CONFIG.format(
                deployed=str(ROOT / "deploy" / "jupyterhub_config.py"),
                hub_port=_free_port(),
                proxy_port=_free_port(),
                proxy=str(PROXY),
            )
        )
        url = f"http://127.0.0.1:{_free_port()}"
        ours = {
            "AWAITED_SPAWNER": "accounts",
            "AWAITED_HUB_URL": url,
            "AWAITED_HUB_STATE": str(folder / "state"),
            "AWAITED_LEARNERS": str(folder / "learners.txt"),
            "AWAITED_TEACHERS": teacher,
            "CONFIGPROXY_AUTH_TOKEN": secrets.token_hex(16),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        }
        log = folder / "hub.log"
        with (
            log.open("wb") as out,
            subprocess.Popen(
                _apart(folder, [sys.executable, "-m", "jupyterhub", "-f", "jupyterhub_config.py"]),
                cwd=folder,
                env=os.environ | ours,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            ) as process,
        ):
            try:
                _wait_until_up(url, process, log)
                yield Hub(url, homes, course, log)
            finally:
                process.kill()  # and with it, by --kill-child, all in the namespace


@contextmanager
def _folder() -> Iterator[Path]:
    """Give a folder that all accounts may look into, unlike those that pytest makes."""
    folder = Path(tempfile.mkdtemp(prefix="awaited-hub-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _accounts(folder: Path, learners: Sequence[str]) -> Path:
    """Write the files that list the accounts, and make each a home; return the homes' folder."""
    homes = folder / "home"
    homes.mkdir()
    users, groups = Path("/etc/passwd").read_text(), Path("/etc/group").read_text()
    for uid, name in enumerate(learners, FIRST_UID):
        home = homes / name
        home.mkdir(mode=0o700)
        os.chown(home, uid, uid)
        # git clones no folder of another account's; the course comes from a server elsewhere.
        (home / ".gitconfig").write_text("[safe]\n\tdirectory = *\n")
        users += f"{name}:x:{uid}:{uid}::{home}:/bin/sh\n"
        groups += f"{name}:x:{uid}:\n"
    (folder / "passwd").write_text(users)
    (folder / "group").write_text(groups)
    return homes


def _apart(folder: Path, command: list[str]) -> list[str]:
    """Return the command that runs a command in namespaces where the learners have accounts."""
    lines = ["set -e"]
    lines += [f"mount --bind {shlex.quote(str(folder / f))} /etc/{f}" for f in ("passwd", "group")]
    lines += _opened(folder)
    lines += [shlex.join(command)]
    namespaces = ["--mount", "--propagation", "private", "--pid", "--fork", "--mount-proc"]
    return ["unshare", *namespaces, "--kill-child", "/bin/sh", "-c", "\n".join(lines)]


def _opened(folder: Path) -> list[str]:
    """Return the lines that let the accounts reach Python, node and the course.

    Where one lies in a folder that is its owner's alone, such as /root, another folder is laid over
    that in the namespace, in which nothing stands but the way there.
    """
    node = Path(shutil.which("node") or "/usr/bin/node")
    needed = [Path(p).resolve() for p in (sys.base_prefix, sys.prefix, ROOT, node)]
    ways: dict[Path, set[str]] = {}
    for path in needed:
        for closed in reversed(path.parents):
            if not closed.stat().st_mode & stat.S_IXOTH:
                ways.setdefault(closed, set()).add(path.relative_to(closed).parts[0])
                break
    lines = []
    for closed, names in ways.items():
        kept = folder / f"kept{len(lines)}"
        for name in sorted(names):
            there, here = shlex.quote(str(kept / name)), shlex.quote(str(closed / name))
            lines += [f"mkdir -p {there}", f"mount --bind {here} {there}"]
        lines += [f"mount -t tmpfs -o mode=0755 tmpfs {shlex.quote(str(closed))}"]
        for name in sorted(names):
            there, here = shlex.quote(str(kept / name)), shlex.quote(str(closed / name))
            lines += [f"mkdir {here}", f"mount --bind {there} {here}"]
    return lines


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _wait_until_up(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + UP_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx2.get(f"{url}/hub/api", trust_env=False).status_code == 200:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.2)
    raise RuntimeError(f"The hub did not come up:\n{log.read_text()[-3000:]}")
