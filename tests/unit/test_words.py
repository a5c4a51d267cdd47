"""How `q` is parsed, before any engine searches for it."""

import pytest

from search.words import MOST_TERMS, Term, asks, exact, letters, terms


@pytest.mark.parametrize(
    ("q", "meant"),
    [
        ("fever", [Term("fever")]),
        ("  high   fever ", [Term("high"), Term("fever")]),
        ('"high fever" child', [Term("high fever", phrase=True), Term("child")]),
        ('"fever"', [Term("fever")]),
        ("feb*", [Term("feb", prefix=True)]),
        ("feb**", [Term("feb", prefix=True)]),
        ("*ver", [Term("ver", suffix=True)]),
        ("*eve*", [Term("eve", prefix=True, suffix=True)]),
        ("a*b *c", [Term("a"), Term("b"), Term("c", suffix=True)]),
        ("*a*b*", [Term("a", suffix=True), Term("b", prefix=True)]),
        ("fev fev* *fev", [Term("fev"), Term("fev", prefix=True), Term("fev", suffix=True)]),
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


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        *((text, False) for text in ("", "  ", "*", "***", '"', '"" *', "\0", "\u00ad", "\ufeff")),
        *((text, True) for text in ("a", "++", "\u20ac", "+*", "(", "\u00bd", "-", "\U0001f600")),
    ],
)
def test_a_text_of_blanks_stars_and_quotation_marks_asks_for_nothing(text, asked):
    assert asks(text) is asked


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A+", "a+"),
        ("CD8%", "cd8%"),
        ("  1:32\t\u00a0x ", "1:32 x"),
        ("10\u2079/L", "10\u2079/l"),
        ("\u00bd", "\u00bd"),
        (
            "\u0437\u0434\u043e\u0440\u043e\u0432\u2019\u044f",
            "\u0437\u0434\u043e\u0440\u043e\u0432'\u044f",
        ),
        ("gly\u00adcemia", "glycemia"),
        ("E\u0301t\u00e9", "ete"),
    ],
)
def test_an_exact_text_keeps_its_signs(text, found):
    assert exact(text) == exact(found) == found


def test_letters_are_without_case_accents_and_ligatures():
    assert letters("Œdème, STRAẞE ﬁ m²") == "oedeme, strasse fi m2"
