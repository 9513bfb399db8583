"""A reader of the deployment's pages, in a real Chromium."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.needs import ROOT

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
"""Pictures of the pages stay here."""

DESKTOP = {"width": 1200, "height": 900}
PHONE = {"width": 360, "height": 740}

LOOKS: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": DESKTOP, "color_scheme": "light"},
    "dark": {"viewport": DESKTOP, "color_scheme": "dark"},
    "phone": {"viewport": PHONE, "color_scheme": "light", "is_mobile": True, "has_touch": True},
}


@contextmanager
def chromium_at(path: str) -> Iterator[Browser]:
    """A Chromium without a window."""
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
        page.on("requestfailed", lambda request: self._failed(request.url))
        page.goto(path)
        return page

    def close(self) -> None:
        """Close all windows."""
        for context in self._contexts:
            context.close()

    def _failed(self, url: str) -> None:
        # Playwright takes the end of an answer that the page reads in pieces for a failure.
        if not url.endswith("/live/calls"):
            self.complaints.append(url)
