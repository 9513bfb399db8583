"""The names that people import keep standing where the project's origin has them."""

import importlib

import pytest


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("brubeck.connections", ["Connection", "Mongrel2Connection", "WSGIConnection"]),
        (
            "brubeck.request_handling",
            [
                "Brubeck",
                "JSONMessageHandler",
                "MessageHandler",
                "WebMessageHandler",
                "http_response",
                "render",
            ],
        ),
        ("brubeck.templating", ["Jinja2Rendering", "load_jinja2_env"]),
    ],
)
def test_the_names_people_import_are_there(module: str, names: list[str]) -> None:
    assert not [name for name in names if not hasattr(importlib.import_module(module), name)]
