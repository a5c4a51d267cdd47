"""The same index on SolrCloud: one node, with the ZooKeeper that Solr brings."""

import io
import zipfile
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

from oclapi.local.servers import HOST, Server, free_port, launch, wait_until
from oclapi.local.solr import PARTS, solr_command, solr_jars
from oclapi.model import LIVE, Revision
from search.base import Query, Scope, Span
from search.documents import Marker, document
from search.solr import CONFIGSET, SolrIndex
from tests.search.rows import SOURCE, concept

pytestmark = [pytest.mark.solr, pytest.mark.slow]

SOLR_XML = """<solr>
  <solrcloud>
    <str name="host">127.0.0.1</str>
    <int name="hostPort">{port}</int>
    <str name="hostContext">solr</str>
  </solrcloud>
</solr>"""
ZOO_CFG = "tickTime=2000\ninitLimit=10\nsyncLimit=5\nadmin.enableServer=false\n"
AT_1 = Scope((Span(Revision(7, 1)),))


@pytest.fixture(scope="module")
def cloud(solr_server, servers_folder):
    """The URL of a SolrCloud that was given the configset as docs/search.md says.

    It needs `solr_server` only because that one skips or fails where Solr can't run.
    """
    folder, port = servers_folder / "cloud", free_port()
    home = folder / "home"
    home.mkdir(parents=True)
    (home / "solr.xml").write_text(SOLR_XML.format(port=port))
    (home / "zoo.cfg").write_text(ZOO_CFG)
    lib = solr_jars(Path(__file__).parents[2] / "var" / "solr")
    command = solr_command(folder, port, lib, f"-DzkRun={HOST}:{free_port()}")
    server = Server(
        "cloud",
        f"http://{HOST}:{port}/solr",
        port,
        folder,
        launch("cloud", command, folder, port=port),
    )
    try:
        wait_until(server, responds, patience=90)
        address = f"{server.url}/admin/configs?action=UPLOAD&name={CONFIGSET}"
        with urlopen(
            Request(address, packed(), {"Content-Type": "application/octet-stream"}), timeout=60
        ) as response:
            assert response.status == 200
        yield server.url
    finally:
        server.stop()


def responds(server: Server) -> bool:
    try:
        with urlopen(f"{server.url}/admin/info/system", timeout=5) as response:
            return b"solrcloud" in response.read()
    except (URLError, OSError):  # It does not listen yet, or it is starting.
        return False


def packed() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for file in (PARTS / "configset" / "conf").iterdir():
            archive.write(file, file.name)
    return content.getvalue()


@pytest.fixture
def index(cloud):
    index = SolrIndex(cloud, "oclapi", lambda: "the store", patience=30)
    assert index.ensure()
    yield index
    index.remove("oclapi")


def fill(index, *rows, rev=1):
    refused = index.write(
        [document(row, rev, SOURCE) for row in rows], Marker(7, rev, "c", "the store")
    )
    index.commit()
    return refused


def ids(index, query, **how):
    hits = index.find(None, AT_1, query, limit=2, **how)
    return [key.url.split("/")[-2] for key in hits.keys]


def test_rows_are_written_found_paged_and_forgotten(index):
    fill(index, *(concept(f"C{number}", f"Thing {number}") for number in range(5)))
    names = Query("concept", sort="name", descending=False, facets=True)
    first = index.find(None, AT_1, names, limit=2)
    assert (first.total, first.facets["conceptClass"], first.last) == (
        5,
        [("Test", 5)],
        ("thing 1\tThing 1", f"{SOURCE}concepts/C1/"),
    )
    assert ids(index, names, after=first.last) == ["C2", "C3"]
    assert ids(index, Query("concept", "thing 4", sort="bestMatch")) == ["C4"]
    assert index.find(None, Scope(heads=(7, 8)), Query("concept"), limit=0).reached == 1
    assert (index.count(7), len(list(index.keys(7))), set(index.markers())) == (5, 5, {7})
    index.forget(7)
    index.commit()
    assert (index.count(7), index.marker(7)) == (0, None)


def test_what_is_newer_stays_and_what_is_refused_is_set_aside(index):
    fill(index, concept("A", to=5), rev=5)
    wrong = document(concept("B"), 3, SOURCE) | {"to_rev": "never"}
    refused = index.write(
        [document(concept("A"), 3, SOURCE), wrong, document(concept("C"), 3, SOURCE)],
        Marker(7, 3, "c", "the store"),
    )
    index.commit()
    assert refused == [wrong["id"]]
    assert {key.url.split("/")[-2]: to_rev for key, to_rev, _ in index.keys(7)} == {
        "A": 5,
        "C": LIVE,
    }
    assert index.marker(7).rev == 5


def test_names_are_aliases_that_can_be_exchanged(index):
    fill(index, concept("Old"))
    other = index.of("oclapi-new")
    assert (other.exists(other.core), other.ensure(), other.ensure()) == (False, True, False)
    fill(other, concept("New"))
    index.swap("oclapi", "oclapi-new")
    assert (ids(index, Query("concept")), ids(other, Query("concept"))) == (["New"], ["Old"])
    index.remove("oclapi-new")
    assert not index.exists("oclapi-new")
    assert ids(index, Query("concept")) == ["New"]
