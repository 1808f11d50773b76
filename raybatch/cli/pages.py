"""Reports as one HTML page that needs no other file and no JavaScript. Only this module imports jinja2."""

from __future__ import annotations

import base64
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from raybatch.stores.aside import written_aside


def write_page(path: Path, template: str, **values: Any) -> None:
    """Write `template`, a file in `templates/`, with `values` filled in, to `path`."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("raybatch.cli"),
        autoescape=True,  # names of files are shown as they are, whatever is in them
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    written = {"version": version("raybatch"), "date": f"{datetime.now():%Y-%m-%d %H:%M}"}
    text = environment.get_template(template).render(values | written)
    # Of a name that is no text, what cannot be written is shown as an escape.
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8", errors="backslashreplace")


def data_uri(content: bytes, kind: str) -> str:
    """Return the URI that holds `content` of the MIME type `kind`."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
