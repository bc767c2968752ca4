"""Answers of another endpoint, here a second mock server, recorded and played back."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from helpers.mock_server.api import heard
from helpers.mock_server.content import scripts
from helpers.mock_server.protocol.answers import Call
from tests.server.test_command_line import running
from tests.wire.wire import ask, events

KEY = "sk-a-key-that-nobody-may-read"
HEADERS = {
    "authorization": f"Bearer {KEY}",
    "api-key": f"{KEY}-2",
    "cookie": "session=nobody-reads-this",
    "openai-organization": "org-nobody-may-read",
}
CHAT = ask("Count to 8", stream=True, stream_options={"include_usage": True})
WEATHER = {
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
CALLS = ask(
    "What is the weather in Paris and Rome?", tools=[{"type": "function", "function": WEATHER}]
)
RESPONSE = {"model": "m", "input": "Why is the sky blue?"}

REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "a chat stream": ("/chat/completions", CHAT),
    "a chat answer": ("/chat/completions", ask("Say hello")),
    "a stream of calls": ("/chat/completions", {**CALLS, "stream": True}),
    "calls": ("/chat/completions", CALLS),
    "a cut answer": ("/chat/completions", ask("Tell a story", max_tokens=5)),
    "several choices": ("/chat/completions", ask("Hello", n=2)),
    "several choices streamed": ("/chat/completions", ask("Hello", n=2, stream=True)),
    "a response": ("/responses", RESPONSE),
    "a response streamed": ("/responses", {**RESPONSE, "stream": True}),
    "a legacy completion": ("/completions", {"model": "m", "prompt": "Capital of France?"}),
    "an embedding": ("/embeddings", {"model": "m", "input": "words"}),
    "an error": ("/chat/completions", {**CHAT, "model": "unknown"}),
    "an error of responses": ("/responses", {**RESPONSE, "model": "unknown"}),
    "an error inside a stream": ("/chat/completions", CHAT),
    "an error inside a response": ("/responses", {**RESPONSE, "stream": True}),
    "a rate limit": ("/chat/completions", CHAT),
    "a custom tool": ("/responses", {**RESPONSE, "tools": [{"type": "custom", "name": "sky"}]}),
    "a function": ("/chat/completions", ask("The weather", functions=[WEATHER])),
    "a way that is none": ("/videos", {"model": "m", "prompt": "a sky"}),
    "embeddings": ("/embeddings", {"model": "m", "input": ["one", "two"]}),
    "item 1": ("/chat/completions", ask("Write about item 1")),
    "item 10": ("/chat/completions", ask("Write about item 10")),
}

FAULTS = {
    "an error inside a stream": "error-event; after=2",
    "an error inside a response": "error-event; after=2",
    "a rate limit": "429; retry-after=2; message=Slow down.",
}
"""What the endpoint is told to do wrong."""


@contextmanager
def client_of(base_url: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=base_url, headers=HEADERS, trust_env=False, timeout=20.0) as client:
        yield client


class Played:
    """What each request got: from the endpoint through the recorder, and from the record."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.first: dict[str, httpx2.Response] = {}
        self.again: dict[str, httpx2.Response] = {}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    file = tmp_path_factory.mktemp("record") / "record.jsonl"
    found = Played(file)
    with ExitStack() as stack:
        enter = stack.enter_context
        _, upstream = enter(running("--pace", "0", "--models", "m,mock-chat"))
        _, recorder = enter(running("--record", str(file), "--upstream", upstream))
        http, direct = enter(client_of(recorder)), enter(client_of(upstream))
        for name, (path, body) in REQUESTS.items():
            if name in FAULTS:
                direct.post("../mock/faults", json={"fault": FAULTS[name]})
            found.first[name] = http.post(path, json=body)
        found.first["a list"] = http.get("/models")
    with ExitStack() as stack:
        _, player = stack.enter_context(running("--pace", "0", "--replies", str(file), "--strict"))
        http = stack.enter_context(client_of(player))
        found.again["a list"] = http.get("/models")
        for name in [*list(REQUESTS)[:-2], "item 10", "item 1"]:
            path, body = REQUESTS[name]
            found.again[name] = http.post(path, json=body)
        assert http.get("../mock/replies").json()["waiting"] == []
    return found


def plain(answer: httpx2.Response) -> Any:
    """Return what an answer says, without what is new in each: ids, times."""
    if answer.headers["content-type"].startswith("text/event-stream"):
        return [
            _without_ids(json.loads(data)) for _, data in events(answer.text) if data != "[DONE]"
        ]
    return _without_ids(answer.json())


NEW = {
    "id", "created", "created_at", "completed_at", "item_id", "service_tier", "model",
    "system_fingerprint", "obfuscation",
}  # fmt: skip


def _without_ids(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_ids(part) for part in value]
    if isinstance(value, dict):
        kept = {name: part for name, part in value.items() if name not in NEW}
        return {name: _without_ids(part) for name, part in kept.items()}
    return value


