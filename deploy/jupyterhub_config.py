"""A hub for one class on one machine, as JupyterHub reads it: docs/for-instructors.md tells how.

    jupyterhub -f deploy/jupyterhub_config.py

Two ways to keep learners apart, both by spawners that exist:

`AWAITED_SPAWNER=docker` (as it is): a container each, of the image that `deploy/Dockerfile` makes.
Files, processes and loopback are the learner's own, and the memory's limit holds for all that a
learner runs.

`AWAITED_SPAWNER=accounts`: a process each, under the account of this machine that has the learner's
name. The hub runs as root for that. Files are kept apart by the accounts. Loopback is shared, so
only the mock server's key keeps it to its owner; the memory's limit holds for each process alone.

There is no third way here, on purpose: under one account for all (`SimpleLocalProcessSpawner`)
nothing is kept apart. Every learner could read and change the files of every other, the keys in
their `.env` files included, and the keys of their mock servers in memory.
"""

import os
import sys
from pathlib import Path

c = get_config()  # type: ignore[name-defined]  # noqa: F821 - JupyterHub gives it

MEMORY = "1G"
"""A learner who has run lesson 02 takes 264 MB: server 112, kernel 128, mock server 24. Lessons 06
and 12 start kernels and processes of their own."""

PROCESS_MEMORY_KIB = 4 * 1024 * 1024
"""For one process, where no container bounds them all. Lesson 04 starts 300 threads, whose stacks
count with 8 MB each, though nearly all of it is never touched."""

PROCESSES = 1000
"""For a container: the 300 threads of lesson 04 count as well."""

STARTED = 180
"""Seconds for a server to start and to answer. A class logs in at once, and each start takes a core
for some three seconds."""

IDLE = 3600
"""Seconds without a sign from the browser after which a server ends. Files stay."""

IDLE_KERNEL = 1200
"""Seconds after which a kernel ends that no page shows: a lesson that was closed keeps 152 MB."""

HERE = Path(__file__).resolve().parent
STATE = Path(os.environ.get("AWAITED_HUB_STATE", "hub-state")).resolve()
"""Where the hub keeps its users, its secrets and the hashes of their passwords."""

STATE.mkdir(mode=0o700, parents=True, exist_ok=True)
c.JupyterHub.db_url = f"sqlite:///{STATE / 'jupyterhub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(STATE / "cookie_secret")
c.ConfigurableHTTPProxy.pid_file = str(STATE / "proxy.pid")

# On loopback: a web server with a certificate stands before it and passes on what comes.
c.JupyterHub.bind_url = os.environ.get("AWAITED_HUB_URL", "http://127.0.0.1:8000")

# --- who may log in -------------------------------------------------------------------------------

c.JupyterHub.authenticator_class = "firstuseauthenticator.FirstUseAuthenticator"
c.FirstUseAuthenticator.dbm_path = str(STATE / "passwords")
LEARNERS = Path(os.environ.get("AWAITED_LEARNERS", HERE / "learners.txt"))
lines = [line.strip() for line in LEARNERS.read_text("utf-8").splitlines()]
c.Authenticator.allowed_users = {line for line in lines if line and not line.startswith("#")}
c.Authenticator.admin_users = set(os.environ.get("AWAITED_TEACHERS", "").split())
c.Authenticator.allow_all = False
if not c.Authenticator.allowed_users | c.Authenticator.admin_users:
    sys.exit(f"Nobody may log in: {LEARNERS} names no learner, and AWAITED_TEACHERS nobody.")

# --- what each gets -------------------------------------------------------------------------------

c.Spawner.default_url = "/lab"
c.Spawner.mem_limit = MEMORY
c.Spawner.start_timeout = c.Spawner.http_timeout = STARTED
c.Spawner.args = [
    f"--MappingKernelManager.cull_idle_timeout={IDLE_KERNEL}",
    "--MappingKernelManager.cull_interval=120",
]

SPAWNER = os.environ.get("AWAITED_SPAWNER", "docker")
if SPAWNER == "docker":
    c.JupyterHub.spawner_class = "docker"
    c.DockerSpawner.image = os.environ.get("AWAITED_IMAGE", "awaited")
    c.DockerSpawner.volumes = {"awaited-{username}": "/home/jovyan"}
    c.DockerSpawner.notebook_dir = "/home/jovyan"
    c.DockerSpawner.remove = True  # the volume is what stays
    c.DockerSpawner.extra_host_config = {"pids_limit": PROCESSES}
    # Where containers reach the hub: Docker's bridge, which no other machine does.
    c.JupyterHub.hub_ip = os.environ.get("AWAITED_HUB_IP", "172.17.0.1")
elif SPAWNER == "accounts":
    c.JupyterHub.spawner_class = "localprocess"
    c.JupyterHub.hub_ip = "127.0.0.1"
    c.LocalProcessSpawner.notebook_dir = "~"
    # The spawner tells the server its limit and holds nobody to it: the shell that starts it does.
    # It gets the server's command as its $0. What a learner makes is closed to the others.
    bounded = f'ulimit -d {PROCESS_MEMORY_KIB} && umask 077 && exec /bin/sh -c "$0"'
    c.LocalProcessSpawner.shell_cmd = ["/bin/sh", "-c", bounded]
else:
    sys.exit(f"AWAITED_SPAWNER is {SPAWNER!r}; it takes docker or accounts.")

# --- what ends by itself --------------------------------------------------------------------------

c.JupyterHub.load_roles = [
    {
        "name": "idle-culler",
        "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
        "services": ["idle-culler"],
    }
]
c.JupyterHub.services = [
    {
        "name": "idle-culler",
        "command": [sys.executable, "-m", "jupyterhub_idle_culler", f"--timeout={IDLE}"],
    }
]
