"""URLs of items, taken apart and put together."""

import re
import unicodedata
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oclapi import urls
from oclapi.urls import ItemUrl

REPO = "/orgs/NorthLab/sources/LABX/"
WORDS = st.sampled_from(["concepts", "mappings", "versions", "HEAD", "names", "my-concepts", "..."])
OWNER_IDS = WORDS | st.text("abcXYZ019-._@", min_size=1, max_size=12).filter(
    lambda text: text not in (".", "..")
)


def is_id(text):
    try:
        return bool(urls.content_id(text))
    except ValueError:
        return False


IDS = (
    OWNER_IDS
    | st.text(max_size=12).filter(is_id)
    | st.text("aÉe\u0301\u0130ﬁ\u200d😀 /%2Ff+:~?#&=\\'\"[]", max_size=12).filter(is_id)
).map(urls.nfc)
VERSIONS = IDS.filter(lambda version: version not in urls.RESERVED_VERSIONS - {"HEAD", "latest"})
ITEM_VERSIONS = IDS.filter(
    lambda version: version not in ("mappings", "versions", "names", "descriptions", "extras")
)
REPOS = st.builds(
    "/{}/{}/{}/{}/".format,
    st.sampled_from(["orgs", "users"]),
    OWNER_IDS,
    st.sampled_from(["sources", "collections"]),
    OWNER_IDS,
)


def escaped(text):
    """Every byte of a text as an escape, with lower-case digits."""
    return "".join(f"%{byte:02x}" for byte in text.encode())


SPELLINGS = {
    "canonical": urls.encoded,
    "every byte": escaped,
    "every byte, NFD": lambda text: escaped(unicodedata.normalize("NFD", text)),
    "slashes and others": lambda text: quote(text, safe=""),
    "reserved ones kept": lambda text: quote(text, safe="!$&'()*+,;=:@"),
    "IRI": lambda text: "".join(
        escaped(sign) if sign in "/%?#" else sign for sign in unicodedata.normalize("NFD", text)
    ),
}
"""Ways to write an id in a URL."""

EXAMPLES = {
    "HEM/BC": "HEM%2FBC",
    "Food/Papaya": "Food%2FPapaya",
    "HP:0000118": "HP:0000118",
    "mg/dL": "mg%2FdL",
    "%": "%25",
    "%2F": "%252F",
    "M8000/3": "M8000%2F3",
    "A+": "A%2B",
    "1.0.0+b1": "1.0.0%2Bb1",
    "[12.03.2025.1]": "%5B12.03.2025.1%5D",
    "FY21 Q1": "FY21%20Q1",
    "Ébola": "%C3%89bola",
    "a~b@c": "a~b@c",
    "здоров'я": "%D0%B7%D0%B4%D0%BE%D1%80%D0%BE%D0%B2%27%D1%8F",
    "😀": "%F0%9F%98%80",
    "HEM/names": "HEM%2Fnames",
    "...": "...",
    "x" * 255: "x" * 255,
    "é" * 255: "%C3%A9" * 255,
}
"""Ids of content, and their canonical spelling."""


@pytest.mark.parametrize(("short", "spelling"), EXAMPLES.items(), ids=lambda text: text[:20])
def test_an_id_of_content_may_have_any_characters(short, spelling):
    assert urls.content_id(short) == short
    assert urls.item_url(REPO, "concept", short) == f"{REPO}concepts/{spelling}/"
    assert urls.version_url(REPO, short) == f"{REPO}{spelling}/"
    assert urls.id_of(f"{REPO}concepts/{spelling}/") == short
    for write in SPELLINGS.values():
        found = urls.item(f"{REPO}concepts/{write(short)}")
        assert found == ItemUrl(REPO, "concept", short)
        assert found.stable == f"{REPO}concepts/{spelling}/"
        version = urls.item(f"{REPO}{write(short)}/concepts/{write(short)}/1/")
        assert version == ItemUrl(REPO, "concept", short, version=short, item_version="1")


