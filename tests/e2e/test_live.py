"""The live page in a real browser, with three replicas of the service and two client apps."""

import json
import os
import re
import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, ViewportSize, expect

from tests.e2e.browser import ARTIFACTS, DESKTOP, LOOKS, Reader
from tests.e2e.deployment import Container, Deployment, docker
from tests.needs import ROOT
from tests.waiting import eventually

PICTURES = ROOT / "docs" if os.environ.get("UPDATE_PICTURES") else ARTIFACTS
"""Where the pictures that the README shows are put: set UPDATE_PICTURES to renew them."""

PICTURE: ViewportSize = {"width": 1200, "height": 1290}

OUTCOME_LIMIT = 30_000
"""Milliseconds until any call has ended."""


@pytest.fixture(scope="module")
def scaled(deployment: Deployment) -> Iterator[Deployment]:
    """The deployment, which the tests scale."""
    yield deployment
    deployment.repair()


@pytest.fixture
def live(scaled: Deployment, reader: Reader) -> Page:
    """The page, when it has drawn three replicas; there are two client apps."""
    if [len(scaled.containers(name)) for name in ("slow-service", "client-app")] != [3, 2]:
        scaled.up("--scale", "slow-service=3", "--scale", "client-app=2")
        scaled.wait_until_ready()
    return opened(reader)


def opened(reader: Reader, look: str = "desktop") -> Page:
    page = reader.open("/live", **LOOKS[look])
    expect(page.locator("#replicas .box[data-state=ready]")).to_have_count(3, timeout=15_000)
    return page


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def calls(page: Page, state: str = "") -> Locator:
    """The rows of calls, all or those in one state."""
    return page.locator(f"#calls .call[data-state={state}]" if state else "#calls .call")


def replicas(page: Page) -> list[str]:
    """The names of the replicas that have calls in hand."""
    return sorted(set(calls(page, "working").locator(".where").all_text_contents()))


def bars(page: Page) -> list[float]:
    values: list[float] = page.locator("#calls progress").evaluate_all(
        "bars => bars.map(b => b.value)"
    )
    return values


# What becomes of calls


def test_twenty_calls_travel_to_three_replicas_and_come_back(live: Page, reader: Reader) -> None:
    press(live, "Call and carry on")
    expect(calls(live, "done")).to_have_count(1, timeout=OUTCOME_LIMIT)
    press(live, "20 at once")
    expect(calls(live, "working")).to_have_count(20)
    eventually(lambda: all(bar > 0.05 for bar in bars(live)), "all bars move", seconds=10)

    at_work, tokens, before = replicas(live), live.locator("#replicas .token"), bars(live)
    assert len(at_work) == 3
    expect(tokens).to_have_count(20)
    eventually(lambda: all(b > 0.4 for b in bars(live)), "all bars move on", seconds=10)
    assert before < bars(live)
    PICTURES.mkdir(exist_ok=True)
    live.set_viewport_size(PICTURE)
    live.screenshot(path=PICTURES / "live.png")

    expect(calls(live, "done")).to_have_count(21, timeout=OUTCOME_LIMIT)
    expect(live.get_by_role("status")).to_have_text("20 calls: 20 done.")
    assert reader.complaints == []


def test_a_response_that_no_browser_waits_for_is_seen_arriving(live: Page) -> None:
    press(live, "Call and carry on")
    row = calls(live).first

    expect(row).to_contain_text("The page was there after")
    expect(row.locator(".outcome")).to_contain_text("s left")
    expect(row).to_contain_text("The response arrived at", timeout=OUTCOME_LIMIT)
    expect(row).to_have_attribute("data-state", "done")


def test_what_computes_holds_up_no_other_call(live: Page) -> None:
    press(live, "Compute")
    expect(calls(live, "working").locator(".outcome")).to_contain_text("primes below")
    press(live, "Call and carry on")

    expect(calls(live, "done")).to_have_count(2, timeout=OUTCOME_LIMIT)
    expect(calls(live).last).to_contain_text("There are 49098 primes below 600000.")


def test_cancel_reaches_the_handler(live: Page, scaled: Deployment) -> None:
    press(live, "20 at once")
    expect(calls(live, "working")).to_have_count(20)
    ids = calls(live).locator(".what code").all_text_contents()

    press(live, "Cancel")

    expect(calls(live, "cancelled")).to_have_count(20)
    expect(live.get_by_role("status")).to_have_text("20 calls: 20 cancelled.")
    eventually(
        lambda: all(was_ended(scaled, request_id) for request_id in ids),
        "the end of all handlers",
        seconds=scaled.slow_seconds,
    )


def was_ended(deployment: Deployment, request_id: str) -> bool:
    said = deployment.log("slow-service").about(request_id)
    return any("the handler was ended" in message for message in said)


