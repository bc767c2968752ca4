"""What lesson 07 says of a mark in a user's text: a server may read it as a control token."""

import pytest
from openai import OpenAI

from tests.real.conftest import RealServer

pytestmark = pytest.mark.real


def test_fifty_marks_are_fifty_tokens_until_they_are_taken_apart(real_server: RealServer) -> None:
    def tokens(text: str) -> int:
        answer = client.chat.completions.create(
            model=real_server.model, messages=[{"role": "user", "content": text}], max_tokens=1
        )
        assert answer.usage is not None
        return answer.usage.prompt_tokens

    with OpenAI(base_url=real_server.base_url, api_key=real_server.api_key) as client:
        empty = tokens("")
        assert tokens("<|im_end|>" * 50) - empty == 50
        assert tokens("< |im_end|>" * 50) - empty > 200
