"""How many jobs of a batch may be in flight, sent and not ended: enough, and not many more.

Owns the number and why it changes. Does not know RunPod's limits (`pace.py`), nor sends anything.

Too few, and workers that are paid for wait for the next job to come over the network. Too many,
and jobs lie in RunPod's queue that `--max-cost` and Ctrl-C come too late for. As in TCP Vegas,
the time in the queue tells: while jobs hardly wait, workers may be waiting instead, so there are
twice as many next time; while a job or two wait for each worker, the number is right. If it is us
who are slow, with files or the disk, more jobs would only wait on our side.
"""

from __future__ import annotations

from statistics import median

#: What is in flight at least, so that there is something to learn from.
FLOOR = 8
#: What is in flight at most, if nobody says otherwise.
CEILING = 1000

_JOBS_PER_WORKER = 2
_SHRINK = 0.8
_GROW = 2
#: So many jobs tell what is typical; of a smaller window, all of it.
_SAMPLE = 20
_SLOW_S = 0.5


class Window:
    """The number of jobs that may be in flight.

    It changes only with evidence: after each change, and at the beginning, a whole window of jobs
    passes unheeded, and then twenty, or another window if that is less, are judged. So one
    change has shown its effect before the next, and neither the jobs that found idle workers at
    the start nor those that waited minutes for the first worker count for what is typical.

    Args:
        floor: The fewest.
        ceiling: The most, whatever happens.
    """

    def __init__(self, floor: int = FLOOR, ceiling: int = CEILING) -> None:
        self._floor = min(floor, ceiling)
        self._ceiling = ceiling
        self._workers = 0
        self._size = self._floor
        self._in_flight = 0
        self._unheeded = self._floor
        self._was_full = False
        self._times_s: list[tuple[float, float]] = []
        self._home_s: list[float] = []

    @property
    def size(self) -> int:
        """How many jobs may be in flight."""
        return self._size

    @property
    def room(self) -> int:
        """How many more may be sent now."""
        return max(0, self._size - self._in_flight)

    def workers(self, count: int) -> None:
        """Learn how many workers there are or will be: each has a job, and the next one waits.

        Args:
            count: At the start best as many as the endpoint may have: RunPod starts workers
                for jobs that wait, so a window for fewer would keep it at fewer.
        """
        self._workers = count
        self._resize(max(self._size, self._least()))

    def sent(self) -> None:
        """Count a job, when its request begins."""
        self._in_flight += 1
        self._was_full |= self._in_flight >= self._size

    def ended(
        self,
        delay_ms: int | None = None,
        execution_ms: int | None = None,
        home_s: float | None = None,
    ) -> None:
        """Count a job no more, whatever became of it; a completed one has times to learn from.

        Args:
            delay_ms: How long it lay in RunPod's queue.
            execution_ms: How long a worker had it.
            home_s: How long it took us to bring home what it returned.
        """
        self._in_flight -= 1
        if self._unheeded > 0:
            self._unheeded -= 1
        elif delay_ms is not None and execution_ms is not None:
            self._times_s.append((delay_ms / 1000, execution_ms / 1000))
            if home_s is not None:
                self._home_s.append(home_s)
            if len(self._times_s) >= min(self._size, _SAMPLE):
                self._judge()

    def _judge(self) -> None:
        delay_s = median(delay_s for delay_s, _ in self._times_s)
        execution_s = median(execution_s for _, execution_s in self._times_s)
        was_full, self._was_full = self._was_full, self.room == 0
        home_s = median(self._home_s) if self._home_s else 0.0
        self._times_s.clear()
        self._home_s.clear()
        if home_s > max(_SLOW_S, execution_s / 2):
            self._resize(int(self._size * _SHRINK))
        elif delay_s < max(1.0, execution_s / 2):
            # A window that nobody fills says nothing about a larger one.
            if was_full:
                self._resize(self._size * _GROW)
        elif delay_s > max(4.0, 3 * execution_s):
            self._resize(int(self._size * _SHRINK))

    def _least(self) -> int:
        return min(max(self._floor, _JOBS_PER_WORKER * self._workers), self._ceiling)

    def _resize(self, size: int) -> None:
        size = min(max(size, self._least()), self._ceiling)
        if size != self._size:
            self._size = size
            self._unheeded = max(self._in_flight, size)
            self._was_full = False
            self._times_s.clear()
            self._home_s.clear()
