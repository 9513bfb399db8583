"""The pages for users are followed to the letter, in an empty folder."""

import json
import re
import shutil
import subprocess
from pathlib import Path

from tests.integration.real_mongrel2 import need_mongrel2
from tests.needs import ROOT, need, program
from tests.pages import Block, Command, Reader, blocks, files

QUICKSTART = ROOT / "docs/quickstart.md"
TUTORIAL = ROOT / "docs/tutorial.md"


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


def test_the_tutorials_programs_do_what_it_says(tmp_path: Path) -> None:
    with Reader(tmp_path, ports=(6767, 9000)) as reader:
        for heading in ("The service", "The page", "Both on this machine"):
            reader.follow(section(TUTORIAL, heading))


def test_the_tutorials_deployment_is_one(tmp_path: Path) -> None:
    need(_compose_is_there(), "Docker with its Compose plugin")
    Reader(tmp_path, ports=()).write(files(blocks(TUTORIAL)))
    shutil.copy(ROOT / "compose.yaml", tmp_path)

    config = subprocess.run(
        ["docker", "compose", "config", "--format", "json"],
        cwd=tmp_path,
        capture_output=True,
        check=True,
        timeout=60,
    )

    services = json.loads(config.stdout)["services"]
    for name, target in (("client-app", "web"), ("primes", "service")):
        context = Path(services[name]["build"]["context"])
        dockerfile = (context / services[name]["build"]["dockerfile"]).read_text()
        stage = dockerfile.partition(f" AS {target}\n")[2].partition("\n\n")[0]
        copied = re.fullmatch(r"COPY (\S+) app\.py\n?", stage)
        assert services[name]["build"]["target"] == target
        assert copied
        assert (context / copied[1]).is_file()
    assert services["primes"]["networks"] == services["slow-service"]["networks"]
    assert services["primes"]["cap_drop"] == ["ALL"]


def _compose_is_there() -> bool:
    command = ["docker", "compose", "version"]
    return bool(program("docker")) and not (
        subprocess.run(command, capture_output=True, check=False).returncode
    )


def test_the_program_on_web_handlers_answers_as_the_page_says(tmp_path: Path) -> None:
    page = blocks(ROOT / "docs/web-handlers.md")
    with Reader(tmp_path, ports=(6767,)) as reader:
        reader.write(files(page))
        reader.type(Command("python app.py", "… started\n… listening at port 6767\n…\n"))
        reader.follow(page)


def test_the_programs_on_services_answer_as_the_page_says(tmp_path: Path) -> None:
    page = blocks(ROOT / "docs/services.md")
    with Reader(tmp_path, ports=(6767, 9000)) as reader:
        reader.write(files(page))
        reader.type(
            Command("python service.py", "… started\n… listens at tcp://127.0.0.1:9000\n…\n")
        )
        reader.type(Command("python web.py", "… started\n… listening at port 6767\n…\n"))
        reader.type(Command("python several.py", ""))
        reader.follow(page)
