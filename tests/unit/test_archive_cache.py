"""The cache of archives, in a folder or at an address, and the links to them."""

import errno
import os
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from oclapi.errors import LinkRefused
from oclapi.exports.cache import ExportCache, token_of
from oclapi.exports.links import ExportLinks
from oclapi.model import ExportKey

REPO, KEY = 7, ExportKey("65f0c0ffee65f0c0ffee65f0")
NOW = datetime(2026, 3, 4, 10, 20, 30, tzinfo=UTC)
FUTURE = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture(params=["folder", "address"])
def address(request, tmp_path):
    return (
        str(tmp_path / "cache")
        if request.param == "folder"
        else f"memory://{uuid.uuid4().hex}/cache"
    )


def put(cache, token="t1", data=b"archive", key=KEY):
    with cache.writer(REPO, key, token) as draft:
        draft.file.write(data)
        draft.publish()
    return draft.name


def files(address):
    return sorted(ExportCache(address).older_than(FUTURE))


def test_an_archive_is_read_back_by_name(address):
    cache = ExportCache(address)
    name = put(cache)
    assert name == "7/65f0c0ffee65f0c0ffee65f0/t1.tgz"
    assert cache.holds(name)
    file = cache.open(name)
    assert file
    with file:
        file.seek(4)
        assert file.read(100) == b"ive"


def test_an_unknown_name_is_not_found(address):
    cache = ExportCache(address)
    assert cache.open("orgs/x.tgz") is None
    assert not cache.holds("orgs/x.tgz")
    cache.delete("orgs/x.tgz")
    assert files(address) == []


def test_an_archive_can_be_deleted(address):
    cache = ExportCache(address)
    cache.delete(put(cache))
    assert files(address) == []


def test_a_failed_draft_leaves_no_file(address):
    with pytest.raises(RuntimeError), ExportCache(address).writer(REPO, KEY, "t1") as draft:
        draft.file.write(b"half")
        draft.file.flush()
        raise RuntimeError("stopped")
    assert files(address) == []


def test_an_archive_exists_only_after_it_is_published(address):
    cache = ExportCache(address)
    with cache.writer(REPO, KEY, "t1") as draft:
        draft.file.write(b"half")
        draft.file.flush()
        assert not cache.holds(draft.name)
        draft.publish()
        assert cache.holds(draft.name)
    assert files(address) == [draft.name]


def test_a_version_can_have_two_archives(address):
    cache = ExportCache(address)
    put(cache, "t1", b"one")
    put(cache, "t2", b"two")
    assert [token_of(name) for name in files(address)] == ["t1", "t2"]


def test_an_upload_calls_back_for_each_chunk():
    calls = []
    with ExportCache(f"memory://{uuid.uuid4().hex}").writer(REPO, KEY, "t1") as draft:
        draft.file.write(bytes(20 * 2**20))
        draft.publish(lambda: calls.append(1))
    assert len(calls) == 3


def test_only_old_files_are_listed_including_unfinished_ones(tmp_path):
    cache = ExportCache(str(tmp_path))
    put(cache, "young")
    put(cache, "old")
    part = tmp_path / f"{REPO}/{KEY}" / "killed.part"
    part.write_bytes(b"half")
    for path in (part, part.with_name("old.tgz")):
        os.utime(path, (NOW.timestamp() - 3601,) * 2)
    names = sorted(cache.older_than(NOW - timedelta(hours=1)))
    assert [token_of(name) for name in names] == ["killed", "old"]
    for name in names:
        cache.delete(name)
    assert [token_of(name) for name in files(str(tmp_path))] == ["young"]


def test_a_difference_has_a_folder_of_its_own(tmp_path):
    cache = ExportCache(str(tmp_path))
    put(cache)
    put(cache, key=ExportKey(KEY.version, 12))
    assert files(str(tmp_path)) == [f"7/{KEY.version}-12/t1.tgz", f"7/{KEY.version}/t1.tgz"]


def test_a_folder_that_cannot_be_created_raises(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(OSError) as raised,
        ExportCache(str(tmp_path / "file" / "cache")).writer(REPO, KEY, "t1"),
    ):
        raise AssertionError("a draft was opened")
    assert raised.value.strerror == "Not a directory"


def test_a_full_disk_raises_and_leaves_no_file(tmp_path, monkeypatch):
    cache = ExportCache(str(tmp_path))

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError) as raised:
        put(cache)
    assert raised.value.strerror == "No space left on device"
    assert files(str(tmp_path)) == []


def test_the_folder_is_created_at_the_first_write(tmp_path):
    ExportCache(str(tmp_path / "a" / "b"))
    assert list(tmp_path.iterdir()) == []


def test_a_relative_folder_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = put(ExportCache("var/exports"))
    assert Path("var/exports", name).read_bytes() == b"archive"
    assert files("var/exports") == [name]


LINK = ("65f0c0ffee65f0c0ffee65f0", "t1", "LABX_v1.20260304102030.tgz")


def links(life=3600, secret="s" * 32):
    return ExportLinks(secret, life)


def test_a_link_ends_in_the_file_name_and_is_valid_until_it_expires():
    path = links().sign(*LINK, NOW, private=False)
    version, token, expires, signature, name = path.split("/")
    assert (version, token, name) == LINK
    links().check(version, token, expires, signature, name, NOW + timedelta(seconds=3600))
    with pytest.raises(LinkRefused, match="expired"):
        links().check(version, token, expires, signature, name, NOW + timedelta(seconds=3601))


@pytest.mark.parametrize("changed", range(5))
def test_a_link_with_any_part_changed_is_refused(changed):
    parts = links().sign(*LINK, NOW, private=False).split("/")
    parts[changed] = parts[changed][:-2] + ("00" if parts[changed][-2:] != "00" else "11")
    with pytest.raises(LinkRefused, match="signature"):
        links().check(*parts, NOW)


@pytest.mark.parametrize("signature", ["", "x", "\u00e9", "=" * 43])
def test_a_malformed_signature_is_refused(signature):
    version, token, expires, _, name = links().sign(*LINK, NOW, private=False).split("/")
    with pytest.raises(LinkRefused):
        links().check(version, token, expires, signature, name, NOW)


def test_a_link_signed_with_another_secret_is_refused():
    with pytest.raises(LinkRefused):
        links().check(*links(secret="t" * 32).sign(*LINK, NOW, private=False).split("/"), NOW)


@pytest.mark.parametrize("private", [False, True])
def test_a_link_knows_whether_it_is_for_a_private_repository(private):
    path = links().sign(*LINK, NOW, private=private)
    assert links().check(*path.split("/"), NOW) is private


def test_a_link_is_a_plain_path():
    assert not set(links().sign(*LINK, NOW, private=False)) & set("?#%&= ")


def test_an_unreadable_folder_raises_instead_of_reporting_a_missing_archive(tmp_path):
    (tmp_path / "exports").touch()
    cache = ExportCache(str(tmp_path / "exports"))
    for method in (cache.open, cache.holds):
        with pytest.raises(NotADirectoryError):
            method("orgs/x.tgz")