@pytest.mark.parametrize("name", [*REQUESTS, "a list"])
def test_what_was_recorded_is_answered_again(played: Played, name: str) -> None:
    first, again = played.first[name], played.again[name]
    assert again.status_code == first.status_code, again.text
    assert plain(again) == plain(first)
    assert again.headers.get("retry-after") == first.headers.get("retry-after")


def test_no_key_is_ever_written(played: Played) -> None:
    text = played.file.read_text()
    assert len(text.splitlines()) == len(REQUESTS) + 1
    for word in ("nobody", "sk-", "authorization", "cookie", "session", "org-"):
        assert word not in text.lower(), word


def test_a_record_reads_like_a_script_and_can_be_edited(played: Played, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in played.file.read_text().splitlines()]
    stream, whole = lines[0], lines[1]
    assert "".join(stream["text"]) == "1, 2, 3, 4, 5, 6, 7, 8."
    assert len(stream["gaps"]) == len(stream["text"]) - 1
    assert whole["text"].startswith("Hello!")
    assert stream["when"] == {
        "path": "/v1/chat/completions", "model": "mock-chat", "turn": 1, "exactly": "Count to 8",
    }  # fmt: skip
    stream["text"] = "One, two."
    edited = scripts.read_lines([json.dumps(stream)])
    assert edited[0].text == "One, two."


def test_a_stream_is_passed_on_as_it_comes_and_played_at_its_pace(tmp_path: Path) -> None:
    file = tmp_path / "record.jsonl"
    with ExitStack() as stack:
        enter = stack.enter_context
        pace = ("--first", "0.1", "--gap", "0.05", "--pace", "1")
        _, upstream = enter(running(*pace))
        _, recorder = enter(running("--record", str(file), "--upstream", upstream))
        http = enter(client_of(recorder))
        asked = time.monotonic()
        first = arrivals(http)
        assert first[-1] - first[0] > 0.15, "it came in one piece"  # six gaps of 0.05 s
        (seen,) = http.get("../mock/journal?settle=5").json()["requests"]
        assert seen["outcome"] == "finished"
        assert seen["stream"]
        assert seen["model"] == "mock-chat"
    script = json.loads(file.read_text())
    assert 0.09 < script["first"] < first[0] - asked, "between upstream's wait and the client's"
    assert sum(script["gaps"]) == pytest.approx(0.05 * len(script["gaps"]), rel=0.2)
    script["gaps"][3] = 0.4  # a place where the endpoint hung
    file.write_text(json.dumps(script))
    with ExitStack() as stack:
        _, player = stack.enter_context(running("--pace", "0.5", "--replies", str(file)))
        http = stack.enter_context(client_of(player))
        arrivals(http)
        (seen,) = http.get("../mock/journal?settle=5").json()["requests"]
    left = seen["tokens"]
    assert left[4] - left[3] == pytest.approx(0.2, abs=0.05)
    assert left[-1] - left[0] == pytest.approx(sum(script["gaps"]) / 2, rel=0.2)


def arrivals(http: httpx2.Client) -> list[float]:
    with http.stream("POST", "/chat/completions", json=ask("Count to 4", stream=True)) as answer:
        return [time.monotonic() for _ in answer.iter_raw()]


def test_an_endpoint_that_is_not_there_is_told(tmp_path: Path) -> None:
    file = tmp_path / "record.jsonl"
    with ExitStack() as stack:
        dead = "http://127.0.0.1:9/v1"
        _, recorder = stack.enter_context(running("--record", str(file), "--upstream", dead))
        http = stack.enter_context(client_of(recorder))
        answer = http.post("/chat/completions", json=ask())
    assert answer.status_code == 502
    assert "cannot be reached" in answer.json()["error"]["message"]
    assert file.read_text() == ""


def test_a_hang_up_is_passed_on_and_not_recorded(tmp_path: Path) -> None:
    file = tmp_path / "record.jsonl"
    with ExitStack() as stack:
        enter = stack.enter_context
        _, upstream = enter(running("--gap", "0.2", "--pace", "1"))
        _, recorder = enter(running("--record", str(file), "--upstream", upstream))
        http, direct = enter(client_of(recorder)), enter(client_of(upstream))
        with http.stream("POST", "/chat/completions", json=ask(stream=True)) as answer:
            next(answer.iter_raw())
        for seen_by in (http, direct):
            (seen,) = seen_by.get("../mock/journal?settle=5").json()["requests"]
            assert seen["outcome"] == "abandoned"
    assert file.read_text() == ""


