"""The display name of a concept."""

import pytest

from oclapi.editing import naming


def name(text, locale="en", preferred=False, kind=None, **more):
    return {
        "name": text,
        "locale": locale,
        "locale_preferred": preferred,
        "name_type": kind,
        **more,
    }


@pytest.mark.parametrize(
    ("names", "expected"),
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
        pytest.param(
            [name("a", "sw", True, retired=True), name("b", "de", retired=False)],
            ("b", "de"),
            id="retired names do not count",
        ),
    ],
)
def test_the_display_name_follows_the_order_of_locales(names, expected):
    assert naming.display_name(names, "sw", ["fr", "pt"]) == expected


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
        pytest.param(
            [name("en", kind="ISO 639-1", retired=True)], None, id="retired names do not count"
        ),
    ],
)
def test_the_lookup_locale_is_the_first_iso_639_1_name(names, locale):
    assert naming.lookup_locale(names) == locale
