"""Fetching ahead: so many calls at a time, answers in order, and nothing left behind."""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def prefetched(fetch: Callable[[int], T], indices: Iterator[int], *, ahead: int) -> Generator[tuple[int, T]]:
    """(index, fetch(index)) of each index; while one is used, the next `ahead` are being fetched or wait.

    With 0 each is fetched when it is asked for. What `fetch` raises is raised in its place. Once the generator is
    closed no call begins, and those under way are waited for, so that no thread outlives it.
    """
    if not ahead:
        yield from ((index, fetch(index)) for index in indices)
        return
    pool = ThreadPoolExecutor(max_workers=ahead, thread_name_prefix="distilled-prefetch")
    waiting: deque[tuple[int, Future[T]]] = deque()
    try:
        for index in indices:
            waiting.append((index, pool.submit(fetch, index)))
            if len(waiting) > ahead:
                first, answer = waiting.popleft()
                yield first, answer.result()
        for first, answer in waiting:
            yield first, answer.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
