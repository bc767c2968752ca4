"""The page on the mock server lists every control, and its tests for other people's code pass."""

import re
from pathlib import Path

import pytest
from starlette.routing import Route

from helpers.mock_server.app import routes
from helpers.mock_server.control.faults import KINDS, OPTIONS
from helpers.mock_server.control.state import State
from helpers.mock_server.protocol.pacing import Pace, parse
from tests.server import theirs

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


THEIR_APP = """
import openai

def run_agent(prompt):
    messages = [{"role": "user", "content": prompt}]
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": {}}}
    while True:
        answer = openai.OpenAI().chat.completions.create(
            model="any", messages=messages, tools=[tool]
        )
        message = answer.choices[0].message
        if not message.tool_calls:
            return message.content
        messages.append(message.model_dump(exclude_none=True))
        for call in message.tool_calls:
            messages.append({"role": "tool", "tool_call_id": call.id, "content": "sunny"})
"""


def test_the_tests_on_the_page_pass_and_fail_as_it_says(tmp_path: Path) -> None:
    code, told = re.findall(r"```(?:python)?\n(.*?)```", PAGE, re.DOTALL)[:2]
    (tmp_path / "my_app.py").write_text(THEIR_APP)
    (tmp_path / "test_right.py").write_text(code)
    (tmp_path / "test_slip.py").write_text(code.replace('when="capital"', 'when="capitol"'))
    ended = theirs.tested(tmp_path)
    assert "1 failed, 7 passed" in ended.stdout, ended.stdout + ended.stderr
    number = re.compile(r"reply \d+")
    said = number.sub("reply 1", ended.stdout)
    for line in told.strip().splitlines():
        assert line in said