def test_ids_are_kept_in_form_nfc_and_measured_in_it():
    assert urls.content_id("E\u0301bola") == "Ébola"
    assert urls.content_id("e\u0301" * 255) == "é" * 255
    assert urls.content_id("\u1f82" * 255) == "\u1f82" * 255
    decomposed = unicodedata.normalize("NFD", "\u1f82" * 255)
    assert urls.content_id(decomposed) == "\u1f82" * 255


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "must have 1 to 255 characters"),
        ("x" * 256, "must have 1 to 255 characters"),
        ("é" * 256, "must have 1 to 255 characters"),
        ("\u0344" * 128, "must have 1 to 255 characters"),  # two characters each in form NFC
        ("x" * 10_000_000, "must have 1 to 255 characters"),
        ("\u0301" * 10_000_000, "must have 1 to 255 characters"),
        (".", "may not be . or .., which clients and proxies remove from a URL"),
        ("..", "may not be . or .., which clients and proxies remove from a URL"),
        (" a", "must not begin or end with white space"),
        ("a\u00a0", "must not begin or end with white space"),
        ("a\n", "must not begin or end with white space"),
        ("a\nb", "the character U+000A is not allowed"),
        ("a\0", "the character U+0000 is not allowed"),
        ("a\x7fb", "the character U+007F is not allowed"),
        ("a\x9fb", "the character U+009F is not allowed"),
        ("a\ud800b", "the character U+D800 is not allowed"),
        ("a\ue000b", "the character U+E000 is not allowed"),
        ("a\uffffb", "the character U+FFFF is not allowed"),
        ("a\u2028b", "the character U+2028 is not allowed"),
        ("a\u2029b", "the character U+2029 is not allowed"),
    ],
    ids=lambda text: ascii(text[:12]),
)
def test_this_is_no_id_of_content(text, problem):
    with pytest.raises(ValueError, match=f"^{re.escape(problem)}$"):
        urls.content_id(text)
    if text and len(text) < 1000 and "\ud800" not in text:
        assert urls.item(f"{REPO}concepts/{escaped(text)}/") is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a/b", f"/ (U+002F) is not allowed: an id {urls.ID_RULE}"),
        ("a b", f"U+0020 is not allowed: an id {urls.ID_RULE}"),
        ("É", f"É (U+00C9) is not allowed: an id {urls.ID_RULE}"),
        ("a\n", f"U+000A is not allowed: an id {urls.ID_RULE}"),
        ("a\ud800", f"U+D800 is not allowed: an id {urls.ID_RULE}"),
        ("", urls.ID_RULE),
        ("x" * 256, urls.ID_RULE),
        ("..", "may not be . or .., which clients and proxies remove from a URL"),
    ],
    ids=lambda text: ascii(text[:12]),
)
def test_the_message_names_the_character_that_an_owner_or_repository_may_not_have(text, problem):
    assert urls.check_id("NorthLab.2@x_y-z") == "NorthLab.2@x_y-z"
    with pytest.raises(ValueError, match=f"^{re.escape(problem)}$"):
        urls.check_id(text)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        (f"{REPO}concepts/1007/", ItemUrl(REPO, "concept", "1007")),
        (f"{REPO}mappings/m-1/", ItemUrl(REPO, "mapping", "m-1")),
        (f"{REPO}v1/concepts/1007/", ItemUrl(REPO, "concept", "1007", version="v1")),
        (f"{REPO}versions/v1/concepts/1007/", ItemUrl(REPO, "concept", "1007", version="v1")),
        (f"{REPO}concepts/1007/3/", ItemUrl(REPO, "concept", "1007", item_version="3")),
        (
            f"{REPO}HEAD/concepts/1007/3/",
            ItemUrl(REPO, "concept", "1007", version="HEAD", item_version="3"),
        ),
        (f"{REPO}concepts/concepts/3/", ItemUrl(REPO, "concept", "concepts", item_version="3")),
        (f"{REPO}concepts/mappings/3/", ItemUrl(REPO, "concept", "mappings", item_version="3")),
        (f"{REPO}mappings/concepts/", ItemUrl(REPO, "mapping", "concepts")),
        ("/users/a/collections/b/concepts/c/", ItemUrl("/users/a/collections/b/", "concept", "c")),
        ("/orgs/North%4cab/sources/%4CABX/concepts/1007/", ItemUrl(REPO, "concept", "1007")),
        (f"{REPO}concepts/Dextrose 5%/", ItemUrl(REPO, "concept", "Dextrose 5%")),
        (
            f"{REPO}concepts/Dextrose 5% Sodium Chloride 0.45%/",
            ItemUrl(REPO, "concept", "Dextrose 5% Sodium Chloride 0.45%"),
        ),
        (f"{REPO}concepts/%zz/", ItemUrl(REPO, "concept", "%zz")),
        (f"{REPO}concepts/%252F/", ItemUrl(REPO, "concept", "%2F")),
        (f"{REPO}concepts/é%C3%A9/", ItemUrl(REPO, "concept", "éé")),
        (f"{REPO}concepts/HEM%2Fnames/", ItemUrl(REPO, "concept", "HEM/names")),
        (f"{REPO}concepts%2f/concepts/1/", ItemUrl(REPO, "concept", "1", version="concepts/")),
        (f"{REPO}concepts/1007", ItemUrl(REPO, "concept", "1007")),
        (f"{REPO}concepts/1007/?verbose=true#top", ItemUrl(REPO, "concept", "1007")),
    ],
)
def test_this_is_the_url_of_an_item(url, found):
    assert urls.item(url) == found


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/",
        REPO,
        f"{REPO}concepts/",
        f"{REPO}v1/",
        f"{REPO}versions/concepts/1/",
        f"{REPO}concept/1/",
        f"{REPO}v1/v2/concepts/1/",
        f"{REPO}concepts/1/2/3/",
        f"{REPO}concepts/1/versions/",
        f"{REPO}v1/concepts/1/mappings/",
        f"{REPO}concepts/1/names",
        f"{REPO}concepts//1/",
        f"{REPO}concepts/ a/",
        f"{REPO}concepts/a%20/",
        f"{REPO}concepts/../",
        f"{REPO}concepts/%2e%2E/",
        f"{REPO}concepts/%FF/",
        f"{REPO}concepts/%ED%A0%80/",
        f"{REPO}concepts/\ud800/",
        f"{REPO}concepts/%00/",
        f"{REPO}concepts/HEM/names/",
        f"{REPO}changes/concepts/1/",
        f"{REPO}%63hanges/concepts/1/",
        f"{REPO}concepts%2F1/",
        f" {REPO}concepts/1/",
        f"\t{REPO}concepts/1/",
        f"{REPO}concepts/1/ ",
        "/orgs/a%20b/sources/c/concepts/1/",
        "/orgs%2Fa/sources/c/concepts/1/",
        f"{REPO}concepts/{'x' * 256}/",
        f"{REPO}concepts/1/\n",
        f"/api{REPO}concepts/1/",
        "/orgs/a/b/c/concepts/1/",
        f"{REPO[1:]}concepts/1/",
        "https://terms.example.org",
        f"https://terms.example.org{REPO}concepts/1007/",
        f"//terms.example.org{REPO}concepts/1007/",
        "http://[half/orgs/a/sources/b/concepts/1/",
        "x" * 100_000,
    ],
    ids=lambda url: url[:50],
)
def test_this_is_not(url):
    assert urls.item(url) is None