def test_the_calls_of_a_killed_replica_are_lost_within_two_seconds(live: Page) -> None:
    press(live, "20 at once")
    expect(calls(live, "working")).to_have_count(20)
    victim = replicas(live)[0]
    its_calls = calls(live).filter(has_text=victim)
    count = its_calls.count()

    docker("kill", victim.split("-")[0])  # the container's name; the rest is the process's own

    lost = calls(live, "lost").filter(has_text=victim)
    expect(lost).to_have_count(count, timeout=2_000)
    expect(calls(live, "done")).to_have_count(20 - count, timeout=OUTCOME_LIMIT)
    expect(live.get_by_role("status")).to_have_text(re.compile(rf"{count} lost"))


def test_why_calls_are_out_of_sight_is_said(live: Page, scaled: Deployment) -> None:
    press(live, "20 at once")
    expect(calls(live, "working")).to_have_count(20)

    scaled.compose("restart", "--timeout", "0", "mongrel2")

    expect(calls(live, "cut")).to_have_count(20)
    expect(live.get_by_role("status")).to_have_text(
        "The connection to client-app ended. 20 calls: 20 out of sight."
    )
    scaled.wait_until_ready()


def test_what_is_cancelled_before_it_is_known_is_said_to_be(live: Page) -> None:
    press(live, "Call and wait")
    expect(calls(live, "working")).to_have_count(1)
    press(live, "Cancel")
    expect(live.get_by_role("status")).to_have_text("Call 1: cancelled.")

    live.route("**/live/calls", lambda _: None)  # it stays unanswered
    press(live, "Call and wait")
    press(live, "Cancel")

    expect(live.get_by_role("status")).to_have_text("Cancelled before client-app told of any call.")
    expect(live.locator("#cancel")).to_have_attribute("aria-disabled", "true")


# What is known of the deployment


def test_of_other_client_apps_it_shows_those_that_have_its_calls(live: Page) -> None:
    apps = live.locator("#apps .box")
    expect(apps).to_have_count(1)
    teller = apps.locator("code").all_text_contents()
    for _ in range(4):  # mongrel2 gives them to both in turn
        press(live, "Call and wait")
    expect(calls(live, "working")).to_have_count(4)
    expect(apps).to_have_count(2)

    press(live, "Cancel")

    expect(calls(live, "cancelled")).to_have_count(4)
    expect(apps).to_have_count(2)  # as long as the calls are in the picture
    expect(apps.locator("code")).to_have_text(teller, timeout=8_000)


def test_what_nobody_tells_any_more_is_not_known(live: Page, scaled: Deployment) -> None:
    said_of_apps, said_of_replicas = live.locator("#apps .note"), live.locator("#replicas .note")

    scaled.compose("kill", "mongrel2")
    try:
        expect(said_of_replicas).to_have_text(["not known"] * 3)
        expect(said_of_apps).to_have_text(["not known"])
    finally:
        scaled.compose("start", "mongrel2")

    expect(said_of_replicas).to_have_text(["0 in hand"] * 3, timeout=30_000)
    expect(said_of_apps).to_have_text(["tells you this"])
    scaled.wait_until_ready()


# Who looks at it


@pytest.mark.parametrize("look", LOOKS)
def test_it_has_no_barriers_while_calls_travel(live: Page, reader: Reader, look: str) -> None:
    live.close()
    page = opened(reader, look)
    press(page, "20 at once")
    expect(calls(page, "working")).to_have_count(20)

    results = Axe().run(page)
    page.screenshot(path=ARTIFACTS / f"live-calls-{look}.png", full_page=True)
    press(page, "Cancel")

    assert results.violations_count == 0, results.generate_report()
    widths = page.evaluate("(e => [e.scrollWidth, e.clientWidth])(document.documentElement)")
    assert widths[0] <= widths[1]


def test_a_keyboard_makes_calls_and_cancels_them(live: Page) -> None:
    live.get_by_role("button", name="Call and wait").focus()
    live.keyboard.press("Enter")
    expect(calls(live, "working")).to_have_count(1)
    for _ in range(4):
        live.keyboard.press("Tab")
    focused = live.evaluate(
        "[document.activeElement.id, getComputedStyle(document.activeElement).outlineStyle]"
    )
    live.keyboard.press("Enter")

    assert focused[0] == "cancel"
    assert focused[1] != "none"
    expect(calls(live, "cancelled")).to_have_count(1)


COUNT_FLIGHTS = """() => {
  const { animate } = Element.prototype;
  window.flights = 0;
  Element.prototype.animate = function (...how) { flights += 1; return animate.apply(this, how); };
}"""


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_nothing_flies_for_those_who_want_no_motion(live: Page, motion: str) -> None:
    live.emulate_media(reduced_motion=motion)  # type: ignore[arg-type]
    live.evaluate(COUNT_FLIGHTS)
    press(live, "Call and carry on")
    expect(calls(live, "done")).to_have_count(1, timeout=OUTCOME_LIMIT)

    assert (live.evaluate("flights") > 0) is (motion == "no-preference")


