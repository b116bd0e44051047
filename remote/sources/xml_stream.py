"""The elements of an XML file, plain or gzipped, one after the other; never more than a few in memory."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final, cast
from xml.parsers import expat

from remote.sources.base import BadSource

_CHUNK_BYTES: Final = 1 << 16
_WHOLE_AGAIN: Final = "Fetch or write the file again in full"

Element = tuple[bool, str, dict[str, str]]
"""Whether it begins here (else it ends), its tag, its attributes (none at the end)."""


def elements(path: Path) -> Iterator[Element]:
    """The begins and ends of all elements, in order. Raises BadSource; close it if you stop before the end.

    Nothing outside of the file is fetched, whatever its DOCTYPE says, and a file that declares entities is refused:
    a few bytes of these can stand for gigabytes.
    """
    found: list[Element] = []
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda tag, attributes: found.append((True, tag, attributes))
    parser.EndElementHandler = lambda tag: found.append((False, tag, {}))

    def refuse(*_: Any) -> None:
        raise BadSource(path.name, "it declares XML entities", "Write the file without them")

    parser.EntityDeclHandler = refuse
    try:
        with path.open("rb") as raw:
            unpacked = cast(IO[bytes], gzip.GzipFile(fileobj=raw, mode="rb")) if path.name.endswith(".gz") else raw
            while chunk := unpacked.read(_CHUNK_BYTES):
                parser.Parse(chunk, False)
                yield from found
                found.clear()
            parser.Parse(b"", True)
            yield from found
    except expat.ExpatError as error:
        raise BadSource(path.name, f"it is not XML or ends too early ({error})", _WHOLE_AGAIN) from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadSource(path.name, f"the gzip data is broken ({error})", _WHOLE_AGAIN) from error
    except OSError as error:
        remedy = "Check the file and its permissions"
        raise BadSource(path.name, f"it cannot be read ({error.strerror or error})", remedy) from error


def root(path: Path) -> tuple[str, dict[str, str]]:
    """Tag and attributes of the outermost element. Raises BadSource."""
    stream = elements(path)
    try:
        for _, tag, attributes in stream:
            return tag, attributes
    finally:
        cast(Any, stream).close()
    raise BadSource(path.name, "it is empty", _WHOLE_AGAIN)
