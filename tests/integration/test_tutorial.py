"""The pages for users are followed to the letter, in an empty folder."""

from pathlib import Path

from tests.integration.real_mongrel2 import need_mongrel2
from tests.needs import ROOT
from tests.pages import Block, Reader, blocks

QUICKSTART = ROOT / "docs/quickstart.md"


def section(page: Path, heading: str) -> list[Block]:
    """The blocks under a heading."""
    found = [block for block in blocks(page) if block.heading == heading]
    assert found, heading
    return found


def test_the_quickstart_does_what_it_says(tmp_path: Path) -> None:
    with Reader(tmp_path, ports=(6767, 9000)) as reader:
        reader.follow(section(QUICKSTART, "A service"))
        reader.follow(section(QUICKSTART, "A page that calls it"))
        three_at_once, without_the_service = section(QUICKSTART, "Who waits, and who does not")
        reader.follow([three_at_once])
        reader.stop("python service.py")
        reader.follow([without_the_service])


def test_the_quickstart_works_behind_mongrel2_too(tmp_path: Path) -> None:
    need_mongrel2()
    with Reader(tmp_path, ports=(6767, 6768, 9000, 9998, 9999)) as reader:
        reader.follow(section(QUICKSTART, "A service"))
        reader.follow(section(QUICKSTART, "A page that calls it"))
        reader.follow(section(QUICKSTART, "Behind Mongrel2"))
