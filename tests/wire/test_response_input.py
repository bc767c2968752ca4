"""What a response goes on from: no input, references, and ids that nobody knows."""

from typing import Any

import httpx2
import pytest

NOTHING = (
    "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation_id' "
    "must be provided."
)


def post(http: httpx2.Client, **body: Any) -> httpx2.Response:
    return http.post("/responses", json={"model": "m", **body})


@pytest.mark.parametrize("body", [{}, {"input": None}, {"input": ""}, {"input": []}])
def test_a_response_to_nothing_is_refused(http: httpx2.Client, body: dict[str, Any]) -> None:
    answer = post(http, **body)
    error = answer.json()["error"]
    assert (answer.status_code, error["message"], error["param"]) == (400, NOTHING, None)


@pytest.mark.parametrize("nothing", [{}, {"input": ""}, {"input": []}])
def test_a_response_goes_on_without_input(http: httpx2.Client, nothing: dict[str, Any]) -> None:
    first = post(http, input="Why is the sky blue?").json()
    again = post(http, previous_response_id=first["id"], **nothing)
    assert again.json()["output"][0]["content"] == first["output"][0]["content"]
    items = [{"role": "user", "content": "Why is the sky blue?"}]
    thread = http.post("/conversations", json={"items": items}).json()
    third = post(http, conversation=thread["id"], **nothing)
    assert third.json()["output"][0]["content"] == first["output"][0]["content"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"input": [{"type": "item_reference", "id": "msg_x"}]}, "Item with id 'msg_x' not found."),
        ({"input": "x", "conversation": "conv_x"}, "Conversation with id 'conv_x' not found."),
        ({"input": "x", "prompt": {"id": "pmpt_x"}}, "Prompt with id 'pmpt_x' not found."),
        ({"prompt": {"id": "pmpt_x", "version": "2"}}, "Prompt with id 'pmpt_x' not found."),
    ],
)
def test_an_id_that_nobody_knows_is_not_found(
    http: httpx2.Client, body: dict[str, Any], words: str
) -> None:
    answer = post(http, **body)
    assert answer.status_code == 404
    assert answer.json()["error"]["message"].startswith(words)


def test_a_reference_stands_for_what_it_refers_to(http: httpx2.Client) -> None:
    first = post(http, input="My dog is called Rex").json()
    (asked,) = http.get(f"/responses/{first['id']}/input_items").json()["data"]
    items = [{"type": "item_reference", "id": item["id"]} for item in (asked, first["output"][0])]
    again = post(http, input=items).json()
    listed = http.get(f"/responses/{again['id']}/input_items?order=asc").json()["data"]
    assert listed == [asked, first["output"][0]]
    assert again["output"][0]["content"] == first["output"][0]["content"]
    thread = http.post("/conversations", json={"items": items}).json()
    kept = http.get(f"/conversations/{thread['id']}/items?order=asc").json()["data"]
    assert kept == listed


def test_a_response_that_was_not_stored_has_no_items_to_refer_to(http: httpx2.Client) -> None:
    first = post(http, input="Hello", store=False).json()
    reference = {"type": "item_reference", "id": first["output"][0]["id"]}
    answer = post(http, input=[reference])
    assert answer.status_code == 404
    assert "Try again with `store` set to true" in answer.json()["error"]["message"]