@pytest.mark.parametrize(
    "url",
    [
        REPO,
        REPO[:-1],
        f"{REPO}v1/",
        f"{REPO}HEAD",
        f"{REPO}versions/v1/",
    ],
)
def test_this_names_a_repository(url):
    assert urls.repo(url) == REPO


@pytest.mark.parametrize(
    "url",
    [
        "",
        "LABX",
        "/orgs/NorthLab/",
        f"{REPO}concepts/",
        f"{REPO}versions/",
        f"{REPO}concepts/1/",
        f"{REPO}a/b/",
        "http://[x",
        f"https://terms.example.org{REPO}",
        f"//terms.example.org{REPO}",
        "/" * 100_000,
    ],
    ids=lambda url: url[:50],
)
def test_this_names_none(url):
    assert urls.repo(url) is None


@given(
    REPOS,
    st.sampled_from(["concept", "mapping"]),
    IDS,
    st.none() | VERSIONS,
    st.none() | ITEM_VERSIONS,
)
def test_what_is_put_together_is_taken_apart_again(repo, kind, item, version, item_version):
    for write in SPELLINGS.values():
        before = f"{write(version)}/" if version else ""
        after = f"{write(item_version)}/" if item_version else ""
        url = f"{repo}{before}{kind}s/{write(item)}/{after}"
        found = urls.item(url)
        assert found == ItemUrl(repo, kind, item, version, item_version)
        assert found.stable == urls.item_url(repo, kind, item)
        assert urls.item(url[:-1]) == found
        assert urls.repo_of(found.stable) == repo
        assert urls.id_of(found.stable) == item
        absolute = f"http://127.0.0.1:8000{url}"
        assert urls.item(absolute) is None
        assert urls.item(urls.without_address(absolute, "http://127.0.0.1:8000")) == found


