"""Jobs spread over processes."""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_all_start_methods, get_context

import torch

_shared: tuple = ()


def _take(shared: tuple) -> None:
    """What a process begins with: one thread, as there are others beside it."""
    global _shared
    torch.set_num_threads(1)
    _shared = shared


def _do(work: Callable, job: tuple):
    return work(*_shared, *job)


def spread(work: Callable, jobs: list[tuple], workers: int, shared: tuple = ()) -> Iterator:
    """Yields what `work(*shared, *job)` returns, in the order of `jobs`; `shared` reaches each of `workers` processes once.
    One worker is this process. Raises what a job raises."""
    workers = min(workers, len(jobs))
    if workers <= 1:
        yield from (work(*shared, *job) for job in jobs)
        return
    # A fork of a process whose PyTorch has used its threads waits for them for ever. One that has only imported it may be forked:
    # later pools start without importing all anew.
    context = get_context("forkserver" if "forkserver" in get_all_start_methods() else "spawn")
    if context.get_start_method() == "forkserver":
        context.set_forkserver_preload([work.__module__])
    with ProcessPoolExecutor(workers, context, initializer=_take, initargs=(shared,)) as pool:
        yield from pool.map(_do, [work] * len(jobs), jobs)
