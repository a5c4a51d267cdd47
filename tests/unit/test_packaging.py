"""The wheel that `pip install .` builds: its contents, its dependencies and its command."""

import os
import re
import shutil
import subprocess
import sys
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest

import oclapi

ROOT = Path(__file__).parents[2]
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input")
TOP_LEVEL = ("config", "jobs", "search")
NOT_PACKAGED = {"config/Dockerfile", "config/docker-compose.yml", "config/ruff.toml"}


def files_of(*folders):
    """The files of the checkout below these folders, without caches."""
    return {
        path.relative_to(ROOT).as_posix()
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def requirements(name):
    lines = (ROOT / "config" / "requirements" / f"{name}.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def name_and_version(requirement):
    return re.match(r"[a-z0-9-]+==[0-9a-z.]+", requirement)[0]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built without network from a copy of the checkout.

    A copy, because setuptools writes into the folder that it builds.
    """
    folder = tmp_path_factory.mktemp("wheel")
    checkout = folder / "checkout"
    checkout.mkdir()
    for name in ("oclapi", *TOP_LEVEL):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("LICENSE", "README.md", "pyproject.toml", "setup.cfg", "wsgi.py"):
        shutil.copy(ROOT / name, checkout)
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder))
    subprocess.run([*PIP, "wheel", *options, str(checkout)], check=True, timeout=100)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def metadata(wheel):
    with ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return Parser().parsestr(archive.read(name).decode())


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder with the wheel installed, and a function that runs a command with it."""
    target = tmp_path_factory.mktemp("installed")
    options = ("--no-deps", "--no-index", "--target", str(target))
    subprocess.run([*PIP, "install", *options, str(wheel)], check=True, timeout=60)

    def run(*command):
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return subprocess.run(
            command,
            cwd=target.parent,
            env={**kept, "PYTHONPATH": str(target)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return target, run


def test_the_wheel_has_one_top_level_package(wheel):
    with ZipFile(wheel) as archive:
        top = {name.split("/")[0] for name in archive.namelist()}
    assert top == {"oclapi", f"oclapi-{oclapi.__version__}.dist-info"}


def test_every_file_of_the_program_is_in_the_wheel(wheel):
    with ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    rest = files_of(*TOP_LEVEL) - NOT_PACKAGED
    expected = files_of("oclapi") | {f"oclapi/server/{name}" for name in {*rest, "wsgi.py"}}
    assert packed == expected


def test_the_wheel_requires_the_pinned_packages_of_the_server(metadata):
    required = metadata.get_all("Requires-Dist")
    of_server = [requirement for requirement in required if "extra ==" not in requirement]
    assert sorted(of_server) == sorted(requirements("run"))
    assert "flask==3.1.3" in of_server


@pytest.mark.parametrize("extra", ["local", "test", "s3"])
def test_an_extra_requires_its_pinned_packages(metadata, extra):
    required = [
        name_and_version(requirement)
        for requirement in metadata.get_all("Requires-Dist")
        if requirement.endswith((f'extra == "{extra}"', f"extra == '{extra}'"))
    ]
    assert extra in metadata.get_all("Provides-Extra")
    assert sorted(required) == sorted(map(name_and_version, requirements(extra)))


def test_the_wheel_has_the_licence_and_the_version(wheel, metadata):
    assert metadata["License"] == "MPL-2.0"
    assert metadata["Version"] == oclapi.__version__
    with ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("/LICENSE")]
        assert archive.read(name) == (ROOT / "LICENSE").read_bytes()


def test_the_licence_is_the_whole_mozilla_public_license():
    text = (ROOT / "LICENSE").read_text()
    assert text.startswith("Mozilla Public License Version 2.0\n")
    sections = [
        int(number) for number in re.findall(r"^(?:\* +)?(\d+)\. [A-Z]", text, re.MULTILINE)
    ]
    assert sections == list(range(1, 11))
    assert "Exhibit A - Source Code Form License Notice" in text
    assert text.rstrip().endswith("defined by the Mozilla Public License, v. 2.0.")


def test_the_installed_command_prints_its_version(installed):
    target, run = installed
    result = run(str(target / "bin" / "oclapi"), "--version")
    assert (result.returncode, result.stdout) == (0, f"oclapi {oclapi.__version__}\n"), (
        result.stderr
    )


def test_the_installed_package_runs_as_a_module(installed):
    _, run = installed
    result = run(sys.executable, "-m", "oclapi", "--version")
    assert (result.returncode, result.stdout) == (0, f"oclapi {oclapi.__version__}\n"), (
        result.stderr
    )


def test_an_installed_server_finds_its_own_packages_and_files(installed):
    target, run = installed
    script = (
        "import oclapi.local.run, oclapi.reference.page, config, jobs.export, search.base\n"
        "print(oclapi.local.run.ROOT, config.__file__, jobs.__file__)"
    )
    result = run(sys.executable, "-c", script)
    assert result.returncode == 0, result.stderr
    server = target / "oclapi" / "server"
    assert result.stdout.split() == [
        str(server),
        str(server / "config" / "__init__.py"),
        str(server / "jobs" / "__init__.py"),
    ]


def test_the_checkout_runs_as_a_module_too():
    result = subprocess.run(
        [sys.executable, "-m", "oclapi", "--version"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, f"oclapi {oclapi.__version__}\n"), (
        result.stderr
    )
