"""openai-python's own tests of the resources that the server has, from its source distribution."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from shim import Shim

RESOURCES = (
    "chat",
    "conversations",
    "responses",
    "test_batches.py",
    "test_completions.py",
    "test_conversations.py",
    "test_embeddings.py",
    "test_files.py",
    "test_models.py",
    "test_moderations.py",
    "test_responses.py",
)

STORED = "the SDK's strict reading wants assistants alone in a stored conversation; users speak too"
COMPACT = "the SDK's strict reading has no place for what the user said, which a compaction keeps"
EXPECTED = {
    f"Test{flavour}{case}": reason
    for flavour in ("", "Async")
    for case, reason in {
        "Messages.test_method_list": STORED,
        "Messages.test_method_list_with_all_params": STORED,
        "Messages.test_raw_response_list": STORED,
        "Messages.test_streaming_response_list": STORED,
        "Responses.test_method_compact": COMPACT,
        "Responses.test_method_compact_with_all_params": COMPACT,
        "Responses.test_raw_response_compact": COMPACT,
        "Responses.test_streaming_response_compact": COMPACT,
    }.items()
}
"""Tests that fail, by class and name without their parameters, each with its reason. One that
passes is news, and fails this test."""


@pytest.fixture(scope="module")
def address(base_url: str) -> Iterator[str]:
    shim = Shim(base_url)
    yield shim.address
    shim.close()


def test_the_sdks_own_tests_pass_but_for_those_listed(address: str, tmp_path: Path) -> None:
    suite = Path(os.environ["OPENAI_SOURCE"])  # unpacked by `make clients`
    report = tmp_path / "report.xml"
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull),
            *("--rootdir", str(suite), "-o", "asyncio_mode=auto", f"--junitxml={report}"),
            *(f"tests/api_resources/{resource}" for resource in RESOURCES),
        ],
        cwd=suite,
        env={**os.environ, "TEST_API_BASE_URL": address},
        capture_output=True,
        text=True,
        check=False,
    )
    assert report.exists(), ran.stdout + ran.stderr
    failed: dict[str, str] = {}
    outcomes: Counter[str] = Counter()
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname', '').split('.')[-1]}.{case.get('name', '').split('[')[0]}"
        bad = next((part for part in case if part.tag in ("failure", "error")), None)
        outcomes["failed" if bad is not None else "skipped" if len(case) else "passed"] += 1
        if bad is not None:
            failed[name] = (bad.get("message") or "")[:300]
    print(dict(outcomes))
    assert {name: why for name, why in failed.items() if name not in EXPECTED} == {}
    assert sorted(EXPECTED.keys() - failed.keys()) == [], "they pass: take them off the list"
    assert outcomes["passed"] > 600, "fewer ran than there are"
