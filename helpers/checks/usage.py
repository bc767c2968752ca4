"""What two lessons ask of an answer: a text, and how many tokens were written for it."""

from helpers.checks.exercise import NotYet, Trial, describe, describe_call


async def text_and_tokens(trial: Trial, question: str) -> tuple[str, int]:
    """Run the answer on a question and return the pair that it gives.

    Raises:
        NotYet: it gives no pair of a text and a number.
    """
    pair = await trial.run(question)
    call = describe_call(trial.answer, (question,))
    if not (isinstance(pair, tuple) and len(pair) == 2):
        raise NotYet(
            f"{call} returned {describe(pair)}, where a tuple was wanted: (text, tokens).",
            "A comma makes a tuple: return text, tokens",
        )
    text, tokens = pair
    if not isinstance(text, str):
        raise NotYet(
            f"The pair begins with {describe(text)}, where the text was wanted.",
            "First the text, then the tokens: return text, tokens",
        )
    if not isinstance(tokens, int):
        raise NotYet(
            f"The pair ends with {describe(tokens)}, where a number was wanted.",
            "A usage holds several counts; the one of what the model wrote is completion_tokens.",
        )
    return text, tokens