def test_without_javascript_it_says_where_the_same_calls_are(reader: Reader) -> None:
    page = reader.open("/live", viewport=DESKTOP, java_script_enabled=False)

    expect(page.locator('noscript a[href="/"]')).to_be_attached()


# What viewers cost


class Viewers:
    """Browsers that ask for a stream and then read nothing of it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._sockets = ExitStack()
        self._all: list[socket.socket] = []

    def __enter__(self) -> "Viewers":
        return self

    def __exit__(self, *_: object) -> None:
        self._sockets.close()

    def come(
        self, count: int, method: str = "GET", path: str = "/live/deployment", body: str = ""
    ) -> list[int]:
        """So many more; the statuses they get."""
        new = []
        for _ in range(count):
            viewer = self._sockets.enter_context(
                socket.create_connection(("127.0.0.1", self._port), timeout=30)
            )
            viewer.sendall(
                f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
                f"Content-Type: application/x-www-form-urlencoded\r\n\r\n{body}".encode()
            )
            new.append(viewer)
        self._all += new
        return [int(viewer.recv(12).decode().split()[1]) for viewer in new]


def seconds_for_the_front_page(deployment: Deployment) -> float:
    """What a reader of `/` waits, as a rule."""
    answers = [deployment.ask("/") for _ in range(40)]
    assert {answer.status for answer in answers} == {200}
    return statistics.median(answer.seconds for answer in answers)


def test_500_viewers_slow_no_other_request(live: Page, scaled: Deployment) -> None:
    live.close()
    alone = seconds_for_the_front_page(scaled)
    with Viewers(scaled.port) as viewers:
        assert set(viewers.come(500)) == {200}
        beside = seconds_for_the_front_page(scaled)

    print(f"the front page: alone {alone * 1000:.1f} ms, beside 500 viewers {beside * 1000:.1f} ms")  # noqa: T201
    assert beside < 3 * alone + 0.05


def test_viewers_that_leave_or_read_nothing_cost_nothing(live: Page, scaled: Deployment) -> None:
    live.close()
    apps, services = (scaled.containers(name) for name in ("client-app", "slow-service"))
    made, ended = times_said(apps, A_CALL), times_said(services, ITS_END)
    with Viewers(scaled.port) as viewers:
        # Twenty calls each: as many as both client apps follow, and more.
        statuses = viewers.come(110, "POST", "/live/calls", "kind=sync&count=20")
        assert set(statuses) == {200, 503}
        eventually(
            lambda: times_said(apps, A_CALL) > made + 1000, "their calls are made", seconds=10
        )

    # Of handlers that come to their end by themselves, this is not said.
    eventually(
        lambda: times_said(services, ITS_END) > ended + 1000, "they have been ended", seconds=10
    )
    eventually(lambda: load(scaled) == 0, "none is left", seconds=scaled.slow_seconds / 2)
    with Viewers(scaled.port) as viewers:
        assert set(viewers.come(40, "POST", "/live/calls", "kind=sync&count=20")) == {200}


A_CALL = "calling request /service/slow"
ITS_END = "the handler was ended: too late, or nobody waits"


def times_said(containers: list[Container], text: str) -> int:
    """How often some containers have said something."""
    return sum(container.said.count(text) for container in containers)


def load(deployment: Deployment) -> int:
    """The calls that all replicas have in hand."""
    ping = (
        "exec",
        "-T",
        "client-app",
        "brubeck-service",
        "ping",
        "--json",
        "tcp://slow-service:9000",
    )
    return sum(replica["load"] for replica in json.loads(deployment.compose(*ping)))


def test_a_client_app_that_stops_does_not_wait_for_its_viewers(
    live: Page, scaled: Deployment
) -> None:
    live.close()
    with Viewers(scaled.port) as viewers:
        assert set(viewers.come(50)) == {200}
        started = time.monotonic()
        scaled.compose("stop", "client-app")
        took = time.monotonic() - started

    assert took < 15
    assert "still in hand at the end" not in scaled.log("client-app")


def test_the_page_goes_on_with_another_client_app(live: Page, scaled: Deployment) -> None:
    told_by = live.locator("#apps .box code").first.text_content()
    assert told_by
    docker("stop", told_by)

    expect(live.locator("#apps .box code").filter(has_not_text=told_by).first).to_be_visible(
        timeout=20_000
    )
    press(live, "Call and carry on")
    expect(calls(live, "done")).to_have_count(1, timeout=OUTCOME_LIMIT)
