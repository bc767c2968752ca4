"""The real server is what the course's clients expect, and leaves nothing behind."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from openai import APIStatusError, OpenAI

from tests.real.conftest import ROOT, RealServer

pytestmark = pytest.mark.real


@pytest.fixture
def client(real_server: RealServer) -> Iterator[OpenAI]:
    with OpenAI(
        base_url=real_server.base_url, api_key=real_server.api_key, max_retries=0
    ) as client:
        yield client


def test_it_streams_an_answer_that_ends_with_its_first_sentence(
    client: OpenAI, real_server: RealServer
) -> None:
    chunks = list(
        client.chat.completions.create(
            model=real_server.model,
            messages=[{"role": "user", "content": "Tell me a long story."}],
            stream=True,
        )
    )
    assert len([chunk for chunk in chunks if chunk.choices[0].delta.content]) > 5
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_it_lists_its_model(client: OpenAI, real_server: RealServer) -> None:
    assert [model.id for model in client.models.list()] == [real_server.model]


def test_it_refuses_a_wrong_key(real_server: RealServer) -> None:
    with (
        OpenAI(base_url=real_server.base_url, api_key="wrong", max_retries=0) as stranger,
        pytest.raises(APIStatusError, match="Invalid API Key"),
    ):
        stranger.chat.completions.create(
            model=real_server.model, messages=[{"role": "user", "content": "Hello"}]
        )


def test_it_ends_when_its_parent_closes_the_pipe(real_server: RealServer) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.real.server"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as another:
        assert another.stdin is not None
        assert another.stdout is not None
        assert another.stdout.readline().startswith(b"Listening on")
        another.stdin.close()
        assert another.wait(timeout=5) == 0