def test_a_key_that_an_answer_repeats_is_struck_out() -> None:
    from helpers.mock_server.recording import secrets_of, without

    secrets = secrets_of(Call("GET", "/", HEADERS, query={"sas-token": "given-in-the-query"}))
    told = {"error": {"message": f"Incorrect API key provided: {KEY}."}, KEY: [f"{KEY}-2"]}
    assert KEY not in json.dumps(without(told, secrets))
    assert without(["It is ", KEY[:5], KEY[5:], "."], secrets) == "It is ***."
    assert without("given-in-the-query", secrets) == "***"
    assert without("Bearer of good news", secrets) == "Bearer of good news"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"choices": [{"index": 0, "message": {"content": "Paris", "reasoning": "Hm"},
                       "finish_reason": "stop"}]},
         {"reasoning": "Hm", "text": "Paris", "finish": "stop"}),
        ({"choices": [{"index": 0, "message": {"content": None, "refusal": "No."},
                       "finish_reason": "stop"}]}, {"refusal": "No.", "finish": "stop"}),
        ({"choices": [{"index": 0, "message": {"content": "x", "audio": {"id": "a"}},
                       "finish_reason": "stop"}]}, None),
        ({"choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "abort"}]}, None),
    ],
)  # fmt: skip
def test_what_no_script_has_words_for_is_kept_as_it_is(body: Any, expected: Any) -> None:
    call = Call("POST", "/v1/chat/completions", {}, json.dumps(ask()).encode())
    found = heard.reply(call, 200, {}, [(0.5, json.dumps(body).encode())], stream=False)
    assert found["first"] == 0.5
    if expected is None:
        assert found["json"] == body
    else:
        assert {name: found[name] for name in expected} == expected
    scripts.read(found)


def test_azures_ways_and_web_pages_are_recorded_too(tmp_path: Path) -> None:
    file = tmp_path / "record.jsonl"
    way = "../openai/deployments/mock-chat/chat/completions?api-version=2024-10-21"
    page = {"origin": "http://localhost:3000"}
    with ExitStack() as stack:
        enter = stack.enter_context
        _, upstream = enter(running("--pace", "0", "--allow-origin", "https://app.example"))
        root = upstream.removesuffix("/v1")
        _, recorder = enter(running("--record", str(file), "--upstream", root))
        http = enter(client_of(recorder))
        answer = http.post(way, json=ask("Say hello"), headers=page)
        assert answer.headers.get_list("access-control-allow-origin") == [page["origin"]]
        preflight = {**page, "access-control-request-method": "POST"}
        assert http.options(way, headers=preflight).status_code == 204
        strange = {"origin": "https://app.example"}
        refused = http.post(way, json=ask(f"Say hello to {KEY}"), headers=strange)
        assert "access-control-allow-origin" not in refused.headers
        assert http.get("../health").json() == {"status": "ok"}
        seen, _ = http.get("../mock/journal?settle=5").json()["requests"]
        assert (seen["model"], seen["path"][:20]) == ("mock-chat", "/openai/deployments/")
    script, struck = (json.loads(line) for line in file.read_text().splitlines())
    assert script["when"]["exactly"] == "Say hello"
    assert KEY not in file.read_text()
    assert "exactly" not in struck["when"], "its request would not be known by it"
    with ExitStack() as stack:
        _, player = stack.enter_context(running("--pace", "0", "--replies", str(file), "--strict"))
        http = stack.enter_context(client_of(player))
        again = http.post(way, json=ask("Say hello"))
        assert plain(again) == plain(answer)


def test_an_endpoint_that_breaks_off_or_sends_no_json_is_not_recorded(tmp_path: Path) -> None:
    file = tmp_path / "record.jsonl"
    with ExitStack() as stack:
        enter = stack.enter_context
        _, upstream = enter(running("--pace", "0"))
        process, recorder = enter(running("--record", str(file), "--upstream", upstream))
        http, direct = enter(client_of(recorder)), enter(client_of(upstream))
        direct.post("../mock/faults", json={"fault": "disconnect; after=3"})
        with pytest.raises(httpx2.RemoteProtocolError):
            http.post("/chat/completions", json=ask(stream=True))
        direct.post("../mock/faults", json={"fault": "html"})
        assert http.post("/chat/completions", json=ask()).text.startswith("<")
        broken, page = http.get("../mock/journal?settle=5").json()["requests"]
        process.terminate()
        assert "Traceback" not in process.communicate()[1]
    assert broken["outcome"] == "failed"
    assert "broke off" in broken["note"]
    assert page["note"].startswith("Not recorded:")
    assert file.read_text() == ""


@pytest.mark.parametrize(
    ("body", "turn"),
    [
        ({"input": [{"role": "user", "content": "One"}, {"role": "assistant", "content": "Two"},
                    {"role": "user", "content": "Go on"}]}, 2),
        ({"input": "Go on", "previous_response_id": "resp_of_the_endpoint"}, None),
        ({"input": [{"type": "item_reference", "id": "msg_of_the_endpoint"},
                    {"role": "user", "content": "Go on"}], "conversation": "conv_x"}, None),
    ],
)  # fmt: skip
def test_a_response_is_known_by_its_last_message(body: dict[str, Any], turn: int | None) -> None:
    call = Call("POST", "/v1/responses", {}, json.dumps({"model": "m", **body}).encode())
    when = heard.reply(call, 500, {}, [(0.1, b"{}")], stream=False)["when"]
    assert (when["exactly"], when.get("turn")) == ("Go on", turn)
    assert when["method"] == "POST", "a list of responses is no place for this error"
