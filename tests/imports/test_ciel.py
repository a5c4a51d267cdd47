"""Import of the CIEL sample, a real file with missing targets."""

import pytest

from oclapi import jsonio, urls
from tests.imports.conftest import counted

pytestmark = pytest.mark.servers

CIEL = "/orgs/CIEL/sources/CIEL/"


def owners_and_sources(mappings):
    """Yield lines of the organisations and sources that the mappings refer to."""
    named = {source for line in mappings if (source := jsonio.loads_own(line).get("to_source_url"))}
    named |= {
        found.repo
        for line in mappings
        if (found := urls.item(jsonio.loads_own(line).get("to_concept_url") or "/"))
    }
    for url in sorted({urls.repo(source) for source in named} | {CIEL}):
        parts = urls.parts(url)
        yield {"type": "Organization", "id": parts.owner, "name": parts.owner}
        yield {"type": "Source", "owner": parts.owner, "id": parts.id, "name": parts.id}


def test_every_line_of_the_sample_has_an_outcome_and_a_second_import_changes_nothing(imports, ciel):
    concepts, mappings = ciel
    imports.run(*owners_and_sources(mappings))
    assert set(counted(imports.results)) <= {"created", "unchanged"}

    imports.run(*concepts, type="concept", source=CIEL)
    assert counted(imports.results) == {"created": 1946}

    imports.run(*mappings, type="mapping", source=CIEL)
    assert counted(imports.results) == {"created": 4891, "failed": 688}
    assert {
        field for result in imports.results if result["errors"] for field in result["errors"]
    } == {"to_concept_url"}
    assert imports.store.repos.by_url(CIEL).counts.mappings == 4891
    revision = imports.revisions(CIEL)

    imports.run(*concepts, type="concept", source=CIEL)
    assert counted(imports.results) == {"unchanged": 1946}
    imports.run(*mappings, type="mapping", source=CIEL)
    assert counted(imports.results) == {"unchanged": 4891, "failed": 688}
    assert imports.revisions(CIEL) == revision


def test_stored_concepts_are_equal_to_those_of_the_sample(imports, ciel):
    concepts, mappings = ciel
    imports.run(*owners_and_sources(mappings))
    imports.run(*concepts, type="concept", source=CIEL)
    stored = {row["id"]: row for row in imports.rows(CIEL)}
    for line in concepts:
        given = jsonio.loads_own(line)
        row = stored.pop(str(given["id"]))
        for field in ("external_id", "concept_class", "datatype", "retired", "extras"):
            assert row[field] == given[field]
        for part in ("names", "descriptions"):
            text = part.removesuffix("s")
            for entry, expected in zip(row[part], given[part], strict=True):
                cut = {**expected, text: expected[text].strip()}  # blanks at the ends
                assert {name: entry[name] for name in expected} == cut
    assert stored == {}
