"""Questions of many threads that are asked as one."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from usecases.together import Together


def test_everybody_gets_the_answer_to_what_he_asked() -> None:
    """Whoever asks for all must not mix up who asked what, and an error is that of its own question."""
    asked: list[int] = []

    def ask_all(questions: Sequence[int]) -> list[int | Exception]:
        asked.append(len(questions))
        return [ValueError(str(one)) if one % 7 == 0 else one * 2 for one in questions]

    together: Together[int, int] = Together(ask_all, most=8, linger_s=0.001)

    def one(number: int) -> object:
        try:
            return together.ask(number)
        except ValueError as error:
            return str(error)

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(one, range(400)))
    assert found == [str(n) if n % 7 == 0 else n * 2 for n in range(400)]
    assert sum(asked) == 400 and max(asked) <= 8


def test_who_comes_while_one_is_asked_about_is_asked_about_afterwards_with_all_others() -> None:
    """So that nobody is told what was true before he asked."""
    first, go_on = threading.Event(), threading.Event()
    batches: list[list[str]] = []

    def ask_all(questions: Sequence[str]) -> list[str | Exception]:
        batches.append(list(questions))
        if len(batches) == 1:
            first.set()
            assert go_on.wait(60)
        return list(questions)

    together: Together[str, str] = Together(ask_all, linger_s=0)
    with ThreadPoolExecutor(4) as pool:
        early = pool.submit(together.ask, "early")
        assert first.wait(60)
        late = [pool.submit(together.ask, name) for name in ("a", "b", "c")]
        while len(together._waiting) < 3:
            first.wait(0)
        go_on.set()
        assert [one.result(60) for one in (early, *late)] == ["early", "a", "b", "c"]
    assert [sorted(one) for one in batches] == [["early"], ["a", "b", "c"]]


def test_an_error_of_the_whole_question_is_everybodys_and_the_next_one_is_asked_again() -> None:
    """A server that was away is asked again by the next who comes."""
    away = [True]

    def ask_all(questions: Sequence[str]) -> list[str | Exception]:
        if away.pop() if away else False:
            raise ConnectionError("away")
        return list(questions)

    together: Together[str, str] = Together(ask_all)
    with pytest.raises(ConnectionError):
        together.ask("x")
    assert together.ask("y") == "y"
