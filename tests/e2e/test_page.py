"""The page in a real browser: on a phone, in the dark, with a keyboard, without JavaScript."""

import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.e2e.browser import ARTIFACTS, DESKTOP, LOOKS, Reader
from tests.e2e.deployment import Deployment

PAGES = {
    "front": "/",
    "async": "/service/async",
    "sync": "/service/sync",
    "live": "/live",
    "404": "/no/such/page",
}


# Each page, as each reader sees it; a picture of it stays in `artifacts/`


@pytest.fixture(
    scope="module",
    params=[(name, look) for name in PAGES for look in LOOKS],
    ids=" ".join,
)
def shown(
    request: pytest.FixtureRequest, chromium: Browser, deployment: Deployment
) -> Iterator[Page]:
    """One page in one look."""
    name, look = request.param
    reader = Reader(chromium, deployment.port)
    page = reader.open(PAGES[name], **LOOKS[look])
    ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTIFACTS / f"{name}-{look}.png", full_page=True)
    yield page
    reader.close()


def test_it_has_no_barriers_that_axe_knows_of(shown: Page) -> None:
    results = Axe().run(shown)

    assert results.violations_count == 0, results.generate_report()


def test_it_does_not_scroll_sideways(shown: Page) -> None:
    widths = shown.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )

    assert widths[0] <= widths[1]


def test_it_is_as_dark_or_light_as_the_reader_wants(shown: Page) -> None:
    wants_dark = shown.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    colour = shown.evaluate("getComputedStyle(document.body).backgroundColor")
    red, green, blue = (int(part) for part in re.findall(r"\d+", colour)[:3])

    assert (red + green + blue < 3 * 128) is wants_dark


# What a reader does


def test_a_reader_follows_both_links_to_their_results(reader: Reader) -> None:
    page = reader.open("/", viewport=DESKTOP)
    page.locator('main a[href="/service/async"]').first.click()
    expect(page).to_have_url(re.compile("/service/async$"))
    expect(page.locator("blockquote")).to_contain_text("Async is faster")

    page.go_back()
    page.locator('main a[href="/service/sync"]').first.click()
    expect(page.locator("blockquote")).to_contain_text("I made a round trip", timeout=30_000)

    assert reader.complaints == []


def test_it_works_without_javascript(reader: Reader) -> None:
    page = reader.open("/", java_script_enabled=False)

    page.locator('main a[href="/service/async"]').first.click()

    expect(page.locator("blockquote")).to_contain_text("Async is faster")
    assert reader.complaints == []


def test_the_keyboard_reaches_both_links_and_shows_where_it_is(reader: Reader) -> None:
    page = reader.open("/", viewport=DESKTOP)
    reached: dict[str, str] = {}
    for _ in range(20):
        page.keyboard.press("Tab")
        href, outline = page.evaluate(
            "(e => [e.getAttribute('href'), getComputedStyle(e).outlineStyle])"
            "(document.activeElement)"
        )
        reached[href] = outline

    for href in ("/service/sync", "/service/async"):
        assert reached.get(href, "never reached") not in ("never reached", "none")

    page.locator('main a[href="/service/async"]').first.focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/service/async$"))
