"""langchain-openai under langchain-tests' standard suite for chat models and embeddings."""

from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests


class TestChatCompletions(ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "gpt-4o-mini", "stream_usage": True}

    @property
    def supports_image_inputs(self) -> bool:
        return False  # those tests fetch a picture from the web

    @pytest.mark.xfail(reason="the mock takes arguments from the prompt's words, not its wishes")
    def test_unicode_tool_call_integration(self, model: Any) -> None:  # type: ignore[override]
        super().test_unicode_tool_call_integration(model, tool_choice="any", force_tool_call=True)


class TestResponses(TestChatCompletions):
    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "gpt-4o-mini", "use_responses_api": True}


class TestEmbeddings(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[OpenAIEmbeddings]:
        return OpenAIEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": "text-embedding-3-small", "check_embedding_ctx_length": False}
