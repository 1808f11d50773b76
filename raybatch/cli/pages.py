"""Reports as one HTML page, with no other file and no JavaScript.

Only this module imports jinja2.
"""

from __future__ import annotations

import base64
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from raybatch.stores.aside import written_aside


def write_page(path: Path, template: str, **values: Any) -> None:
    """Fill `values` into `template`, a file in `templates/`, and write the result to `path`."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("raybatch.cli"),
        autoescape=True,  # File names are shown as they are, whatever characters they have.
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    written = {"version": version("raybatch"), "date": f"{datetime.now():%Y-%m-%d %H:%M}"}
    text = environment.get_template(template).render(values | written)
    # Characters of a file name that are not valid Unicode are escaped.
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8", errors="backslashreplace")


def data_uri(content: bytes, kind: str) -> str:
    """Return a data URI for `content` of the MIME type `kind`."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
