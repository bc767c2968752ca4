"""The server's rooms know each other as its first page says, and nothing of other `helpers`."""

import ast
import re
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import helpers
import helpers.mock_server

SERVER = Path(helpers.mock_server.__file__).parent
HELPERS = Path(helpers.__file__).parent
NAME = "helpers.mock_server"


def stated() -> dict[str, set[str]]:
    """Return what each room may know, as the package's docstring has it."""
    lines = re.findall(r"^ +(\w+) +knows (.+)$", helpers.mock_server.__doc__ or "", re.MULTILINE)
    return {room: set(known.split(", ")) - {"nothing"} for room, known in lines}


@cache
def imported(path: Path) -> tuple[str, ...]:
    """Return the full names of what a file imports, wherever in it."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} has a relative import, which this test cannot follow"
            names += (f"{node.module}.{alias.name}" for alias in node.names)
    return tuple(names)


def inside(name: str) -> list[str]:
    """Return the parts of a name behind the server's own; none where it is another's."""
    return name.removeprefix(f"{NAME}.").split(".") if name.startswith(f"{NAME}.") else []


def known() -> dict[str, set[str]]:
    """Return what each room imports: other rooms, and modules beside the rooms."""
    rooms = {path.parent.name: set[str]() for path in SERVER.glob("*/__init__.py")}
    beside = {path.stem for path in SERVER.glob("*.py")}
    for room, found in rooms.items():
        for path in (SERVER / room).rglob("*.py"):
            first = {parts[0] for parts in map(inside, imported(path)) if parts}
            found |= (first & (rooms.keys() | beside)) - {room}
    return rooms


def test_each_room_knows_those_that_the_first_page_names_and_no_other() -> None:
    assert known() == stated()


def test_no_rooms_know_each_other_in_a_circle() -> None:
    TopologicalSorter(stated()).prepare()  # raises CycleError


def test_no_room_has_one_module_alone() -> None:
    for room in known():
        modules = [path for path in (SERVER / room).rglob("*.py") if path.stem != "__init__"]
        assert len(modules) > 1, f"{room} has {len(modules)}"


def test_the_server_imports_nothing_of_the_rest_of_helpers() -> None:
    for path in SERVER.rglob("*.py"):
        strange = [
            name
            for name in imported(path)
            if name.split(".")[0] == "helpers" and not f"{name}.".startswith(f"{NAME}.")
        ]
        assert not strange, f"{path.name} imports {', '.join(strange)}"


def test_the_rest_of_helpers_speaks_to_the_server_over_http_alone() -> None:
    """One module takes the door for where there is no socket; what goes through it is HTTP."""
    door = HELPERS / "endpoint" / "in_page.py"
    assert {name for name in imported(door) if f"{name}.".startswith(f"{NAME}.")} == {
        f"{NAME}.inside"
    }
    for path in HELPERS.rglob("*.py"):
        if not path.is_relative_to(SERVER) and path != door:
            strange = [name for name in imported(path) if f"{name}.".startswith(f"{NAME}.")]
            assert not strange, f"{path.name} imports {', '.join(strange)}"
