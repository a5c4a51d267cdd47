"""Other ways to write a word."""

import pytest

from config.settings import BadSetting, Settings
from oclapi.app import build_services
from search.synonyms import FILE, MOST, BadSynonyms, Synonyms, in_two, read, synonyms

spellings = read(FILE).of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("haemoglobin", "hemoglobin"),
        ("anaemia", "anemia"),
        ("leukaemia", "leukemia"),
        ("oesophagus", "esophagus"),
        ("paediatric", "pediatric"),
        ("oedema", "edema"),
        ("foetus", "fetus"),
        ("diarrhoea", "diarrhea"),
        ("gynaecology", "gynecology"),
        ("tumour", "tumor"),
        ("tumours", "tumors"),
        ("behavioural", "behavioral"),
        ("fibre", "fiber"),
        ("millilitre", "milliliter"),
        ("generalised", "generalized"),
        ("immunisation", "immunization"),
        ("paralysed", "paralyzed"),
        ("sulphate", "sulfate"),
        ("leucocyte", "leukocyte"),
        ("anaesthesia", "anesthesia"),
        ("iron deficiency anaemia", "iron deficiency anemia"),
    ],
)
def test_british_and_american_spellings_are_found_either_way(one, other):
    assert other in spellings(one)
    assert one in spellings(other)


@pytest.mark.parametrize(
    "text", ["fever", "", "x", "123", "糖尿病", "Πυρετός", "four", "rise", '"*\\']
)
def test_a_word_that_both_write_alike_has_no_other_spelling(text):
    assert spellings(text) == ()


def test_capitals_and_ligatures_do_not_matter():
    assert spellings("Œdema") == spellings("OEDEMA") == ("edema",)


def test_the_ways_are_bounded():
    assert (
        len(spellings(" ".join(["haem", "foet", "centre", "oedem", "mould", "grey", "paed"]) * 100))
        <= MOST
    )


def test_a_word_comes_apart_at_each_place():
    assert list(in_two("xray")) == ["x ray", "xr ay", "xra y"]


def test_a_user_can_add_whole_words_phrases_parts_and_ends():
    own = Synonyms(
        [
            "# comment",
            "",
            "Heart attack, myocardial infarction, MI  # a comment behind a line",
            "*chol*, *gall*",
            "*ence, *ency",
        ]
    )
    assert set(own.of("heart attack")) == {"myocardial infarction", "mi"}
    assert set(own.of("acute MI")) == {"acute heart attack", "acute myocardial infarction"}
    assert own.of("heart") == ()
    assert own.of("cholstone") == ("gallstone",)
    assert own.of("latence") == ("latency",)
    assert own.of("ence") == ()


@pytest.mark.parametrize(
    "line", ["alone", "a, *b", "*a*, *b", "a*, b*", "a,,b", "a => b", "a*b, c", "*, *"]
)
def test_a_line_that_can_not_be_read_is_named(tmp_path, line):
    file = tmp_path / "synonyms.txt"
    file.write_text(f"a, b\n{line}\n")
    with pytest.raises(BadSynonyms, match=r"^synonyms.txt can't be read: line 2: "):
        read(file)


def test_a_program_does_not_start_with_a_bad_file(monkeypatch, tmp_path):
    file = tmp_path / "synonyms.txt"
    file.write_text("fever, pyrexia\nalone\n")
    monkeypatch.setattr("search.synonyms.FILE", file)
    synonyms.cache_clear()
    with pytest.raises(BadSetting, match=r"^synonyms\.txt can't be read: line 2: "):
        build_services(Settings(secret_key="k" * 32))
    synonyms.cache_clear()
