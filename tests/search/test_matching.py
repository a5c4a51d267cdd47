"""How the built-in search finds words."""

import pytest

from search.matching import Matcher, Texts, words
from search.synonyms import FILE, Synonyms
from search.words import terms


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Serum Glucose", ["serum", "glucose"]),
        ("x-ray, A00.1", ["x", "ray", "a00", "1"]),
        ("Œdème AIGU", ["oedeme", "aigu"]),
        ("Straße", ["strasse"]),
        ("mælk Łódź", ["maelk", "lodz"]),
        ("ﬁèvre", ["fievre"]),
        ("糖尿病 type2", ["糖", "尿", "病", "type2"]),
        ("حُمَّى", ["حمى"]),
        ("बुखार", ["बुखार"]),
        ("\x00\t\n", []),
        ("*:* {!func}", ["func"]),
        ("", []),
    ],
)
def test_words_are_folded_runs_of_letters_and_digits(text, found):
    assert words(text) == words(" ".join(found)) == found


ENTRY = Texts(["A00.1"], ["High Fever of Œdema", "糖尿病"], ["an X-ray shows", "nothing"])


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("fever", True),
        ("FEVER high", True),
        ('"high fever"', True),
        ('"fever high"', False),
        ("fev", False),
        ("fev*", True),
        ("fever nothing", True),
        ("fever absent", False),
        ('"x-ray shows"', True),
        ("oedema", True),
        ("edema", False),
        ("x-ray", True),
        ("ray", True),
        ("a00.1", True),
        ("a00*", True),
        ("a00", True),
        ("00", False),
        ("糖尿", True),
        ("尿糖", False),
        ('"oedema 糖尿病"', False),
    ],
)
def test_an_entry_is_found_when_all_terms_are_in_it(q, found):
    assert (Matcher(terms(q)).rank(ENTRY) is not None) is found
    names = '"names":["High Fever of Œdema","糖尿病"]'
    body = f'{{{names},"id":"A00.1","d":"an X-ray shows nothing"}}'
    assert Matcher(terms(q)).may_hold(body.encode()) or not found


@pytest.mark.parametrize(
    ("q", "rank"),
    [
        ("a00.1", 3),
        ("A00 1", 3),
        ("high fever of oedema", 2),
        ("fever high", 1),
        ("fever ray", 0),
        ("fever a00*", 0),
    ],
)
def test_the_code_comes_before_the_name_and_the_name_before_the_rest(q, rank):
    assert Matcher(terms(q)).rank(ENTRY) == rank


@pytest.mark.parametrize(
    ("q", "body", "rank"),
    [
        ("edema", '"High Fever of Œdema"', 1),
        ("high fever of edema", '"High Fever of Œdema"', 1),
        ("hemoglobin", '"Haemoglobin"', 1),
        ("hemog*", '"Haemoglobin"', 1),
        ("hb", '"Haemoglobin"', 1),
        ('"of edema"', '"High Fever of Œdema"', 1),
        ("糖 尿", '"糖尿病"', 1),
        ("blood sugar", '"糖尿病"', 1),
        ("ferritin", '"Haemoglobin"', None),
    ],
)
def test_synonyms_of_a_term_are_found_in_names(q, body, rank):
    own = Synonyms([*FILE.read_text().splitlines(), "Hb, haemoglobin", "blood, sugar, 糖尿"])
    matcher = Matcher(terms(q), own)
    assert matcher.rank(Texts([], [body.strip('"')], [])) == rank
    assert matcher.may_hold(body.encode()) is (rank is not None)


def test_plain_bodies_are_looked_through_without_being_read():
    assert not Matcher(terms("absent")).may_hold(b'{"name":"Fever"}')
    assert not Matcher(terms("fi\u00e8vre \u7cd6")).may_hold(b'{"name":"Fievre"}')
    assert Matcher(terms("FI\u00c8VRE")).may_hold(b'{"name":"Fievre"}')
