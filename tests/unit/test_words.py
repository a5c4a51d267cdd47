"""How `q` is parsed, before any engine searches for it."""

import pytest

from search.words import MOST_TERMS, Term, terms


@pytest.mark.parametrize(
    ("q", "meant"),
    [
        ("fever", [Term("fever")]),
        ("  high   fever ", [Term("high"), Term("fever")]),
        ('"high fever" child', [Term("high fever", phrase=True), Term("child")]),
        ('"fever"', [Term("fever")]),
        ("feb*", [Term("feb", prefix=True)]),
        ("feb**", [Term("feb", prefix=True)]),
        ("a*b *c", [Term("a"), Term("b"), Term("c")]),
        ('"a b"*', [Term("a b", phrase=True)]),
        ('"unbalanced quote', [Term("unbalanced"), Term("quote")]),
        ('half"way there"', [Term("half"), Term("way there", phrase=True)]),
        ("fever Fever FEVER", [Term("fever")]),
        ("a\0b\tc", [Term("a"), Term("b"), Term("c")]),
        ("x-ray {!term f=repo}7", [Term("x-ray"), Term("{!term"), Term("f=repo}7")]),
        ("NOT x AND y", [Term("NOT"), Term("x"), Term("AND"), Term("y")]),
        ("e\u0301te\u0301", [Term("\u00e9t\u00e9")]),
        ("糖尿病", [Term("糖尿病")]),
    ],
)
def test_a_text_is_read_as_words_phrases_and_prefixes(q, meant):
    assert list(terms(q)) == meant


@pytest.mark.parametrize("q", ["", " ", "*", '"', '""', "* * *", "*:*", "-", "\0", "{!}", "&&"])
def test_a_text_without_letter_or_digit_asks_for_nothing(q):
    assert terms(q) == ()


def test_the_number_of_terms_is_bounded_and_the_first_count():
    found = terms(" ".join(f"w{number}" for number in range(5000)))
    assert found == tuple(Term(f"w{number}") for number in range(MOST_TERMS))


def test_a_long_text_of_quotation_marks_and_stars_is_read_in_linear_time():
    assert terms('"*' * 100_000) == ()
    assert terms("x" * 10_000) == (Term("x" * 10_000),)
