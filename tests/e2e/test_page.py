"""The page in a real browser: on a phone, in the dark, with a keyboard, without JavaScript."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.e2e.deployment import Deployment
from tests.needs import ROOT, need, program

CHROMIUM_ARGUMENTS = [  # no sandbox: it does not start as root otherwise
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

ARTIFACTS = ROOT / "artifacts"

DESKTOP = {"width": 1200, "height": 900}
PHONE = {"width": 360, "height": 740}

PAGES = {"front": "/", "async": "/service/async", "sync": "/service/sync", "404": "/no/such/page"}


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The distribution's Chromium."""
    path = program("chromium")
    need(path, "Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


class Reader:
    """Opens pages of the deployment, and collects what the browser complains about."""

    def __init__(self, browser: Browser, port: int) -> None:
        self._browser = browser
        self._address = f"http://127.0.0.1:{port}"
        self._contexts: list[BrowserContext] = []
        self.complaints: list[str] = []

    def open(self, path: str, **options: Any) -> Page:
        """The page at a path, in a window of its own."""
        context = self._browser.new_context(base_url=self._address, **options)
        self._contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("requestfailed", lambda request: self.complaints.append(request.url))
        page.goto(path)
        return page

    def close(self) -> None:
        """Close all windows."""
        for context in self._contexts:
            context.close()


@pytest.fixture
def reader(chromium: Browser, deployment: Deployment) -> Iterator[Reader]:
    """Somebody who opens pages."""
    reader = Reader(chromium, deployment.port)
    yield reader
    reader.close()


# Each page, as each reader sees it; a picture of it stays in `artifacts/`

LOOKS: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": DESKTOP, "color_scheme": "light"},
    "dark": {"viewport": DESKTOP, "color_scheme": "dark"},
    "phone": {"viewport": PHONE, "color_scheme": "light", "is_mobile": True, "has_touch": True},
}


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
