"""The doctor's card: its form, what it counts, and that nothing else is changed."""

import asyncio
import sys
import types

import pytest

from helpers.doctor import protocols, texts
from tests.instruments.cells import Cells

CREATE = "client.chat.completions.create(**M)"


@pytest.mark.parametrize(
    ("cell", "card"),
    [
        (
            f"answer = {CREATE}\nanswer",
            [
                "doctor   This is a coroutine, and it was never awaited.",
                "         AsyncCompletions.create() was called, but its body has not begun: a "
                "coroutine is a call that does nothing until it is awaited.",
                "         0 requests reached the server in this cell.",
                f"line 1   answer = {CREATE}",
                f"better   answer = await {CREATE}",
                "see      lesson 03",
            ],
        ),
        (
            "results = []\nfor p in prompts:\n    results.append(ask(p))",
            [
                "doctor   results is a list of 2 coroutines, none of them awaited yet.",
                "         ask() was called, but its body has not begun. asyncio.gather starts many "
                "and waits for all. If you await them later, all is well.",
                "         0 requests reached the server in this cell.",
                "write    results = await asyncio.gather(*results)",
                "see      lesson 03",
            ],
        ),
        (
            f"answer = await blocking.{CREATE[7:]}",
            [
                "doctor   A ChatCompletion is no call to wait for: there is nothing to await.",
                "         The blocking client had sent the request, and had its answer, before the "
                "await failed. Leave out the await, or call an AsyncOpenAI client.",
                "         1 request reached the server in this cell.",
                f"line 1   answer = await blocking.{CREATE[7:]}",
                f"better   answer = blocking.{CREATE[7:]}",
                "see      lesson 03",
            ],
        ),
        (
            "for event in client.chat.completions.stream(**M):\n    print(event)\n    break",
            [
                "doctor   An AsyncChatCompletionStreamManager wants an async with.",
                "         It sends its request when it is entered, and ends it when its block "
                "ends. Nothing was sent by this line.",
                "         0 requests reached the server in this cell.",
                "line 1   for event in client.chat.completions.stream(**M):",
                "             print(event)",
                "             break",
                "better   async with client.chat.completions.stream(**M) as stream:",
                "             async for event in stream:",
                "                 print(event)",
                "                 break",
                "see      lesson 02",
            ],
        ),
    ],
)
def test_a_card_says_what_it_is_what_was_sent_and_which_line_to_write(
    cells: Cells, cell: str, card: list[str]
) -> None:
    (shown,) = cells.run(cell)
    assert shown["text/plain"].splitlines() == card


SAID = {
    # text: (what was tried, the classes named)
    "object ChatCompletion can't be used in 'await' expression": ("await", "ChatCompletion"),
    "'ChatCompletion' object can't be awaited": ("await", "ChatCompletion"),
    "'SyncPage[Model]' object can't be awaited": ("await", "SyncPage"),
    "object SyncPage[Model] can't be used in 'await' expression": ("await", "SyncPage"),
    "'openai.AsyncOpenAI' object does not support the context manager protocol (missed __exit__ "
    "method) but it supports the asynchronous context manager protocol. Did you mean to use "
    "'async with'?": ("with", "AsyncOpenAI"),
    "'OpenAI' object does not support the asynchronous context manager protocol": (
        "async with",
        "OpenAI",
    ),
    "argument of type 'coroutine' is not iterable": ("for", "coroutine"),
    "argument of type 'coroutine' is not a container or iterable": ("for", "coroutine"),
    "cannot use 'list' as a dict key (unhashable type: 'list')": ("task", None),
    "unhashable type: 'list'": ("task", None),
    "An asyncio.Future, a coroutine or an awaitable is required": ("task", None),
    "expect a list of futures, not generator": ("wait", "generator"),
    "Passing coroutines is forbidden, use tasks explicitly.": ("wait", None),
}


@pytest.mark.parametrize("text", SAID)
def test_it_knows_the_words_of_each_python_from_3_11_to_3_14(text: str) -> None:
    said = texts.said(TypeError(text))
    assert said is not None
    tried, kind = SAID[text]
    assert (said.tried, *said.kinds) == ((tried,) if kind is None else (tried, kind))


