"""The rule for the display name of a concept."""

from collections.abc import Iterable

from oclapi.model import Json, not_retired


def display_name(
    names: Iterable[Json], default_locale: str, supported_locales: Iterable[str]
) -> tuple[str, str]:
    """Return the display name and its locale (contract 10.2).

    The first of these locales that has names decides: the default locale, the supported ones in
    their order, `en`. Its preferred name is taken, or else its first. Without a name in these
    locales it is any preferred name, or else the first name. Retired names do not count; one name
    must not be retired.
    """
    names = not_retired(names)
    for locale in (default_locale, *supported_locales, "en"):
        there = [name for name in names if name["locale"] == locale]
        if there:
            chosen = next((name for name in there if name["locale_preferred"]), there[0])
            return chosen["name"], chosen["locale"]
    chosen = next((name for name in names if name["locale_preferred"]), names[0])
    return chosen["name"], chosen["locale"]


def lookup_locale(names: Iterable[Json]) -> str | None:
    """Return the first name of type `ISO 639-1`, which entries of a locale list have, or None.

    Retired names do not count.
    """
    return next(
        (name["name"] for name in not_retired(names) if name["name_type"] == "ISO 639-1"), None
    )
