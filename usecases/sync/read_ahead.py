"""Reading the next page while this one is written: the database works on both sides at once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def one_ahead(pages: Iterator[T]) -> Iterator[T]:
    """`pages` in their order; while the caller works on one, a thread makes the next. Never more than two are held.

    What `pages` raises is raised where that page would have come. A page may not depend on what the caller does with the
    one before.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as reader:
        following = reader.submit(next, pages, None)
        while (page := following.result()) is not None:
            following = reader.submit(next, pages, None)
            yield page
