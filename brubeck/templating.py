"""Pages from Jinja2 templates."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader


def load_jinja2_env(directory: str, *args: Any, **kwargs: Any) -> Callable[[], Environment]:
    """A `template_loader` for the templates in a folder; further arguments go to Jinja2.

    What a template inserts is escaped unless you say otherwise (`autoescape=False`). The loader
    raises ValueError if there is no such folder.
    """

    def load() -> Environment:
        if "loader" not in kwargs and not Path(directory).is_dir():
            raise ValueError(f"template_loader: there is no folder {directory!r}")
        options: dict[str, Any] = {
            "autoescape": True,
            "loader": FileSystemLoader(directory),
        } | kwargs
        return Environment(*args, **options)  # noqa: S701  # on unless the user says otherwise

    return load


class Jinja2Rendering:
    """Answers with templates, beside `WebMessageHandler`.

    Named before it, errors have the page `errors.html`; named after it, the plain one.
    """

    application: Any
    message: Any
    set_body: Callable[..., None]
    render: Callable[..., Any]
    _start_anew: Callable[[], None]

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
        self._start_anew()
        if error_handler is not None:
            error_handler()
        context = {"error_code": status_code, "request_id": self.message.request_id} | context
        return self.render_template("errors.html", _status_code=status_code, **context)
