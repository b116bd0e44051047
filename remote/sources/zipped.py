"""A zip of CSV files, read as the folder it is."""

import zipfile
from pathlib import Path
from typing import Final, cast

from remote.sources.base import BadSource

ENDING: Final = ".zip"


def folder_in(path: Path) -> Path:
    """The folder with the files: the top of the zip, or the only folder there. Raises BadSource."""
    if not path.is_file():
        raise BadSource(str(path), "there is no such file", "Check the path")
    try:
        top = zipfile.Path(path)
        entries = [entry for entry in top.iterdir() if entry.name not in ("__MACOSX", ".DS_Store")]
    except (zipfile.BadZipFile, OSError) as error:
        raise BadSource(path.name, f"it is not a zip file or is damaged ({error})", "Write the file again") from error
    only = entries[0] if len(entries) == 1 and entries[0].is_dir() else top
    # As much of a Path as the adapter for folders uses: names, `open` and `/`.
    return cast(Path, only)
