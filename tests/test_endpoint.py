"""The endpoint: where it is read from, and what a wrong value says."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers import clients, requests_seen
from helpers.endpoint import EndpointError, endpoint, show_endpoint
from helpers.endpoint.settings import Settings
from tests.odd_servers import MODELS, NOTHING_HERE, Said, answering, at

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


def test_a_mock_server_with_a_key_tells_its_journal_to_who_has_it(
    monkeypatch: pytest.MonkeyPatch, guarded_server: str
) -> None:
    set_to(monkeypatch, guarded_server, KEY)
    before = requests_seen()
    list(clients.blocking_client().models.list())
    assert requests_seen() == before + 1


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


def test_a_port_that_is_none_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    said = refused(monkeypatch, "http://localhost:99999/v1")
    assert "is no address (Port out of range" in said


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


@pytest.mark.parametrize(
    "url",
    [
        "http://ann:secret@127.0.0.1:9/v1",
        "http://ann:a/secret@127.0.0.1:9/v1",
        "http://ann:a@secret@127.0.0.1:9/v1",
        "ann:secret@127.0.0.1:9/v1",
        "http://127.0.0.1:9/v1?api-key=secret",
        "http://127.0.0.1:9/v1#secret",
        "http://ann:secret@127.0.0.1:9/v1/models",
    ],
)
def test_a_secret_in_the_address_is_not_shown(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    said = refused(monkeypatch, url)
    assert "secret" not in said
    assert "127.0.0.1:9" in said


@pytest.mark.parametrize("key", [KEY, "AbCdEfGh12345678", "sk-a/b.c"])
def test_a_key_in_place_of_the_address_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    said = refused(monkeypatch, key)
    assert key not in said
    assert "OPENAI_BASE_URL (from the environment) has no http://" in said


def test_the_advice_to_add_v1_shows_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(at("/v1/", Said(body=MODELS))) as server:
        said = refused(monkeypatch, server.address.replace("http://", "http://ann:secret@"))
    assert "Set OPENAI_BASE_URL=http://…@127.0.0.1:" in said
    assert said.endswith("/v1.")
    assert "secret" not in said


@pytest.mark.parametrize("more", ["?a=b", "#top"])
def test_what_follows_an_address_is_to_be_left_out(
    monkeypatch: pytest.MonkeyPatch, guarded_server: str, more: str
) -> None:
    assert "holds a ? or #" in refused(monkeypatch, guarded_server + more, KEY)


@pytest.mark.parametrize(
    "route", ["chat/completions", "completions", "responses", "embeddings", "models"]
)
def test_an_address_copied_with_its_route_is_told_the_shorter_one(
    monkeypatch: pytest.MonkeyPatch, guarded_server: str, route: str
) -> None:
    said = refused(monkeypatch, f"{guarded_server}/{route}", KEY)
    assert f"goes too far. Set OPENAI_BASE_URL={guarded_server}." in said


def test_without_a_list_of_models_one_is_to_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(method: str, path: str) -> Said:
        wants = Said(400, {"error": {"message": "messages is required"}})
        return wants if (method, path) == ("POST", "/v1/chat/completions") else NOTHING_HERE

    with answering(answer) as server:
        said = refused(monkeypatch, f"{server.address}/v1")
        assert "has no list of models at /v1/models. Set OPENAI_MODEL" in said
        set_to(monkeypatch, f"{server.address}/v1", "", "mine")
        place = endpoint()
        assert (place.model, place.keeps_journal) == ("mine", False)


def test_https_to_a_plain_server_is_told_so(
    monkeypatch: pytest.MonkeyPatch, guarded_server: str
) -> None:
    said = refused(monkeypatch, guarded_server.replace("http://", "https://"), KEY)
    assert "http:// in place of https://" in said


@pytest.mark.parametrize("key", [f'"{KEY}"', f"'{KEY}'", f"Bearer {KEY}"])
def test_a_key_with_more_around_it_is_told_so_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, guarded_server: str, key: str
) -> None:
    said = refused(monkeypatch, guarded_server, key)
    assert "holds more than the key" in said
    assert KEY not in said


def test_a_key_that_is_forbidden_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(lambda *_: Said(403, {})) as server:
        assert "refused the key (HTTP 403" in refused(monkeypatch, f"{server.address}/v1", KEY)


PROXIES = {
    "ALL_PROXY": "socks5://127.0.0.1:9",
    "HTTP_PROXY": "socks://127.0.0.1:9",
    "SSL_CERT_FILE": "/no/such/file.pem",
}


@pytest.mark.parametrize("name", PROXIES)
@pytest.mark.parametrize("own", [True, False], ids=["yours", "embedded"])
def test_a_proxy_or_certificate_that_cannot_be_used_is_told_so_and_no_key_shown(
    monkeypatch: pytest.MonkeyPatch, guarded_server: str, name: str, own: bool
) -> None:
    if own:
        set_to(monkeypatch, guarded_server, KEY)
    monkeypatch.setenv(name, PROXIES[name])
    for make in (clients.blocking_client, clients.async_client):
        with pytest.raises(EndpointError, match="proxy or certificate settings") as caught:
            make(max_retries=0)
        assert caught.value.__suppress_context__
        for step in caught.traceback:
            if "/helpers/" in step.path.as_posix():  # type: ignore[union-attr]
                assert KEY not in repr(step.frame.f_locals)


def test_a_model_that_is_not_listed_is_used_and_told(
    monkeypatch: pytest.MonkeyPatch, guarded_server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    set_to(monkeypatch, guarded_server, KEY, "tiny")
    show_endpoint()
    assert "model     tiny (not among those the endpoint lists)\n" in capsys.readouterr().out
    set_to(monkeypatch, guarded_server, KEY, "small")
    show_endpoint()
    assert "model     small\n" in capsys.readouterr().out


def test_settings_show_no_key() -> None:
    assert KEY not in repr(Settings("http://localhost/v1", KEY, "", "the environment"))


def test_a_wrong_option_stays_a_type_error() -> None:
    with pytest.raises(TypeError):
        clients.blocking_client(no_such_option=1)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("OPENAI_BASE_URL=http://127.0.0.1:9/v1\n".encode("utf-16"), "not UTF-8"),
        ("# für mich\nOPENAI_MODEL=a\n".encode("latin-1"), "not UTF-8"),
        (b"# mine\nset OPENAI_BASE_URL=http://127.0.0.1:9/v1\n", "Line 2 .* NAME=value"),
        (b"$env:OPENAI_BASE_URL='http://127.0.0.1:9/v1'\n", "NAME=value"),
        (b"OPENAI_API_KEY: sk-abc\n", "NAME=value"),
    ],
)
def test_a_dotenv_file_that_cannot_be_read_is_told_so(
    in_an_empty_folder: Path, written: bytes, says: str
) -> None:
    (in_an_empty_folder / ".env").write_bytes(written)
    with pytest.raises(EndpointError, match=says) as caught:
        endpoint()
    assert "sk-abc" not in str(caught.value)


def test_a_dotenv_file_with_a_mark_in_front_is_read(
    monkeypatch: pytest.MonkeyPatch, guarded_server: str, in_an_empty_folder: Path
) -> None:
    text = f"OPENAI_BASE_URL={guarded_server}\nexport OPENAI_API_KEY='{KEY}'\n"
    (in_an_empty_folder / ".env").write_text(text, "utf-8-sig")
    assert endpoint().base_url == guarded_server


def test_an_endpoint_that_lists_no_models_needs_one_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(lambda *_: Said(body={"object": "list", "data": []})) as server:
        assert "or set OPENAI_MODEL" in refused(monkeypatch, f"{server.address}/v1")
        set_to(monkeypatch, f"{server.address}/v1", "", "mine")
        assert endpoint().model == "mine"


def test_an_endpoint_is_asked_only_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(lambda *_: Said(body=MODELS)) as server:
        set_to(monkeypatch, f"{server.address}/v1")
        assert [endpoint().model, clients.model()] == ["some-model", "some-model"]
        assert server.asked == ["GET /v1/models"]


# --- what a notebook shows of it ---


def test_the_embedded_server_is_shown_without_its_chance_port(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_endpoint()
    shown = capsys.readouterr().out
    assert shown.startswith("endpoint  the embedded mock server, on this machine\n")
    assert "http" not in shown
    assert "model     mock-chat\n" in shown
    assert "key       none set, and none needed: the mock server has one of its own\n" in shown
    assert endpoint().api_key not in shown


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
