"""Which version of the product runs here: what its pyproject says."""

import tomllib
from functools import cache
from pathlib import Path


@cache
def version() -> str:
    """As in the change log; blank where the file is not beside the code."""
    try:
        text = (Path(__file__).resolve().parent.parent / "pyproject.toml").read_text(encoding="utf-8")
    except OSError:
        return ""
    return str(tomllib.loads(text)["project"]["version"])
