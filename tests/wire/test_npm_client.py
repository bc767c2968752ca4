"""The main paths through the npm `openai` client: another language, another HTTP stack."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from helpers.mock_server.content.replies import reply
from helpers.pytest_plugin import MockOpenAI

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("npm_client.mjs")
PACKAGE = "openai@6"
BLUE = reply("Why is the sky blue?")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the npm client installed; skips where there is no node, or no registry."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("node and npm are not installed here")
    folder = tmp_path_factory.mktemp("npm")
    (folder / "package.json").write_text('{"type": "module"}')
    ended = subprocess.run(
        [npm, "install", "--no-audit", "--no-fund", "--no-package-lock", PACKAGE],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if ended.returncode != 0:
        pytest.skip(f"npm could not install {PACKAGE}: is a registry at hand?")
    shutil.copy(SCRIPT, folder)
    return folder


def test_the_npm_client_sees_what_the_python_one_sees(
    folder: Path, mock_openai: MockOpenAI
) -> None:
    ended = subprocess.run(
        ["node", SCRIPT.name, mock_openai.base_url],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    seen: dict[str, Any] = json.loads(ended.stdout)
    for name in ("chat", "streamed", "response", "followed", "again", "retried"):
        assert seen[name] == BLUE, name
    assert seen["usage"] > 10
    assert seen["tool"] == {"city": "Paris"}
    assert isinstance(seen["shaped"]["n"], int)
    assert seen["events"][0] == "response.created"
    assert seen["events"][-1] == "response.completed"
    assert "response.output_text.delta" in seen["events"]
    assert seen["embeddings"] == [8, 8]
    assert seen["models"] == ["mock-chat", "mock-embed"]
    assert seen["file"] == "{}\n"
    assert seen["split"] == f"{BLUE} ☕"
    assert {name: found["kind"] for name, found in seen["failures"].items()} == {
        "400": "BadRequestError",
        "401": "AuthenticationError",
        "404": "NotFoundError",
        "429": "RateLimitError",
        "500": "InternalServerError",
    }
    assert seen["failures"]["429"]["code"] == "rate_limit_exceeded"
    assert seen["unknown"]["status"] == 400
    assert seen["dropped"] is not None
    assert seen["errorEvent"]["kind"] == "APIError"
    records = mock_openai.http.get("/mock/journal?client=leaving&settle=5").json()["requests"]
    assert [record["outcome"] for record in records] == ["abandoned"]
