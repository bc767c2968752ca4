"""Builds the edition that runs in a browser: `python -m tools.lite fetch`, then `… build FOLDER`.

`fetch` brings the runtime (npm) and the wheels (PyPI) into `build/lite`; `build` needs no network.
The notebooks go in as they are. Every package that Python may load there is in the runtime's own
list, with what it depends on, so that the page asks nobody else.
"""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

from jupyterlite_pyodide_kernel.constants import PYODIDE_PYTHON_VERSION, PYODIDE_VERSION
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "lite"
FETCHED = ROOT / "build" / "lite" / "fetched"
WORK = ROOT / "build" / "lite" / "work"

EXTENSION = "share/jupyter/labextensions/@jupyterlite/pyodide-kernel-extension"
FOR_WASM = "pyemscripten_2026_0_wasm32"
"""The platform of the runtime's version, as wheels have it (PEP 783)."""

THERE = {
    "sys_platform": "emscripten",
    "platform_system": "Emscripten",
    "os_name": "posix",
    "platform_machine": "wasm32",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
    "python_version": PYODIDE_PYTHON_VERSION,
    "python_full_version": f"{PYODIDE_PYTHON_VERSION}.0",
    "extra": "",
}

NOT_NEEDED = {
    "jupyterlab-widgets": "the page's own part of ipywidgets, which JupyterLite has itself",
    "widgetsnbextension": "the same for another page",
    "pexpect": "the kernel puts a stand-in in its place: there are no processes",
}

AT_THE_START = ("micropip", "piplite", "pyodide-kernel", "ipykernel", "comm", "jedi", "ipython")
"""What the kernel would ask an index for; and with them, side by side, the course."""


GOES_ON = (
    (
        "await r.ready,await r.handleMessage(s)",
        "await r.ready,r.goesOn=!1===s.content.stop_on_error,await r.handleMessage(s)",
    ),
    (
        '"interrupt"!==e.metadata.cause&&(',
        '"interrupt"!==e.metadata.cause&&!this._kernels.get(l)?.goesOn&&(',
    ),
)
"""JupyterLite 0.8.6 drops every waiting cell after an error, though Jupyter's protocol says
`stop_on_error: false` for a cell tagged `raises-exception`: *Run All* would end at a lesson's first
failure. What stands there, once, and what is to."""


def fetch() -> None:
    """Bring the runtime and the wheels here."""
    shutil.rmtree(FETCHED, ignore_errors=True)
    wheels = FETCHED / "wheels"
    wheels.mkdir(parents=True)
    npm = shutil.which("npm")
    if npm is None:
        sys.exit("npm is not here, which brings Python for the browser. Install Node.js.")
    package = f"pyodide@{PYODIDE_VERSION}"
    _run(npm, "pack", "--silent", package, "--pack-destination", str(FETCHED))
    with tarfile.open(FETCHED / f"pyodide-{PYODIDE_VERSION}.tgz") as archive:
        archive.extractall(FETCHED, filter="data")
    wanted = FETCHED / "requirements.txt"
    wanted.write_text("\n".join(_pinned()) + "\n", "utf-8")
    _run(
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--only-binary", ":all:", "--dest", str(wheels), "-r", str(wanted)),
        *("--implementation", "cp", "--python-version", PYODIDE_PYTHON_VERSION),
        *("--abi", f"cp{PYODIDE_PYTHON_VERSION.replace('.', '')}", "--platform", FOR_WASM),
    )


def build(output: Path) -> None:
    """Build the edition into a folder, from what was fetched."""
    if not (FETCHED / "wheels").is_dir():
        sys.exit("Nothing was fetched yet: run `make lite`, once with a network.")
    shutil.rmtree(WORK, ignore_errors=True)
    shutil.rmtree(output, ignore_errors=True)
    runtime = WORK / "static" / "pyodide"
    runtime.mkdir(parents=True)
    for name in ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip"):
        shutil.copy(FETCHED / "package" / name, runtime)
    _run(
        *(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(WORK / "wheel")),
        folder=ROOT,
    )
    wheels = [
        *(FETCHED / "wheels").glob("*.whl"),
        *_wheels_of_the_kernel(),
        *(WORK / "wheel").glob("*.whl"),
    ]
    lock = json.loads((FETCHED / "package" / "pyodide-lock.json").read_text("utf-8"))
    lock["packages"] = locked(wheels)
    (runtime / "pyodide-lock.json").write_text(json.dumps(lock), "utf-8")
    for wheel in wheels:
        shutil.copy(wheel, runtime)
    for name in ("jupyter-lite.json", "jupyter_lite_config.json", "overrides.json"):
        shutil.copy(SOURCE / name, WORK)
    _settle_the_start(WORK / "jupyter-lite.json")
    _copy_course(WORK / "course")
    _run(
        *(sys.executable, "-m", "jupyterlite_core", "build"),
        *("--contents", "course", "--output-dir", str(output.resolve())),
        folder=WORK,
    )
    _let_cells_go_on(output)
    for page in ("index.html", "start.js"):
        shutil.copy(SOURCE / page, output)
    (output / "loads.json").write_text(json.dumps(_what_it_loads(output)), "utf-8")