@given(IDS, IDS)
def test_two_ids_have_two_urls_and_a_canonical_url_is_ascii(one, other):
    pair = [urls.item_url(REPO, "concept", short) for short in (one, other)]
    assert (pair[0] == pair[1]) == (one == other)
    assert all(re.fullmatch(r"(?:[A-Za-z0-9._~@:/-]|%[0-9A-F]{2})+", url) for url in pair)


@given(st.text(max_size=20))
def test_a_text_is_an_id_of_content_or_the_reason_is_told(text):
    try:
        found = urls.content_id(text)
    except ValueError as error:
        assert str(error)
    else:
        assert found == unicodedata.normalize("NFC", text) == urls.content_id(found)


@pytest.mark.parametrize("url", ["/orgs/NorthLab/", "/orgs/NorthLab", "/orgs/North%4Cab/"])
def test_this_names_an_owner(url):
    assert urls.owner(url) == "/orgs/NorthLab/"


@pytest.mark.parametrize(
    "url", ["", "/orgs/", "/orgs//", REPO, "/orgs/a b/", "/org/a/", "a/orgs/b/"]
)
def test_this_names_no_owner(url):
    assert urls.owner(url) is None


@pytest.mark.parametrize(
    ("url", "address", "path"),
    [
        ("https://terms.example.org/orgs/a/", "https://terms.example.org", "/orgs/a/"),
        ("HTTP://Terms.example.org/orgs/a", "https://terms.example.org/", "/orgs/a"),
        ("//terms.example.org/orgs/a/?x#y", "https://terms.example.org", "/orgs/a/"),
        ("https://terms.example.org/api/orgs/a/", "https://terms.example.org/api", "/orgs/a/"),
    ],
)
def test_the_address_of_this_server_is_left_out(url, address, path):
    assert urls.without_address(url, address) == path
    body = {"to_concept_url": url, "canonical_url": url, "extras": {"to_concept_url": url}}
    assert urls.with_paths(body, address) == {**body, "to_concept_url": path}


@pytest.mark.parametrize(
    "url",
    [
        "/orgs/a/",
        "//orgs/a/",
        "https://other.example.org/orgs/a/",
        "https://terms.example.org:8000/orgs/a/",
        "https://terms.example.org@evil.example/orgs/a/",
        "https://user@terms.example.org/orgs/a/",
        "ftp://terms.example.org/orgs/a/",
        "https://terms.example.org/apiary/orgs/a/",
        "http://[half/orgs/a/",
    ],
)
def test_every_other_address_stays(url):
    assert urls.without_address(url, "https://terms.example.org/api") == url
    assert urls.with_paths({"to_concept_url": url}, "") == {"to_concept_url": url}


@given(REPOS)
def test_a_repositorys_url_tells_whose_it_is(repo):
    parts = urls.parts(repo)
    assert (
        f"{urls.owner_url(parts.owner_type, parts.owner)}{repo.split('/')[3]}/{parts.id}/"
        == parts.url
        == repo
    )
    assert parts.owner_url == urls.owner_url(parts.owner_type, parts.owner)


@given(st.text(max_size=60) | st.text("/:?#[]@.ao0\\%\n\t", max_size=30))
def test_any_text_is_a_url_or_none(text):
    for found in (urls.item(text), urls.repo(text), urls.owner(text)):
        assert found is None or isinstance(found, (ItemUrl, str))
