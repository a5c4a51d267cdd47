"""How the built-in search finds words."""

import pytest

from oclapi import jsonio
from search.matching import (
    CODE,
    IN_NAMES,
    NAME,
    WORDS_OF_CODE,
    WORDS_OF_NAME,
    Matcher,
    Texts,
    words,
)
from search.synonyms import FILE, Synonyms


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
        ("حُمَّى", ["حمي"]),
        ("बुखार", ["बुखार"]),
        ("\x00\t\n", []),
        ("10⁹/L", ["109", "l"]),
        ("½ tablet", ["1\u20442", "tablet"]),
        ("здоров'я", ["здоров", "я"]),
        ("здоров’я", ["здоров", "я"]),
        ("здоровʼя", ["здоров", "я"]),
        ("gly\u00adcemia", ["glycemia"]),
        ("٢٥ mg", ["25", "mg"]),
        ("بیماری قلبی", ["بيماري", "قلبي"]),
        ("ёлка", ["елка"]),
        ("שָׁלוֹם", ["שלום"]),
        ("병원", ["병", "원"]),
        ("++ € %", []),
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
        ("糖尿*", True),
        ("*ver", True),
        ("*eve*", True),
        ("eve*", False),
        ("*eve", False),
        ("*ray sho*", True),
        ("x-ra*", True),
        ("*-ray", True),
        ("尿糖", False),
        ('"oedema 糖尿病"', False),
    ],
)
def test_an_entry_is_found_when_all_terms_are_in_it(q, found):
    assert (Matcher(q).rank(ENTRY) is not None) is found
    names = '"names":["High Fever of Œdema","糖尿病"]'
    body = f'{{{names},"id":"A00.1","d":"an X-ray shows nothing"}}'
    assert Matcher(q).may_hold(body.encode()) or not found


@pytest.mark.parametrize(
    ("q", "rank"),
    [
        ("a00.1", CODE + WORDS_OF_CODE),
        ("A00 1", WORDS_OF_CODE),
        ("high fever of oedema", NAME + WORDS_OF_NAME + IN_NAMES),
        ("high-fever of oedema", WORDS_OF_NAME + IN_NAMES),
        ("fever high", IN_NAMES),
        ("fever ray", 0),
        ("fever a00*", 0),
    ],
)
def test_the_code_comes_before_the_name_and_the_name_before_the_rest(q, rank):
    assert Matcher(q).rank(ENTRY) == rank


@pytest.mark.parametrize(
    ("q", "body", "rank"),
    [
        ("edema", '"High Fever of Œdema"', 1),
        ("high fever of edema", '"High Fever of Œdema"', 1),
        ("xray", "Chest x-ray", 1),
        ("xray", "Chest x\n\t-ray", 1),
        ("xray", "Œdema, x\n\t-ray", 1),
        ("x ray", "Chest xray", 1),
        ("x-ray", "Chest xray", 1),
        ("crohns", "Crohn's disease", 1),
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
    matcher = Matcher(q, own)
    assert matcher.rank(Texts([], [body.strip('"')], [])) == rank
    assert matcher.may_hold(body.encode()) is (rank is not None)


def test_plain_bodies_are_looked_through_without_being_read():
    assert not Matcher("absent").may_hold(b'{"name":"Fever"}')
    assert not Matcher("fi\u00e8vre \u7cd6").may_hold(b'{"name":"Fievre"}')
    assert Matcher("FI\u00c8VRE").may_hold(b'{"name":"Fievre"}')


@pytest.mark.parametrize("text", ["++", "\u20ac", "%", "'", "\u2019", "+ -"])
def test_a_text_of_signs_finds_what_has_it_as_code_or_name(text):
    matcher = Matcher(text)
    assert matcher.rank(Texts(["x"], [text, "y"], [])) == NAME
    assert matcher.rank(Texts([text], [], [])) == CODE
    assert matcher.rank(Texts(["x"], [f"{text} more", "a"], [text])) is None
    assert matcher.may_hold(f'{{"name":"{text}"}}'.encode())


@pytest.mark.parametrize(
    ("text", "other"),
    [("A+", "A-"), ("CD8%", "CD8"), ("1:32", "1 32"), ("10\u2079/L", "109/L"), ("a.b", "a b")],
)
def test_a_name_with_other_signs_comes_later(text, other):
    ranks = [Matcher(text).rank(Texts([], [name], [])) for name in (text, other, f"{text} x")]
    assert ranks == [NAME + WORDS_OF_NAME + IN_NAMES, WORDS_OF_NAME + IN_NAMES, IN_NAMES]


@pytest.mark.parametrize("name", ["a chest x\n\t-ray", "Œdème, x\u0001-\r\nray", 'x"ray'])
def test_the_check_of_a_body_sees_words_beside_escapes(name):
    body = jsonio.dumps({"name": name})
    assert Matcher("xray", Synonyms([])).may_hold(body)
    assert not Matcher("xrax", Synonyms([])).may_hold(body)
