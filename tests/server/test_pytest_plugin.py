"""The fixture for other people's tests, in a project of theirs."""

import tomllib
from pathlib import Path

import openai
import pytest

from helpers.pytest_plugin import MockOpenAI, running
from tests.server import theirs

ROOT = Path(__file__).parents[2]

THEIR_TEST = """
import openai

def test_my_code_tries_again(mock_openai):
    mock_openai.fail("503; retry-after=0.01", times=2)
    with openai.OpenAI(base_url=mock_openai.base_url, api_key="any", max_retries=2) as client:
        answer = client.chat.completions.create(
            model="any", messages=[{"role": "user", "content": "hello"}]
        )
    assert answer.choices[0].message.content
    assert [seen.status for seen in mock_openai.requests()] == [503, 503, 200]

def test_each_test_begins_as_new(mock_openai):
    assert mock_openai.requests() == []
    assert mock_openai.http.get("/mock/faults").json()["waiting"] == []

def test_without_any_settings_in_my_code(mock_openai_env):
    openai.OpenAI().models.list()
    assert len(mock_openai_env.requests()) == 1
    assert mock_openai_env.peak_in_flight() == 1
"""

THEIR_CONFTEST = """
import pytest

@pytest.fixture(scope="session")
def mock_openai_options():
    return ["--pace", "0", "--models", "any"]
"""


def test_it_works_in_a_project_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(THEIR_TEST)
    (tmp_path / "conftest.py").write_text(THEIR_CONFTEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    ended = theirs.tested(tmp_path)
    assert "3 passed" in ended.stdout, ended.stdout + ended.stderr


FAILING = """
import openai
import pytest

def ask(mock, text):
    with openai.OpenAI(base_url=mock.base_url, api_key="any", max_retries=0) as client:
        answer = client.chat.completions.create(
            model="any", messages=[{"role": "user", "content": text}]
        )
    return answer.choices[0].message.content

def test_fails_with_a_reply_left(mock_openai):
    mock_openai.reply("Paris", when="capital")
    assert ask(mock_openai, "What is the city?") == "Paris"

def test_passes_but_for_a_reply_left(request):
    mock = request.getfixturevalue("mock_openai_env")
    mock.reply("Rome", when="capital", times=2)
    assert ask(mock, "The capital?") == "Rome"

def test_passes_with_an_optional_reply_left(mock_openai):
    mock_openai.reply("Oslo", when="fjord", optional=True)
    mock_openai.reply("Bergen", when="rain", times=None)
    assert ask(mock_openai, "Much rain?") == "Bergen"
    ask(mock_openai, "Anything else?")

def test_strict_and_missed(mock_openai):
    mock_openai.strict()
    with pytest.raises(openai.BadRequestError):
        ask(mock_openai, "The weather?")

def test_strict_and_all_used(mock_openai):
    mock_openai.strict()
    mock_openai.reply("Oslo")
    assert ask(mock_openai, "The capital?") == "Oslo"

@pytest.mark.xfail(strict=True)
def test_expected_to_fail(mock_openai):
    mock_openai.reply("Oslo")

def test_ends_the_server(mock_openai):
    mock_openai.reply("Oslo")
    mock_openai.http.close()
"""


def test_replies_that_were_not_needed_fail_a_test_and_are_told(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(FAILING)
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    ended = theirs.tested(tmp_path)
    said = ended.stdout
    assert "3 failed, 3 passed, 1 xfailed" in said, said + ended.stderr
    assert said.count("scripted replies of mock_openai") == 1, "beside the failed assertion alone"
    assert 'was not used: {"when": {"message": "capital"}, "text": "Paris"}' in said
    assert "the last message “What is the city?”" in said
    assert "was not used 1 of 2 times" in said
    assert said.count("the last message “The weather?”") == 1
    for name in ("fails_with_a_reply", "passes_but_for_a_reply", "strict_and_missed"):
        assert f"FAILED test_theirs.py::test_{name}" in said
    assert "Oslo" not in said
    assert "Traceback" not in said


def test_the_package_declares_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "helpers.pytest_plugin" in project["entry-points"]["pytest11"].values()


def test_a_wrong_order_is_told_at_once(mock_openai: MockOpenAI) -> None:
    with pytest.raises(ValueError, match="no fault 'explode'"):
        mock_openai.fail("explode")
    with pytest.raises(ValueError, match="no limit 'speed'"):
        mock_openai.limit(speed=1)


def test_a_delay_that_is_set_is_not_without_effect(mock_openai: MockOpenAI) -> None:
    def dial() -> float:
        return float(mock_openai.http.get("/mock/pace").json()["pace"])

    mock_openai.pace(tokens=3)
    assert dial() == 0
    mock_openai.pace(0, first=2)
    assert dial() == 0, "it was said so"
    mock_openai.pace(gap=0.2)
    assert dial() == 1
    mock_openai.pace(0.1)
    mock_openai.pace(first=2)
    assert dial() == 0.1


def test_a_client_may_be_named_in_any_script(mock_openai: MockOpenAI) -> None:
    headers = {"authorization": "Bearer mock", "x-mock-client": "élève"}
    mock_openai.fail("503", client="élève")
    encoded = {name: value.encode() for name, value in headers.items()}
    assert mock_openai.http.get("/v1/models", headers=encoded).status_code == 503
    in_latin_1 = {name: value.encode("latin-1") for name, value in headers.items()}
    assert mock_openai.http.get("/v1/models", headers=in_latin_1).status_code == 200
    found = mock_openai.http.get("/mock/journal", params={"client": "élève"}).json()["requests"]
    assert [seen["status"] for seen in found] == [503, 200]


def test_a_server_that_is_started_with_a_key_is_asked_with_it() -> None:
    with running(["--pace", "0", "--api-key", "a-key"]) as mock:
        assert mock.api_key == "a-key"
        mock.reset()
        with openai.OpenAI(base_url=mock.base_url, api_key=mock.api_key) as client:
            assert list(client.models.list())
        assert [seen.status for seen in mock.requests()] == [200]
