"""Questions of many threads, asked as one: under load a round trip answers all who came while the last one was under way.

Nothing is remembered: every question is asked after it was put. Alone, a question is asked at once; where the last one was
not alone, whoever leads waits a moment for company, because a question of ten costs little more than a question of one; the
longer, the more there were, because few gain little from it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class _Waiting(Generic[Q, A]):
    """A question and who waits for it; `leads` once it is his turn to ask."""

    __slots__ = ("answer", "answered", "bell", "error", "leads", "question")

    def __init__(self, question: Q) -> None:
        self.question = question
        self.answer: A | None = None
        self.error: BaseException | None = None
        self.answered = self.leads = False
        self.bell = threading.Lock()
        self.bell.acquire()


class Together(Generic[Q, A]):
    """`ask_all` gets questions and gives their answers in the same order, an exception in the place of one that has none."""

    def __init__(
        self,
        ask_all: Callable[[Sequence[Q]], Sequence[A | Exception]],
        *,
        most: int = 64,
        linger_s: float = 0.004,
        each_s: float | None = None,
    ) -> None:
        """Whoever leads waits for company `linger_s`, or `each_s` for each who came the last time, and so long at most."""
        self._ask_all, self._most, self._linger_s = ask_all, most, linger_s
        self._each_s = linger_s if each_s is None else each_s
        self._company = 1
        self._lock = threading.Lock()
        self._waiting: list[_Waiting[Q, A]] = []
        self._asking = False

    def ask(self, question: Q) -> A:
        """The answer. Raises what `ask_all` gave or raised."""
        mine: _Waiting[Q, A] = _Waiting(question)
        with self._lock:
            self._waiting.append(mine)
            mine.leads, self._asking = not self._asking, True
        if not mine.leads:
            mine.bell.acquire()
        if not mine.answered:
            self._lead()
        if mine.error is not None:
            raise mine.error
        return mine.answer  # type: ignore[return-value]

    def _lead(self) -> None:
        """Ask for all who wait, oneself first among them, and leave the lead to whoever came meanwhile."""
        if self._company > 1:
            time.sleep(min(self._linger_s, self._each_s * self._company))
        with self._lock:
            batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
        self._company = len(batch)
        try:
            self._answer(batch)
        finally:
            with self._lock:
                heir = self._waiting[0] if self._waiting else None
                self._asking = heir is not None
            if heir is not None:
                heir.bell.release()
            for one in batch[1:]:
                one.bell.release()

    def _answer(self, batch: Sequence[_Waiting[Q, A]]) -> None:
        try:
            found = self._ask_all([one.question for one in batch])
        except BaseException as error:
            for one in batch:
                one.error, one.answered = error, True
            return
        for one, answer in zip(batch, found, strict=True):
            if isinstance(answer, Exception):
                one.error = answer
            else:
                one.answer = answer
            one.answered = True
