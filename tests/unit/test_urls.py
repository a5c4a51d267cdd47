"""URLs of items, taken apart and put together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oclapi import urls
from oclapi.urls import ItemUrl

REPO = "/orgs/NorthLab/sources/LABX/"
IDS = st.text("abcXYZ019-._@", min_size=1, max_size=12) | st.sampled_from(
    ["concepts", "mappings", "versions", "HEAD", "my-concepts", "..."]
)
VERSIONS = IDS.filter(lambda version: version not in ("concepts", "mappings", "versions"))
ITEM_VERSIONS = IDS.filter(lambda version: version not in ("mappings", "versions"))
REPOS = st.builds(
    "/{}/{}/{}/{}/".format,
    st.sampled_from(["orgs", "users"]),
    IDS,
    st.sampled_from(["sources", "collections"]),
    IDS,
)


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
        f"{REPO}concepts/a b/",
        f"{REPO}concepts/é/",
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
    before = f"{version}/" if version else ""
    after = f"{item_version}/" if item_version else ""
    url = f"{repo}{before}{kind}s/{item}/{after}"
    found = urls.item(url)
    assert found == ItemUrl(repo, kind, item, version, item_version)
    assert found.stable == urls.item_url(repo, kind, item)
    assert urls.item(url[:-1]) == found
    absolute = f"http://127.0.0.1:8000{url}"
    assert urls.item(absolute) is None
    assert urls.without_address(absolute, "http://127.0.0.1:8000") == url


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
    for found in (urls.item(text), urls.repo(text)):
        assert found is None or isinstance(found, (ItemUrl, str))
