"""docs/architecture.md names every module that there is, and none that there is not; what the
sources say of SPEC.md is to be found there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "architecture.md"
SPEC = ROOT / "protocol" / "SPEC.md"
# heading of the page -> the folder whose modules are in the first column of its table
TREES = {
    "## protocol/fanal_protocol": ROOT / "protocol" / "fanal_protocol",
    "## firmware": ROOT / "firmware" / "beacon",
    "## host/fanal": ROOT / "host" / "fanal",
    "### host/fanal/gateway": ROOT / "host" / "fanal" / "gateway",
    "### host/fanal/hub": ROOT / "host" / "fanal" / "hub",
    "### host/fanal/sim": ROOT / "host" / "fanal" / "sim",
}
SOURCES = ("protocol", "firmware", "host", "tests", "bench")
REFERENCE = re.compile(r"SPEC(?:\.md)? ((?:\d(?:\.\d)?)(?:(?:, | and | to )\d(?:\.\d)?)*)")


def named(page: str, heading: str) -> set[str]:
    """Return the modules in the first column of the first table below a heading."""
    section = re.split(r"\n#{2,3} ", page.split(f"\n{heading}\n", 1)[1])[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    cells = [cell for cell in cells if not cell.endswith("module ")]  # the head of a table
    return {name for cell in cells for name in re.findall(r"`(\w+/?)`", cell)}


def present(folder: Path) -> set[str]:
    """Return the modules of a folder, and the packages in it that hold modules, as `name/`."""
    modules = {path.stem for path in folder.glob("*.py") if not path.stem.startswith("__")}
    return modules | {f"{path.parent.name}/" for path in folder.glob("*/__init__.py")}


def elsewhere(heading: str) -> set[str]:
    """Return the packages that have a heading of their own."""
    return {f"{Path(h).name}/" for h in TREES if h.startswith(f"#{heading}/")}


def headings() -> set[str]:
    """Return the numbers of all headings of SPEC.md."""
    return set(re.findall(r"^#+ (\d(?:\.\d)?) ", SPEC.read_text(), re.MULTILINE))


def references(text: str) -> list[str]:
    """Return every section number that follows the word SPEC."""
    return [n for found in REFERENCE.findall(text) for n in re.findall(r"\d(?:\.\d)?", found)]


def sources() -> list[Path]:
    return [
        path
        for tree in SOURCES
        for path in sorted((ROOT / tree).rglob("*.py"))
        if "_firmware" not in path.parts and path != Path(__file__).resolve()
    ]


@pytest.mark.parametrize("heading", TREES)
def test_the_page_and_the_tree_agree(heading):
    listed, there = named(PAGE.read_text(), heading), present(TREES[heading])
    assert listed - there - elsewhere(heading) == set(), "named, but not there"
    assert there - listed - elsewhere(heading) == set(), "there, but not named"


def test_the_agreement_can_fail():
    page = "\n## firmware\n\n| `squeeze` `gone` | pure | |\n\n## host/fanal\n| `other` | |\n"
    assert named(page, "## firmware") == {"squeeze", "gone"}
    assert "gone" not in present(TREES["## firmware"])


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_section_that_is_referred_to_exists(path):
    assert set(references(path.read_text())) <= headings()


def test_references_are_found():
    assert references("SPEC 4.2, 4.3. SPEC 2.1 to 2.3, SPEC 3 and 3.1; SPEC.md 9.9") == [
        "4.2", "4.3", "2.1", "2.3", "3", "3.1", "9.9",
    ]  # fmt: skip
    assert "9.9" not in headings()
    assert {"1.4", "4.5", "6"} <= headings()
