"""How a concept is called."""

import pytest

from oclapi.editing import naming


def name(text, locale="en", preferred=False, kind=None):
    return {"name": text, "locale": locale, "locale_preferred": preferred, "name_type": kind}


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        pytest.param(
            [name("a", "fr", True), name("b", "sw")],
            ("b", "sw"),
            id="the default locale comes first, preferred or not",
        ),
        pytest.param(
            [name("a", "sw"), name("b", "sw", True)],
            ("b", "sw"),
            id="in a locale the preferred one",
        ),
        pytest.param([name("a", "sw"), name("b", "sw")], ("a", "sw"), id="otherwise the first"),
        pytest.param(
            [name("a", "de", True), name("b", "fr")], ("b", "fr"), id="then the supported locales"
        ),
        pytest.param(
            [name("a", "pt"), name("b", "fr")],
            ("b", "fr"),
            id="in the order in which they are supported",
        ),
        pytest.param([name("a", "de", True), name("b", "en")], ("b", "en"), id="then English"),
        pytest.param(
            [name("a", "de"), name("b", "es", True)], ("b", "es"), id="then any preferred name"
        ),
        pytest.param([name("a", "de"), name("b", "es")], ("a", "de"), id="then the first"),
        pytest.param(
            [name("a", "SW"), name("b", "de", True)],
            ("b", "de"),
            id="locales are compared as written",
        ),
    ],
)
def test_a_concept_is_shown_by(names, shown):
    assert naming.display_name(names, "sw", ["fr", "pt"]) == shown


@pytest.mark.parametrize(
    ("names", "locale"),
    [
        pytest.param(
            [name("English"), name("en", kind="ISO 639-1"), name("eng", kind="ISO 639-1")],
            "en",
            id="the first of its type",
        ),
        pytest.param([name("English"), name("en", kind="ISO 639-2")], None, id="none of its type"),
        pytest.param([], None, id="no name"),
    ],
)
def test_the_entry_of_a_locale_list_says_its_locale(names, locale):
    assert naming.lookup_locale(names) == locale
