"""How a concept is called: the rule for its display name. Pure."""

from collections.abc import Iterable, Sequence

from oclapi.model import Json


def display_name(
    names: Sequence[Json], default_locale: str, supported_locales: Iterable[str]
) -> tuple[str, str]:
    """The name to show and its locale (contract 10.2).

    Among names in the default locale, else in the supported ones in their order, else in `en`: the
    preferred one, otherwise the first; else any preferred name; else the first.
    """
    for locale in (default_locale, *supported_locales, "en"):
        there = [name for name in names if name["locale"] == locale]
        if there:
            chosen = next((name for name in there if name["locale_preferred"]), there[0])
            return chosen["name"], chosen["locale"]
    chosen = next((name for name in names if name["locale_preferred"]), names[0])
    return chosen["name"], chosen["locale"]


def lookup_locale(names: Iterable[Json]) -> str | None:
    """The text of the first name of type `ISO 639-1`, which entries of a locale list have; else
    None.
    """
    return next((name["name"] for name in names if name["name_type"] == "ISO 639-1"), None)