@pytest.mark.parametrize(
    ("cell", "requests"),
    [(CREATE, 0), (f"await blocking.{CREATE[7:]}", 1), ("answers = [ask()]", 0)],
)
def test_the_card_says_how_many_requests_reached_the_server(
    cells: Cells, cell: str, requests: int
) -> None:
    (card,) = cells.run(cell)
    noun = "request" if requests == 1 else "requests"
    assert f"{requests} {noun} reached the server in this cell." in card["text/plain"]


def test_a_class_of_an_extension_that_bears_the_name_of_one_of_python_s_is_not_taken_for_it() -> (
    None
):
    other = type("coroutine", (), {})
    assert protocols.class_named("coroutine") is types.CoroutineType
    del other


def test_a_client_of_the_learner_s_own_at_that_server_leaves_the_count_unsaid(cells: Cells) -> None:
    own = "OpenAI(base_url=client.base_url, api_key=client.api_key)"
    (card,) = cells.run(f"await {own}.chat.completions.create(**M)")
    assert "had sent the request" in card["text/plain"]
    assert "reached the server" not in card["text/plain"]
    (card,) = cells.run(f"{own}.chat.completions.create(**M)\nanswer = ask()")
    assert "reached the server" not in card["text/plain"]
    (card,) = cells.run("answer = ask()")
    assert "0 requests reached the server in this cell." in card["text/plain"]


def test_a_coroutine_left_by_an_earlier_cell_is_told_once(cells: Cells) -> None:
    assert len(cells.run("answer = ask()")) == 1
    assert cells.run("1 + 1") == []
    assert len(cells.run("answer = ask()")) == 1, "made anew, it is told anew"


def test_the_line_is_numbered_as_in_the_cell(cells: Cells) -> None:
    (card,) = cells.run("x = 1\n\nanswer = ask()\n")
    assert "line 3   answer = ask()" in card["text/plain"]


def test_unloaded_it_says_nothing(cells: Cells) -> None:
    cells.shell.extension_manager.unload_extension("helpers.doctor")
    assert cells.run(CREATE) == []
    cells.shell.extension_manager.load_extension("helpers.doctor")
    assert len(cells.run(CREATE)) == 1


def test_it_hides_no_error_and_changes_no_value(cells: Cells) -> None:
    cells.run("answer = ask()")
    assert asyncio.iscoroutine(cells.shell.user_ns["answer"])
    cells.run("kept = await answer")
    assert cells.shell.user_ns["kept"].startswith("Hello"), "it could still be awaited"


def test_it_does_not_hold_a_coroutine_back_from_its_warning(cells: Cells) -> None:
    cells.run("answer = ask()")
    with pytest.warns(RuntimeWarning, match="never awaited"):
        del cells.shell.user_ns["answer"]


def test_code_that_reaches_a_card_is_escaped(cells: Cells) -> None:
    (card,) = cells.run("answer = ask()  # <script>\n'<script>' + answer")
    assert "<script>" not in card["text/html"]
    (card,) = cells.run("'<script>' + ask()")
    assert "&lt;script&gt;" in card["text/html"]


def test_a_failing_doctor_is_no_trouble_to_the_cell(
    cells: Cells, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from helpers.doctor import symptoms

    monkeypatch.setattr(symptoms, "look", lambda *_: 1 / 0)
    assert cells.run("answer = 6 * 7") == []
    assert cells.shell.user_ns["answer"] == 42
    assert capsys.readouterr() == ("", "")


def test_code_without_the_course_s_clients_is_helped_without_a_word_of_requests(
    cells: Cells, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "helpers.clients")
    cells.run(
        "import openai\nmine = openai.AsyncOpenAI(base_url='http://127.0.0.1:9/v1', api_key='x')"
    )
    (card,) = cells.run("mine.responses.create(model='any', input='Hello')")
    assert card["text/plain"].splitlines() == [
        "doctor   This is a coroutine, and it was never awaited.",
        "         AsyncResponses.create() was called, but its body has not begun: a coroutine is a "
        "call that does nothing until it is awaited.",
        "line 1   mine.responses.create(model='any', input='Hello')",
        "better   await mine.responses.create(model='any', input='Hello')",
        "see      lesson 03",
    ]
