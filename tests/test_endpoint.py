"""The endpoint: where it is read from, and what a wrong value says."""

import http.server
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from helpers import clients
from helpers.endpoint import EndpointError, endpoint, show_endpoint

KEY = "sk-a-key-that-must-not-show"


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No `.env` of the maintainer's is near, and no variable is set."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_MODEL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture(scope="module")
def guarded_server() -> Iterator[str]:
    """A mock server that takes one key only; its base URL."""
    command = [sys.executable, "-m", "helpers.mock_server", "--port", "0", "--exit-with-parent"]
    command += ["--api-key", KEY, "--models", "large,small"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
        process.terminate()


@contextmanager
def answering(status: int, body: bytes, kind: str = "application/json") -> Iterator[str]:
    """A server that answers every request alike; its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def set_to(monkeypatch: pytest.MonkeyPatch, url: str, key: str = "", model: str = "") -> None:
    for name, value in zip(("BASE_URL", "API_KEY", "MODEL"), (url, key, model), strict=True):
        monkeypatch.setenv(f"OPENAI_{name}", value)


def test_without_settings_the_embedded_mock_server_is_in_use() -> None:
    place = endpoint()
    assert place.source == "the embedded mock server"
    assert place.base_url.startswith("http://127.0.0.1:")
    assert place.keeps_journal
    assert place.model == "mock-chat"


def test_the_environment_names_the_endpoint(
    monkeypatch: pytest.MonkeyPatch, guarded_server: str
) -> None:
    set_to(monkeypatch, guarded_server, KEY, "small")
    place = endpoint()
    assert (place.base_url, place.model, place.source) == (
        guarded_server,
        "small",
        "the environment",
    )


def test_a_dotenv_file_names_the_endpoint_also_from_a_folder_below(
    monkeypatch: pytest.MonkeyPatch, guarded_server: str, in_an_empty_folder: Path
) -> None:
    file = in_an_empty_folder / ".env"
    file.write_text(f"OPENAI_BASE_URL={guarded_server}\nOPENAI_API_KEY={KEY}\n")
    below = in_an_empty_folder / "notebooks"
    below.mkdir()
    monkeypatch.chdir(below)
    assert endpoint().source == "a .env file"
    assert endpoint().base_url == guarded_server


def test_a_variable_that_is_set_to_nothing_wins_over_the_dotenv_file(
    monkeypatch: pytest.MonkeyPatch, in_an_empty_folder: Path
) -> None:
    (in_an_empty_folder / ".env").write_text("OPENAI_BASE_URL=http://127.0.0.1:9/v1\n")
    monkeypatch.setenv("OPENAI_BASE_URL", "")
    assert endpoint().source == "the embedded mock server"


def test_without_a_model_the_first_that_the_endpoint_lists_is_used(
    monkeypatch: pytest.MonkeyPatch, guarded_server: str
) -> None:
    set_to(monkeypatch, guarded_server, KEY)
    assert endpoint().model == "large"


def test_a_slash_at_the_end_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, guarded_server: str
) -> None:
    set_to(monkeypatch, f"{guarded_server}/", KEY)
    assert endpoint().base_url == guarded_server


def test_the_key_shows_nowhere(monkeypatch: pytest.MonkeyPatch, guarded_server: str) -> None:
    set_to(monkeypatch, guarded_server, KEY)
    assert KEY not in repr(endpoint())
    assert clients.blocking_client().api_key == KEY


def refused(monkeypatch: pytest.MonkeyPatch, url: str, key: str = "") -> str:
    set_to(monkeypatch, url, key)
    with pytest.raises(EndpointError) as caught:
        clients.model()
    assert caught.value.__cause__ is None
    return str(caught.value)


@pytest.mark.parametrize("url", ["localhost:8000/v1", "//localhost/v1", "ftp://localhost/v1"])
def test_an_address_without_a_scheme_is_told_so(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    said = refused(monkeypatch, url)
    assert url in said
    assert "no http:// or https://" in said


@pytest.mark.parametrize("url", ["http:///v1", "http://:80/v1", "http://[::1/v1", "http://a b/v1"])
def test_an_address_that_is_none_is_told_so(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    assert url in refused(monkeypatch, url)


def test_an_address_without_v1_is_told_the_right_one(
    monkeypatch: pytest.MonkeyPatch, guarded_server: str
) -> None:
    said = refused(monkeypatch, guarded_server.removesuffix("/v1"), KEY)
    assert f"Set OPENAI_BASE_URL={guarded_server}." in said


def test_an_address_where_nothing_listens_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    said = refused(monkeypatch, "http://127.0.0.1:9/v1")
    assert "cannot be reached" in said
    assert "unset OPENAI_BASE_URL" in said


def test_in_a_dotenv_file_a_wrong_address_is_to_be_mended_there(in_an_empty_folder: Path) -> None:
    (in_an_empty_folder / ".env").write_text("OPENAI_BASE_URL=http://127.0.0.1:9/v1\n")
    with pytest.raises(EndpointError, match=r"a \.env file.*take the line .* out of that file"):
        endpoint()


@pytest.mark.parametrize("key", ["…", "your key", "sk-“quoted”"])
def test_a_placeholder_left_as_the_key_is_told_so_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, guarded_server: str, key: str
) -> None:
    said = refused(monkeypatch, guarded_server, key)
    assert "OPENAI_API_KEY holds characters that no key has" in said
    assert "quoted" not in said


def test_a_refused_key_is_told_so_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, guarded_server: str
) -> None:
    said = refused(monkeypatch, guarded_server, "sk-another-key-12345")
    assert "refused the key" in said
    assert "sk-another" not in said


def test_a_password_in_the_address_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    said = refused(monkeypatch, "http://ann:secret@127.0.0.1:9/v1")
    assert "secret" not in said
    assert "127.0.0.1:9" in said


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, b"<html>hello</html>"), (200, b"[]"), (200, b'{"data": 3}'), (500, b"oh"), (404, b"")],
)
def test_a_server_of_another_kind_is_told_so(
    monkeypatch: pytest.MonkeyPatch, status: int, body: bytes
) -> None:
    with answering(status, body) as address:
        assert "/v1" in refused(monkeypatch, address)


def test_an_endpoint_that_lists_no_models_needs_one_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(200, b'{"object": "list", "data": []}') as address:
        assert "Set OPENAI_MODEL" in refused(monkeypatch, f"{address}/v1")
        set_to(monkeypatch, f"{address}/v1", "", "mine")
        assert endpoint().model == "mine"


def test_an_endpoint_is_asked_only_once(
    monkeypatch: pytest.MonkeyPatch, count_calls: Callable[[str], list[object]]
) -> None:
    with answering(200, b'{"data": [{"id": "a"}]}') as address:
        set_to(monkeypatch, f"{address}/v1")
        asked = count_calls("helpers.endpoint._get_models")
        assert [endpoint().model, clients.model()] == ["a", "a"]
        assert len(asked) == 1


@pytest.fixture
def count_calls(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[object]]:
    def watch(name: str) -> list[object]:
        module, _, attribute = name.rpartition(".")
        real = getattr(sys.modules[module], attribute)
        calls: list[object] = []

        def counted(*arguments: object) -> object:
            calls.append(arguments)
            return real(*arguments)

        monkeypatch.setattr(name, counted)
        return calls

    return watch


# --- what a notebook shows of it ---


def test_the_embedded_server_is_shown_without_its_chance_port(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_endpoint()
    shown = capsys.readouterr().out
    assert shown.startswith("endpoint  the embedded mock server, on this machine\n")
    assert "http" not in shown
    assert "model     mock-chat\n" in shown
    assert 'key       none set: "EMPTY" is sent\n' in shown


def test_an_endpoint_of_yours_is_shown_with_its_source_and_never_its_key(
    guarded_server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", guarded_server)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    show_endpoint()
    shown = capsys.readouterr().out
    assert f"endpoint  {guarded_server} (from the environment)\n" in shown
    assert "key       set, and never shown\n" in shown
    assert KEY not in shown
