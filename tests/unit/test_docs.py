"""The README, the pages of docs and the Makefile agree with the files that they describe."""

import re
import subprocess
from pathlib import Path

import pytest

import oclapi
from config.settings import LARGEST, Settings, variable

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
PAGES = sorted(
    path.relative_to(ROOT) for folder in (ROOT, ROOT / "docs") for path in folder.glob("*.md")
)


def targets():
    return set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))


def test_the_documentation_lists_every_setting_with_its_default_range_and_meaning():
    text = (ROOT / "docs" / "settings.md").read_text()
    assert f"at most {LARGEST}." in text
    rows = re.findall(r"^\| `(\w+)` \| (.*?) ?\| (.*?) ?\| (.*?) ?\| (.*) \|$", text, re.MULTILINE)
    assert rows == [documented(name) for name in Settings.model_fields]


def documented(name):
    """The row of a setting in docs/settings.md."""
    setting = Settings.model_fields[name]
    default = f"`{setting.default}`" if setting.default not in ("", None) else ""
    limits = setting.json_schema_extra or {"unit": "", "low": "", "high": ""}
    low, high = limits["low"], limits["high"]
    between = f"{low} or more" if high == LARGEST else f"{low} to {high}" if high else ""
    return variable(name), default, limits["unit"], between, setting.description


def test_make_alone_lists_every_target():
    listed = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert {line.split()[0] for line in listed.splitlines()} == targets()


def test_the_folders_that_the_readme_names_are_there():
    named = re.findall(r"`([a-z/]+/)`", README.split("## Where to go next")[1])
    assert len(named) >= 8
    assert [name for name in named if not (ROOT / name).is_dir()] == []


def test_the_readme_fits_on_three_screens():
    assert len(README.splitlines()) <= 120


def test_the_readme_links_every_page_of_the_documentation():
    pages = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")}
    usual = {"CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE"}
    assert set(re.findall(r"\]\(([^)]+)\)", README)) >= pages | usual


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_between_pages_leads_to_a_file(page):
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / page).read_text())
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (ROOT / page).parent.joinpath(link).is_file()] == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_make_target_that_a_page_names_exists(page):
    code = "\n".join(re.findall(r"`+[^`]*`+", (ROOT / page).read_text()))
    assert set(re.findall(r"`?\bmake ([a-z-]+)", code)) <= targets()


@pytest.mark.parametrize("name", ["run", "local", "test", "s3"])
def test_every_package_is_pinned_to_one_version(name):
    lines = (ROOT / "config" / "requirements" / f"{name}.txt").read_text().splitlines()
    packages = [line for line in lines if line and not line.startswith("#")]
    assert [
        line for line in packages if not re.match(r"[a-z0-9-]+==[0-9][0-9a-z.]*(;|$)", line)
    ] == []


def pins(*names):
    files = [ROOT / "config" / "requirements" / f"{name}.txt" for name in names]
    return [
        pin
        for file in files
        for pin in re.findall(r"^([a-z0-9-]+)==([^;\s]+)", file.read_text(), re.MULTILINE)
    ]


def test_each_package_is_pinned_once():
    # S3 has a list of its own: the test programs are not installed with it.
    for together in (["run", "local", "test"], ["run", "local", "s3"]):
        names = [name for name, _ in pins(*together)]
        assert sorted(names) == sorted(set(names))


def test_each_package_has_the_same_version_wherever_it_is_pinned():
    found = set(pins("run", "local", "test", "s3"))
    assert len(found) == len({name for name, _ in found})


def test_the_changelog_opens_with_what_is_not_released():
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == f"Unreleased ({oclapi.__version__})"
