"""Receipts: signed, verifiable by whoever holds the secret, and not to be changed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from domain.receipts import BadReceipt, Receipt, number_of, sign, verify

SECRET = b"k" * 32
NUMBER = number_of(SECRET, tenant="t", session_id="s", code="梅")
RECEIPT = Receipt(
    NUMBER, "t", "2024-2025-1", "s", "梅", 1_725_242_400_000, "review", "LATE", ("outside",), 12, 3, "k-1"
)


def test_a_receipt_says_what_was_signed() -> None:
    """It is what an appeal attaches."""
    text = sign(SECRET, RECEIPT)
    assert text.isascii() and verify(SECRET, text) == RECEIPT
    assert text == sign(SECRET, RECEIPT)


def test_the_number_is_that_of_the_student_in_the_session() -> None:
    """A repeat reads out the same; nobody can guess another's."""
    assert number_of(SECRET, tenant="t", session_id="s", code="梅") == NUMBER and len(NUMBER) == 14
    others = [("t2", "s", "梅"), ("t", "s2", "梅"), ("t", "s", "宝")]
    assert NUMBER not in {number_of(SECRET, tenant=t, session_id=s, code=c) for t, s, c in others}
    assert number_of(b"x" * 32, tenant="t", session_id="s", code="梅") != NUMBER


def test_no_byte_of_it_can_be_changed() -> None:
    """A student who turns LATE into NORMAL has no receipt any more."""
    text = sign(SECRET, RECEIPT)
    for at in range(len(text)):
        with pytest.raises(BadReceipt):
            verify(SECRET, text[:at] + ("x" if text[at] != "x" else "y") + text[at + 1 :])


@pytest.mark.parametrize("text", ["", ".", "{}", "{}." + "0" * 64, "\ud800." + "0" * 64, "[" * 100_000 + ".x", "a.é"])
def test_what_is_no_receipt_is_refused(text: str) -> None:
    """It is read before anything is known about who sends it."""
    with pytest.raises(BadReceipt):
        verify(SECRET, text)


def test_a_receipt_of_another_secret_is_refused() -> None:
    """Each installation has its own."""
    with pytest.raises(BadReceipt):
        verify(b"x" * 32, sign(SECRET, replace(RECEIPT, decision="accepted")))
