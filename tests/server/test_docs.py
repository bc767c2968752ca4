"""The page on the mock server lists every control."""

from pathlib import Path

import pytest
from starlette.routing import Route

from helpers.mock_server.app import routes
from helpers.mock_server.faults import KINDS, OPTIONS
from helpers.mock_server.pacing import Pace, parse
from helpers.mock_server.state import State

PAGE = (Path(__file__).parents[2] / "docs" / "mock-server.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("fault", KINDS)
def test_every_fault_is_listed(fault: str) -> None:
    assert f"`{fault}`" in PAGE


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_of_a_fault_is_listed(option: str) -> None:
    assert f"| `{option}" in PAGE or f"`{option}` |" in PAGE


@pytest.mark.parametrize("field", list(Pace.__dataclass_fields__))
def test_every_field_of_a_pace_is_listed(field: str) -> None:
    assert f"| `{field}`" in PAGE
    assert parse(f"{field}=1") == {field: 1}


@pytest.mark.parametrize(
    "path",
    [route.path for route in routes(State()) if isinstance(route, Route) and "{" not in route.path],
)
def test_every_route_is_listed(path: str) -> None:
    assert path in PAGE
