"""Who does the tasks: this process alone, worker processes of this machine, or a cluster.

Tasks are functions of small values that leave their results in the lake; what comes back is small,
too. A worker that dies costs its task another try.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from typing import Any, Protocol, TypeVar

from op25b_pcap.batch import nursery
from op25b_pcap.batch.extra import needed
from op25b_pcap.faults import UsageFault, WorkerEnded

_Result = TypeVar("_Result")
Task = tuple[Any, ...]
"""Arguments of one call."""
_TRIES = 3
_PATIENCE_S = 10
"""How long a cluster may take to answer."""
_LOOK_EVERY_MS = 1_000
_DASHBOARD = "op25b_pcap.batch.dashboard"
_NEEDS = "several workers, or a cluster,"


class Deadly:
    """What comes back of a task that has cost several workers their life."""


def survived(result: _Result | Deadly, doing: str) -> _Result:
    """The result, where a run cannot do without. Raises WorkerEnded."""
    if isinstance(result, Deadly):
        raise WorkerEnded(f"{doing} has ended every worker that tried: is there too little memory?")
    return result


class Crew(Protocol):
    """Does tasks."""

    dashboard: str
    """Where it can be watched; empty if nowhere."""
    note: str
    """What is to be said of it."""

    @property
    def workers(self) -> int:
        """How many tasks are done at a time, about."""

    def results(
        self, function: Callable[..., _Result], tasks: Sequence[Task], keys: Sequence[Hashable] = ()
    ) -> Iterator[tuple[int, _Result | Deadly]]:
        """The number of each task and its result, as they are done.

        Where others do them they begin at once, whenever their results are asked for. By `keys`: who did
        a task has something in hand for the next one of its key, and gets it if he is free.
        """


class _Alone:
    dashboard = ""
    workers = 1

    def __init__(self, note: str = "") -> None:
        self.note = note

    def results(
        self, function: Callable[..., _Result], tasks: Sequence[Task], keys: Sequence[Hashable] = ()
    ) -> Iterator[tuple[int, _Result | Deadly]]:
        for number, task in enumerate(tasks):
            yield number, function(*task)


class _Together:
    def __init__(self, client: Any, *, is_own: bool, wanted: int = 0) -> None:
        self.client, self._wanted = client, wanted
        self._doers: dict[Hashable, str] = {}
        """Who did the last task of a key."""
        # Of an own scheduler the door, which is above the first page.
        self.dashboard = str(client.dashboard_link or "").removesuffix("status" if is_own else "")
        self.note = f"dashboard: {self.dashboard}" if self.dashboard else ""

    @property
    def workers(self) -> int:
        return self._wanted or sum(self.client.nthreads().values()) or 1

    def results(
        self, function: Callable[..., _Result], tasks: Sequence[Task], keys: Sequence[Hashable] = ()
    ) -> Iterator[tuple[int, _Result | Deadly]]:
        known = [self._doers.get(key) for key in keys] or [None] * len(tasks)
        submit = partial(self.client.submit, _done, function, pure=False)
        futures = [
            submit(*task, workers=[doer], allow_other_workers=True) if doer else submit(*task)
            for task, doer in zip(tasks, known, strict=True)
        ]
        return self._as_completed({future: number for number, future in enumerate(futures)}, keys)

    def _as_completed(self, futures: dict[Any, int], keys: Sequence[Hashable]) -> Iterator[tuple[int, Any]]:
        distributed = needed("distributed", _NEEDS)
        for future in distributed.as_completed(list(futures)):
            number = futures.pop(future)
            try:
                doer, result = future.result()
            except distributed.scheduler.KilledWorker:
                yield number, Deadly()
            else:
                if keys:
                    self._doers[keys[number]] = doer
                yield number, result


def _done(function: Callable[..., _Result], *task: Any) -> tuple[str, _Result]:
    """The address of the worker who does a task, and its result."""
    address: str = needed("distributed", _NEEDS).get_worker().address
    return address, function(*task)


@contextmanager
def crew(workers: int | None, cluster: str | None) -> Iterator[Crew]:
    """Workers for a while, one a processor if it is not said. Raises UsageFault if there are none."""
    wanted = workers or len(os.sched_getaffinity(0))
    if cluster is None and wanted == 1:
        yield _Alone()
        return
    if cluster is None and workers is None and find_spec("distributed") is None:
        yield _Alone("one process works; more of them need: pip install 'op25b-pcap[cluster]'")
        return
    if cluster is None:
        nursery.begin()
    dask, distributed = needed("dask", _NEEDS), needed("distributed", _NEEDS)
    logging.getLogger("distributed").setLevel(logging.ERROR)
    # Else it would load here, before the first worker, what it believes that the nursery needs.
    distributed.utils._forkserver_preload_set = True
    routes = dask.config.get("distributed.scheduler.http.routes")
    settings = {
        "distributed.scheduler.http.routes": [*routes, _DASHBOARD],
        "distributed.scheduler.allowed-failures": _TRIES,
        "distributed.worker.daemon": True,
        "distributed.worker.multiprocessing-method": nursery.METHOD,
        "distributed.worker.profile.enabled": False,
        # Fifty looks a second at a clock, in each process, were a tenth of a processor.
        "distributed.admin.tick.interval": "1s",
        "distributed.admin.system-monitor.interval": "5s",
        # What fills a worker is the page cache of files: it is not to be paused for that.
        "distributed.worker.memory.pause": False,
        "distributed.worker.memory.terminate": False,
        "distributed.worker.memory.spill": False,
        "distributed.worker.memory.target": False,
    }
    with dask.config.set(settings):
        if cluster is not None:
            try:
                client = distributed.Client(cluster, timeout=_PATIENCE_S)
            except (OSError, ValueError) as fault:
                raise UsageFault(f"no cluster answers at {cluster}: {fault}") from None
            with client:
                together = _Together(client, is_own=False)
                if not client.nthreads():
                    together.note += f"; no worker is at {cluster} yet: it is waited for"
                yield together
            return
        with (
            distributed.LocalCluster(
                n_workers=0,
                threads_per_worker=1,
                processes=True,
                dashboard_address="127.0.0.1:0",
                host="127.0.0.1",
                silence_logs=logging.CRITICAL,
                scheduler_kwargs={"dashboard": False},
            ) as local,
            distributed.Client(local) as client,
        ):
            local.scale(wanted)  # tasks wait for them, nobody else does
            look = partial(_staff, local, wanted, distributed.Status.failed)
            rounds = needed("tornado.ioloop", _NEEDS).PeriodicCallback(look, _LOOK_EVERY_MS)
            local.loop.add_callback(rounds.start)
            try:
                yield _Together(client, is_own=True, wanted=wanted)
            finally:
                local.loop.add_callback(rounds.stop)


def _staff(local: Any, wanted: int, failed: Any) -> None:
    """Have others begun for workers who have not come up, which Dask leaves at that: tasks wait for ever.

    So it is where the nursery was killed while they were being forked.
    """
    lost = [name for name, worker in local.workers.items() if worker.status is failed]
    for name in lost:
        local.worker_spec.pop(name, None)
    if lost:
        local.scale(wanted)
