"""Other ways to write a word."""

import pytest

from search.spellings import MOST, in_two, spellings


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
