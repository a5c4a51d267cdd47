"""The README and the Makefile say what is so."""

import itertools
import re
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

from config.settings import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


def targets():
    return set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))


def test_the_readme_lists_every_setting_with_its_default_and_meaning():
    told = re.findall(
        r"^\| `(\w+)` \| (?:`(.*?)`)? ?\| (.*) \|$",
        README.split("## Settings")[1].split("\n## ")[0],
        re.MULTILINE,
    )
    assert told == [
        (setting.metadata["env"], str(setting.default), setting.metadata["help"])
        for setting in fields(Settings)
    ]


def test_make_alone_lists_every_target():
    listed = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert {line.split()[0] for line in listed.splitlines()} == targets()


def test_the_targets_that_the_readme_names_are_there():
    assert (
        set(re.findall(r"`?\bmake ([a-z-]+)", "\n".join(re.findall(r"`+[^`]*`+", README))))
        <= targets()
    )


def test_the_folders_that_the_readme_names_are_there():
    named = re.findall(r"`([a-z/]+/)`", README.split("## Where things are")[1])
    assert [name for name in named if not (ROOT / name).is_dir()] == []


@pytest.mark.parametrize("name", ["run", "local", "test", "s3"])
def test_every_package_is_pinned_to_one_version(name):
    lines = (ROOT / "config" / "requirements" / f"{name}.txt").read_text().splitlines()
    packages = [line for line in lines if line and not line.startswith("#")]
    assert [
        line for line in packages if not re.match(r"[a-z0-9-]+==[0-9][0-9a-z.]*(;|$)", line)
    ] == []


def test_each_package_is_pinned_once():
    files = (ROOT / "config" / "requirements").glob("*.txt")
    names = [re.findall(r"^([a-z0-9-]+)==", file.read_text(), re.MULTILINE) for file in files]
    assert sorted(itertools.chain(*names)) == sorted({*itertools.chain(*names)})


def test_the_changelog_opens_with_what_is_not_released():
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased"
