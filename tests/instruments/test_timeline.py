"""What a timeline takes, gathers and says in words."""

import asyncio
from typing import Any

import pytest

from helpers import observe
from helpers.clients import async_client, blocking_client, model
from helpers.observe import NO_JOURNAL, Journal
from helpers.timelines import recorded, timeline
from helpers.timelines.run import Run
from helpers.timelines.show import Timeline
from tests.instruments.made import heartbeat, one_after_another, request, together

QUESTION: Any = [{"role": "user", "content": "Why is the sky blue?"}]


def ask() -> None:
    blocking_client().chat.completions.create(model=model(), messages=QUESTION)


async def ask_async() -> None:
    async with async_client(max_retries=0) as client:
        await client.chat.completions.create(model=model(), messages=QUESTION)


@pytest.mark.parametrize(
    ("requests", "words"),
    [
        ((), "No request reached the server."),
        (
            (request(1, 1.0, tokens=5),),
            "One request reached the server; it sent 5 tokens one by one and finished.",
        ),
        (
            (request(1, 1.0, tokens=9, stream=False),),
            "One request reached the server; it sent 9 tokens in one piece and finished.",
        ),
        (
            (request(1, 1.0, outcome="refused", status=401, tokens=0),),
            "One request reached the server; it was refused with status 401.",
        ),
        (
            (request(1, 1.0, outcome="abandoned"),),
            "One request reached the server; it was abandoned by the client before its end.",
        ),
        (one_after_another(), "3 requests reached the server, one after another; all finished."),
        (together(2), "2 requests reached the server, both in flight at once; all finished."),
        (together(), "3 requests reached the server, all 3 in flight at once; all finished."),
        (
            (*together(2), request(9, 300.0)),
            "3 requests reached the server, at most 2 in flight at a time; all finished.",
        ),
        (
            (
                request(1, 1.0, outcome="failed", tokens=0, status=503),
                request(2, 3.0, retry=1),
            ),
            "2 requests reached the server, one after another; 1 finished and 1 failed; "
            "1 of them was a retry.",
        ),
    ],
)
def test_the_words_count_what_was_drawn(requests: Any, words: str) -> None:
    assert " ".join(timeline(requests).text.split()) == words


def test_the_words_hold_at_any_pace() -> None:
    def at(dial: float) -> str:
        slow = [request(i, 10 + i * dial, wait=0.4 * dial, gap=0.1 * dial) for i in range(3)]
        quick = [request(i, 20 + i * 0.001, wait=0.4 * dial, gap=0.1 * dial) for i in range(3)]
        frozen = heartbeat((slow[0].arrived, slow[-1].ended or 0.0))
        runs = (Run("slow", tuple(slow), frozen), Run("quick", tuple(quick), heartbeat()))
        return Timeline(lambda: runs, None).text

    assert at(1.0) == at(0.1) == at(5.0)
    assert "slow took longer than quick." in at(1.0)


@pytest.mark.parametrize(
    ("frozen", "words"),
    [
        ((), "The event loop had its turns meanwhile."),
        (((100.0, 200.0),), "The event loop stood still meanwhile."),
        (tuple((i / 10, i / 10 + 0.09) for i in range(990, 1100)), "The event loop had its turns"),
        (((100.0, 101.0),), "The event loop stood still during some of them."),
    ],
)
def test_the_words_say_whether_the_loop_stood_still(frozen: Any, words: str) -> None:
    said = timeline(one_after_another(), heartbeat=heartbeat(*frozen)).text
    assert words in " ".join(said.split())


def test_a_blocking_call_freezes_the_loop_that_a_recording_listens_to() -> None:
    async def main() -> Any:
        with recorded() as blocking:
            ask()
        with recorded() as concurrent:
            await asyncio.gather(*(ask_async() for _ in range(3)))
        return blocking, concurrent

    blocking, concurrent = asyncio.run(main())
    assert len(blocking.requests) == 1
    assert len(concurrent.requests) == 3
    assert concurrent.peak_in_flight == 3
    said = " ".join(timeline(blocking=blocking, concurrent=concurrent).text.split())
    assert "blocking: one request" in said
    assert "finished. The event loop stood still meanwhile. concurrent:" in said
    assert "all 3 in flight at once; all finished. The event loop had its turns meanwhile." in said


def test_a_lane_is_named_for_the_task_that_asked_where_the_task_was_given_a_name() -> None:
    async def main() -> Any:
        with recorded() as stretch:
            named = asyncio.create_task(ask_async(), name="haiku")
            await named
            await asyncio.create_task(ask_async())
        return stretch

    lanes = timeline(asyncio.run(main())).figure().axes[1]
    assert [label.get_text() for label in lanes.get_yticklabels()] == ["haiku", "2"]


def test_a_with_block_shows_its_own_requests_and_no_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ask()
    with timeline() as shown:
        ask()
        ask()
    ask()
    assert len(shown.requests) == 2
    assert capsys.readouterr().out.startswith("2 requests reached the server, one after another")


def test_a_with_block_that_fails_still_shows_what_happened(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def failing() -> None:
        with timeline():
            ask()
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        failing()
    assert "One request reached the server" in capsys.readouterr().out


def test_a_recording_does_not_grow_after_its_end() -> None:
    with recorded() as stretch:
        ask()
    ask()
    assert len(stretch.requests) == 1


def test_a_whole_journal_can_be_drawn() -> None:
    ask()
    seen = observe.journal()
    assert timeline(seen).requests == seen.requests
    assert timeline(Journal(together(), 3)).requests == together()


def test_an_endpoint_without_a_journal_gets_one_line_and_no_picture(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(observe, "journal", lambda **_: NO_JOURNAL)
    with timeline() as shown:
        pass
    stretch = recorded()
    line = "No timeline: this endpoint keeps no journal. The course's mock server does.\n"
    assert capsys.readouterr().out == line
    for form in (shown, timeline(), timeline(NO_JOURNAL), timeline(a=stretch, b=NO_JOURNAL)):
        assert f"{form}\n" == line
        with pytest.raises(ValueError, match="nothing to draw"):
            form.figure()


def test_named_runs_lose_their_underscores() -> None:
    names = [run.name for run in timeline(one_by_one=together(), async_=together()).runs]
    assert names == ["one by one", "async"]


@pytest.mark.parametrize("wrong", [3, "requests", [1], [object()], together])
def test_what_holds_no_requests_is_turned_down_at_once(wrong: Any) -> None:
    with pytest.raises(TypeError, match="A timeline shows requests"):
        timeline(wrong)


def test_a_stretch_and_named_runs_at_once_are_turned_down() -> None:
    with pytest.raises(TypeError, match="not both"):
        timeline(together(), other=together())


def test_a_timeline_of_known_requests_records_no_block() -> None:
    with pytest.raises(TypeError, match="has its requests already"), timeline(together()):
        pass


def test_parts_of_one_run_stand_on_one_clock() -> None:
    early, late = one_after_another(2), (request(9, 105.0),)
    apart = timeline(a=early, b=late).runs
    assert [run.start for run in apart] == [100.0, 105.0]
    together = timeline(one_clock=True, a=early, b=late, c=()).runs
    assert [run.start for run in together] == [100.0, 100.0, 100.0]
    titles = [text.get_text() for axes in timeline(one_clock=True, a=early, b=late).figure().axes
              if axes.get_label() == "title" for text in axes.texts]  # fmt: skip
    assert any("0.90 s from first arrival" in title for title in titles), titles
