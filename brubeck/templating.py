"""Pages from Jinja2 templates."""

from collections.abc import Callable
from typing import Any

from jinja2 import Environment, FileSystemLoader

from brubeck.web_handlers import WebMessageHandler


def load_jinja2_env(directory: str, *args: Any, **kwargs: Any) -> Callable[[], Environment]:
    """A `template_loader` for the templates in a folder; further arguments go to Jinja2.

    What a template inserts is escaped unless you say otherwise (`autoescape=False`).
    """

    def load() -> Environment:
        options: dict[str, Any] = {
            "autoescape": True,
            "loader": FileSystemLoader(directory),
        } | kwargs
        return Environment(*args, **options)  # noqa: S701  # on unless the user says otherwise

    return load


class Jinja2Rendering(WebMessageHandler):
    """For web handlers that answer with templates."""

    def render_template(self, template_file: str, _status_code: int = 200, **context: Any) -> Any:
        """The page a template makes of `context`."""
        self.set_body(
            self.application.render_template(template_file, **context), status_code=_status_code
        )
        return self.render()

    def render_error(
        self, status_code: int, error_handler: Callable[[], Any] | None = None, **context: Any
    ) -> Any:
        """The page `errors.html` makes of `error_code` and `request_id`."""
        self.clear_payload()
        if error_handler is not None:
            error_handler()
        context = {"error_code": status_code, "request_id": self.message.request_id} | context
        return self.render_template("errors.html", _status_code=status_code, **context)
