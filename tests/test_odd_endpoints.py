"""Addresses that do not work as they are set: each kind says what it is and what to do."""

import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

from helpers import endpoint as home
from helpers import observe
from helpers.endpoint import EndpointError, dotenv_file, endpoint, probe, show_endpoint
from helpers.endpoint import use_endpoint as use
from tests.odd_servers import MODELS, NOTHING_HERE, Answer, Said, answering, at, saying

KEY = "sk-a-key-that-must-not-show"
GATEWAY = Said(502, "<html><title>502 Bad Gateway</title></html>", "text/html")
PROXY_NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No `.env` of the maintainer's is near, and nothing of an endpoint or a proxy is set."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.upper() in PROXY_NAMES or name.upper().startswith(("OPENAI_", "LLM_", "AZURE_")):
            monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return `refused(url, key, model)`: what is said; the key never is."""

    def say(url: str, key: str = KEY, model: str = "") -> str:
        for name, value in {"BASE_URL": url, "API_KEY": key, "MODEL": model}.items():
            monkeypatch.setenv(f"OPENAI_{name}", value)
        with pytest.raises(EndpointError) as caught:
            show_endpoint()
        said = str(caught.value)
        assert KEY not in said
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
        return said

    return say


def always(said: Said) -> Answer:
    return lambda *_: said


# --- a proxy on the way -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("status", [403, 407, 502, 503, 504])
def test_a_proxys_answer_for_a_local_address_names_its_variable_and_the_way_around(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch, name: str, status: int
) -> None:
    monkeypatch.setenv("NO_PROXY", "intranet.example")
    page = Said(status, GATEWAY.body, GATEWAY.kind)
    with answering(at("/v1/models", Said(body=MODELS))) as local, answering(always(page)) as proxy:
        monkeypatch.setenv(name, proxy.address)
        said = refused(f"{local.address}/v1")
        assert f"the proxy {name}={proxy.address} (HTTP {status}: a web page, “502 Bad" in said
        assert "set NO_PROXY=intranet.example,127.0.0.1 (in a cell: %env NO_PROXY=int" in said
        assert local.asked == []
        InteractiveShell().run_cell("%env NO_PROXY=intranet.example,127.0.0.1")
        assert endpoint().model == "some-model", "the advice, followed, works"


@pytest.mark.parametrize("status", [403, 407, 502])
def test_a_proxy_that_opens_no_way_to_https_is_named_too(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    with saying(f"HTTP/1.1 {status} Not there\r\ncontent-length: 0\r\n\r\n".encode()) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://ann:secret@{proxy}")
        said = refused("https://llm.internal/v1")
    assert f"not reached ({status} Not there)" in said
    assert f"the proxy HTTPS_PROXY=http://…@{proxy}" in said
    assert "set NO_PROXY=llm.internal " in said
    assert "secret" not in said


def test_a_proxy_that_is_not_there_is_named(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://ann:secret@127.0.0.1:9")
    said = refused("http://llm.invalid/v1")
    assert "the proxy HTTP_PROXY=http://…@127.0.0.1:9, which may be what cannot reach it" in said
    assert "secret" not in said
    monkeypatch.setenv("NO_PROXY", "llm.invalid")
    assert "proxy" not in refused("http://llm.invalid/v1")


def test_an_apis_own_error_behind_a_proxy_is_not_the_proxys(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = Said(401, {"error": {"message": "Incorrect API key provided"}})
    with answering(always(wrong)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.address)
        said = refused("http://llm.example/v1")
    assert "refused the key (HTTP 401: “Incorrect API key provided”)" in said
    assert "proxy" not in said


# --- a server that is not ready, or does not want to ------------------------------------------

LOADING = Said(503, {"error": {"code": 503, "message": "Loading model"}})


def test_a_model_that_loads_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "LOADING_PAUSE", 0.01)
    answers = iter([LOADING, LOADING, Said(body=MODELS)])
    with answering(lambda *_: next(answers)) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.address}/v1")
        assert endpoint().model == "some-model"
        assert len(server.asked) == 3


def test_a_model_that_loads_on_says_how_long_it_was_tried(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "LOADING_PATIENCE", 0.0)
    with answering(always(LOADING)) as server:
        said = refused(f"{server.address}/v1")
    assert "is not ready yet (HTTP 503: “Loading model”), and was asked for 0 seconds." in said
    assert "Wait until its model is loaded, then run the cell again." in said


ANSWERS = {
    "full": (Said(503, {"error": {"message": "No channel for it"}}), "answers, but fails (HTTP 50"),
    "broken": (Said(500, {"error": {"message": "CUDA error"}}), "“CUDA error”). Wait and run"),
    "quota": (Said(429, {"error": {"message": "You exceeded your quota"}}), "“You exceeded your"),
    "key": (Said(401, {"error": {"message": f"Wrong key {KEY}"}}), "refused the key (HTTP 401: “"),
    "region": (Said(403, {"error": {"message": "Country not supported"}}), "“Country not suppo"),
    "login": (Said(403, "<title>Sign in</title>", "text/html"), "lets nobody in (HTTP 403: a web"),
    "error under 200": (Said(200, {"error": "Unexpected endpoint"}), "HTTP 200: “Unexpected endp"),
    "page": (Said(200, "<html><title>New API</title>", "text/html"), "a web page, “New API”"),
    "text": (Said(200, "Ollama is running", "text/plain"), "HTTP 200: “Ollama is running”"),
    "empty": (Said(200, ""), "HTTP 200: an empty answer"),
    "list": (Said(200, []), "is no OpenAI-compatible API"),
    "other data": (Said(200, {"data": 3}), "is no OpenAI-compatible API"),
    "nothing": (NOTHING_HERE, "/v1/chat/completions answered HTTP 404: “404 page not found”"),
}


@pytest.mark.parametrize("model", ["", "a-model"], ids=["", "with OPENAI_MODEL"])
@pytest.mark.parametrize("kind", ANSWERS)
def test_an_answer_that_is_no_list_of_models_is_told_in_the_servers_words(
    refused: Callable[..., str], kind: str, model: str
) -> None:
    answer, says = ANSWERS[kind]
    with answering(always(answer)) as server:
        said = refused(f"{server.address}/v1", model=model)
    assert says in said
    assert said.startswith(f"OPENAI_BASE_URL={server.address}/v1 (from the environment) ")


def test_a_key_that_is_wanted_and_not_set_is_said_to_be_so(refused: Callable[..., str]) -> None:
    with answering(always(Said(401, {"error": {"message": "Missing key"}}))) as server:
        said = refused(f"{server.address}/v1", key="")
    assert "wants a key, and none is set (HTTP 401: “Missing key”). Set OPENAI_API_KEY" in said


# --- the API is elsewhere ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["", "/api", "/api/chat", "/api/v0", "/v1/v1", "/v2", "/v1/chat/completions"]
)
@pytest.mark.parametrize("other", [NOTHING_HERE, Said(200, {"error": "Unexpected endpoint"})])
def test_another_path_of_the_server_is_told_the_right_one(
    refused: Callable[..., str], path: str, other: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(at("/v1/models", Said(body=MODELS), other)) as server:
        assert f"Set OPENAI_BASE_URL={server.address}/v1." in refused(f"{server.address}{path}")
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.address}/v1")
        assert endpoint().model == "some-model", "the advice, followed, works"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_an_address_that_moved_is_told_the_new_one(
    refused: Callable[..., str], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(at("/api/v1/models", Said(body=MODELS))) as new:

        def moved(_: str, path: str) -> Said:
            return Said(status, headers={"location": f"{new.address}/api{path}"})

        with answering(moved) as old:
            said = refused(f"{old.address}/v1")
            assert f"has moved to {new.address}/api/v1 (HTTP {status})" in said
            assert f"Set OPENAI_BASE_URL={new.address}/api/v1." in said
            assert ("would arrive as a GET" in said) == (status in (301, 302, 303))
        monkeypatch.setenv("OPENAI_BASE_URL", f"{new.address}/api/v1")
        assert endpoint().model == "some-model", "the advice, followed, works"


def test_a_key_does_not_follow_to_another_host(refused: Callable[..., str]) -> None:
    with answering(always(Said(body=MODELS))) as new:
        elsewhere = new.address.replace("127.0.0.1", "localhost")
        moved = Said(301, headers={"location": f"{elsewhere}/v1/models"})
        with answering(always(moved)) as old:
            assert f"Set OPENAI_BASE_URL={elsewhere}/v1." in refused(f"{old.address}/v1")
        assert new.keys == [""]


def test_a_redirect_to_a_slash_more_says_that_the_sdk_sends_none(
    refused: Callable[..., str],
) -> None:
    with answering(lambda _, path: Said(307, headers={"location": f"{path}/"})) as server:
        said = refused(f"{server.address}/v1")
    assert "wants a slash at the end of each path (HTTP 307), which the SDK sends none" in said


def test_a_redirect_to_a_login_page_is_no_new_address(refused: Callable[..., str]) -> None:
    with answering(always(Said(302, headers={"location": "/login?next=secret"}))) as server:
        said = refused(f"{server.address}/v1")
    assert f"leads on to {server.address}/login?… (HTTP 302), which is no API" in said


# --- nothing of HTTP comes --------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate that nobody signed, with its key, in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    file = tmp_path_factory.mktemp("certificate") / "both.pem"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command += ["-nodes", "-days", "1", "-subj", "/CN=test", "-addext"]
    command += ["subjectAltName=IP:127.0.0.1", "-keyout", str(file), "-out", f"{file}.crt"]
    subprocess.run(command, check=True, capture_output=True)
    file.write_text(file.read_text() + Path(f"{file}.crt").read_text())
    return file


@contextmanager
def encrypted(certificate: Path) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with answering(always(Said(body=MODELS)), context) as server:
        yield server.address


def test_an_untrusted_certificate_is_told_so(
    refused: Callable[..., str], certificate: Path
) -> None:
    with encrypted(certificate) as address:
        said = refused(f"{address}/v1")
    assert "shows a certificate that is not trusted here (self-signed certificate)" in said
    assert "SSL_CERT_FILE" in said


@pytest.mark.parametrize("trusted", [True, False])
def test_http_to_an_encrypted_server_is_told_https(
    refused: Callable[..., str], certificate: Path, trusted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}.crt")
    with encrypted(certificate) as address:
        said = refused(f"{address.replace('https', 'http')}/v1")
    assert "answers with encryption: it is https:// in place of http://. Set OPENAI_B" in said
    assert f"Set OPENAI_BASE_URL={address}/v1." in said


def test_https_to_a_plain_server_is_told_http_and_no_key_goes_in_the_clear(
    refused: Callable[..., str],
) -> None:
    with answering(always(Said(body=MODELS))) as server:
        said = refused(f"{server.address.replace('http', 'https')}/v1")
        assert f"Set OPENAI_BASE_URL={server.address}/v1." in said
        assert set(server.keys) <= {""}


@pytest.mark.parametrize("first", [b"SSH-2.0-OpenSSH_9.6\r\n", b""], ids=["ssh", "hangs up"])
def test_a_port_that_speaks_no_http_is_told_so(refused: Callable[..., str], first: bytes) -> None:
    with saying(first) as address:
        said = refused(f"http://{address}/v1")
    assert "is answered by something that speaks no HTTP (" in said


def test_a_port_that_stays_silent_is_told_so(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "PROBE_TIMEOUT", 0.1)
    with saying(None) as address:
        said = refused(f"http://{address}/v1")
    assert f"did not answer within 0.1 seconds, although {address} took the connection" in said


def test_a_host_that_no_one_knows_is_told_so(refused: Callable[..., str]) -> None:
    assert "no host is known by the name 'llm.invalid'" in refused("http://llm.invalid/v1")


def test_a_port_where_nothing_listens_is_told_so(refused: Callable[..., str]) -> None:
    with socket.socket() as taken:  # bound, and not listening: nobody else can take it
        taken.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{taken.getsockname()[1]}"
        said = refused(f"http://{host}/v1")
    assert f"nothing listens at {host} on the machine that runs this kernel" in said
    assert "unset OPENAI_BASE_URL to use the course's own mock server" in said


# --- settings that are not read ---------------------------------------------------------------

AN_ADDRESS = "http://localhost:8000/v1"
NOT_READ = {
    "OPENAI_API_BASE": AN_ADDRESS,
    "OPENAI_BASE": AN_ADDRESS,
    "OPENAI_ENDPOINT": AN_ADDRESS,
    "OPENAI_URL": AN_ADDRESS,
    "LLM_BASE_URL": AN_ADDRESS,
    "AZURE_OPENAI_ENDPOINT": "https://mine.openai.azure.com",
    "OLLAMA_HOST": "0.0.0.0",
    "VLLM_API_BASE": "localhost:8000",
}
MEANT = {
    "AZURE_OPENAI_ENDPOINT": "https://mine.openai.azure.com/openai/v1",
    "OLLAMA_HOST": "http://localhost:11434/v1",
}


@pytest.mark.parametrize("place", ["environment", "file"])
@pytest.mark.parametrize("name", NOT_READ)
def test_an_address_under_another_name_is_named_with_what_to_set(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    in_an_empty_folder: Path,
    name: str,
    place: str,
) -> None:
    if place == "file":
        (in_an_empty_folder / ".env").write_text(f"{name}={NOT_READ[name]}\n", "utf-8")
    else:
        monkeypatch.setenv(name, NOT_READ[name])
    show_endpoint()
    meant = MEANT.get(name, AN_ADDRESS)
    sentence = f"{name} is set, but not read, so the mock server answers: "
    assert f"{sentence}set OPENAI_BASE_URL={meant}.\n" in capsys.readouterr().out


def test_address_key_and_model_under_other_names_are_one_sentence_without_the_key(
    in_an_empty_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = f"LLM_BASE_URL={AN_ADDRESS}\nLLM_API_KEY={KEY}\nLLM_MODEL_ID=qwen\n"
    (in_an_empty_folder / ".env").write_text(lines, "utf-8")
    show_endpoint()
    shown = capsys.readouterr().out
    assert "LLM_BASE_URL, LLM_API_KEY and LLM_MODEL_ID are set, but not read" in shown
    assert f"OPENAI_BASE_URL={AN_ADDRESS}, OPENAI_API_KEY to that key and OPENAI_MODEL=q" in shown
    assert KEY not in shown


def test_a_key_without_an_address_is_never_called_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    show_endpoint()
    shown = capsys.readouterr().out
    assert "key       set, and sent nowhere: the mock server has one of its own\n" in shown
    assert "OPENAI_API_KEY is set without an address" in shown
    assert "none set" not in shown
    assert KEY not in shown


def test_a_key_of_another_maker_is_nobodys_mistake(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("AZURE_OPENAI_API_KEY", "GROQ_API_KEY"):
        monkeypatch.setenv(name, KEY)
    show_endpoint()
    with answering(always(Said(body=MODELS))) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.address}/v1")
        show_endpoint()
    assert "remark" not in capsys.readouterr().out


def test_the_first_client_says_it_too_and_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from helpers import async_client, blocking_client

    monkeypatch.setattr(home, "_remarked", set())
    monkeypatch.setenv("OPENAI_API_BASE", AN_ADDRESS)
    blocking_client()
    async_client()
    assert capsys.readouterr().err.count("OPENAI_API_BASE is set, but not read") == 1


# --- what a notebook shows --------------------------------------------------------------------


def test_a_notebook_shows_the_sentence_and_no_frames(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "localhost:8000/v1")
    InteractiveShell().run_cell("from helpers import blocking_client\nblocking_client()")
    shown = capsys.readouterr()
    lines = (shown.out + shown.err).strip().splitlines()
    assert len(lines) == 1
    assert "EndpointError" in lines[0]
    assert lines[0].endswith("Set OPENAI_BASE_URL=http://localhost:8000/v1.")


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no way to freeze a process")
def test_a_frozen_mock_server_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observe, "PATIENCE", 0.1)
    command = [sys.executable, "-m", "helpers.mock_server", "--port", "0", "--exit-with-parent"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        address = server.stdout.readline().split()[-1]
        monkeypatch.setenv("OPENAI_BASE_URL", address)
        assert observe.requests_seen() == 0
        server.send_signal(signal.SIGSTOP)
        with pytest.raises(EndpointError, match=r"frozen or overloaded\. Look at the one at http"):
            observe.requests_seen()
        server.kill()
    with pytest.raises(EndpointError, match="does not answer any more"):
        observe.requests_seen()


# --- a .env file from a notebook --------------------------------------------------------------


def test_an_endpoint_given_in_a_cell_is_looked_at_and_kept(
    in_an_empty_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = in_an_empty_folder / ".env"
    file.write_text("# mine\nOTHER=1\n", "utf-8-sig")
    monkeypatch.setattr(home, "getpass", lambda _: KEY)
    with answering(always(Said(body=MODELS))) as server:
        use(f"{server.address}/v1/", model="mine")
        assert endpoint().base_url == f"{server.address}/v1"
        assert endpoint().api_key == KEY
        assert "(from a .env file)" in (shown := capsys.readouterr().out)
        assert KEY not in shown
        use()
    assert endpoint().source == "the embedded mock server"
    assert dotenv_file.read() == {"OTHER": "1"}


def test_an_endpoint_that_does_not_work_is_not_kept(
    in_an_empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home, "getpass", lambda _: "")
    with pytest.raises(EndpointError, match="this call"):
        use("http://127.0.0.1:9/v1")
    assert not (in_an_empty_folder / ".env").exists()


def test_an_environment_that_decides_is_told_and_the_advice_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "")
    with pytest.raises(EndpointError, match="wins over a file") as caught:
        use("http://127.0.0.1:9/v1")
    exec(str(caught.value).partition("take it out: ")[2])
    use()


def test_a_file_that_was_meant_to_be_dotenv_is_named(
    in_an_empty_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (in_an_empty_folder / ".env.txt").write_text(f"OPENAI_BASE_URL={AN_ADDRESS}\n", "utf-8")
    show_endpoint()
    assert "The file .env.txt is not read: its name must be .env" in capsys.readouterr().out