def locked(wheels: Iterable[Path]) -> dict[str, Any]:
    """Return the runtime's list of these packages, each with those that it needs.

    Exits where one needs what is not among them.
    """
    there = {str(parse_wheel_filename(wheel.name)[0]): wheel for wheel in wheels}
    found: dict[str, Any] = {}
    missing: list[str] = []
    for name, wheel in there.items():
        needs = sorted(set(_needs(wheel)) - NOT_NEEDED.keys())
        missing += [f"{name} needs {one}" for one in needs if one not in there]
        found[name] = {
            "name": name,
            "version": str(parse_wheel_filename(wheel.name)[1]),
            "file_name": wheel.name,
            "install_dir": "site",
            "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
            "package_type": "package",
            "imports": _imports(wheel),
            "depends": needs,
            "unvendored_tests": False,
        }
    if missing:
        sys.exit("lite/packages.txt lacks something: " + "; ".join(missing))
    return found


def _pinned() -> Iterator[str]:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = {canonicalize_name(line.partition("==")[0]): line for line in lines if "==" in line}
    for line in (SOURCE / "packages.txt").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            yield line if "==" in line else pins[canonicalize_name(line)]


def _wheels_of_the_kernel() -> list[Path]:
    """Return those that the kernel's extension brings, one of each."""
    folder = Path(sys.prefix) / EXTENSION / "static" / "pypi"
    return [path for path in folder.glob("*.whl") if not path.name.startswith("widgetsnbext")]


def _needs(wheel: Path) -> Iterator[str]:
    with zipfile.ZipFile(wheel) as archive:
        name = next(one for one in archive.namelist() if one.endswith(".dist-info/METADATA"))
        metadata = HeaderParser().parsestr(archive.read(name).decode())
    for line in metadata.get_all("Requires-Dist") or []:
        wanted = Requirement(line)
        if wanted.marker is None or wanted.marker.evaluate(THERE):
            yield canonicalize_name(wanted.name)


def _imports(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        tops = {re.split(r"[/.]", name)[0] for name in archive.namelist() if ".py" in name}
    return sorted(top for top in tops if top.isidentifier())


def _let_cells_go_on(output: Path) -> None:
    texts = {path: path.read_text("utf-8") for path in (output / "build").glob("*.js")}
    for before, after in GOES_ON:
        found = [path for path, text in texts.items() if before in text]
        if len(found) != 1 or texts[found[0]].count(before) != 1:
            sys.exit(
                f"JupyterLite has changed: {before!r} stands in {len(found)} of its files. See "
                "whether *Run All* goes on after a tagged error without it, and change GOES_ON."
            )
        texts[found[0]] = texts[found[0]].replace(before, after)
        found[0].write_text(texts[found[0]], "utf-8")


def _copy_course(folder: Path) -> None:
    """Copy what a reader opens, as it lies here: the links in it lead on."""
    command = ["git", "ls-files", "notebooks", "docs", "README.md"]
    tracked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for line in tracked.stdout.splitlines():
        copy = folder / line
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / line, copy)


def _settle_the_start(file: Path) -> None:
    config = json.loads(file.read_text("utf-8"))
    settings = config["jupyter-config-data"]["litePluginSettings"]
    kernel = settings["@jupyterlite/pyodide-kernel-extension:kernel"]
    kernel["loadPyodideOptions"]["packages"] = [*AT_THE_START, "awaited"]
    file.write_text(json.dumps(config), "utf-8")


def _what_it_loads(output: Path) -> list[dict[str, Any]]:
    """Return the files that a first start reads, with their bytes, for the start page's bar."""
    runtime = output / "static" / "pyodide"
    return [
        {"url": path.relative_to(output).as_posix(), "bytes": path.stat().st_size}
        for path in sorted(runtime.iterdir())
        if path.suffix in (".whl", ".wasm", ".zip", ".mjs", ".json")
    ]


def _run(*command: str, folder: Path = ROOT) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["fetch"]:
            fetch()
        case ["build", folder]:
            build(Path(folder))
        case _:
            sys.exit(__doc__)
