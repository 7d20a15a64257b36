from __future__ import annotations

import errno
import gc
import sys
import weakref
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from worker.errors import (
    InvalidInputError,
    ProcessingError,
    ResourceError,
    SettingError,
    TaskError,
)
from worker.trouble import attempt

if TYPE_CHECKING:
    from collections.abc import Callable


def raise_error(error: Exception) -> None:
    """Fail like the work of a step."""
    raise error


def failure_of(work: Callable[[], object]) -> TaskError:
    """Return what a step's failure becomes."""
    with pytest.raises(TaskError) as caught:
        attempt("Writing", work)
    return caught.value


def test_a_bug_in_a_step_keeps_its_text_to_itself() -> None:
    """The answer names the step and the kind of error; only the log has the rest."""
    failure = failure_of(lambda: raise_error(ValueError("key=hush")))
    assert (type(failure), failure.message) == (
        ProcessingError,
        "step 'Writing' failed: ValueError",
    )
    assert not failure.refresh_worker


def test_no_memory_is_a_lack_of_resources() -> None:
    """Asked for more than any address space holds."""
    failure = failure_of(lambda: bytearray(2**62))
    assert (type(failure), failure.message) == (ResourceError, "out of memory in step 'Writing'")
    assert not failure.refresh_worker


def test_a_full_disk_is_a_lack_of_resources() -> None:
    """Whoever wrote."""
    failure = failure_of(lambda: raise_error(OSError(errno.ENOSPC, "No space left on device")))
    expected = "no space left on the worker's disk in step 'Writing'"
    assert (type(failure), failure.message) == (ResourceError, expected)


def test_a_documented_error_stays_as_it_is() -> None:
    """It is the same object, with its cause."""
    error = InvalidInputError("text is required")
    assert failure_of(lambda: raise_error(error)) is error


def test_a_wrong_setting_is_told() -> None:
    """As when a variant's weights are missing: its owner reads what to set."""
    failure = failure_of(lambda: raise_error(SettingError("no GPU")))
    assert (type(failure), failure.message) == (ResourceError, "no GPU")


@pytest.mark.parametrize(
    "text",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        "[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    ],
)
def test_a_card_without_memory_asks_for_a_fresh_worker(text: str) -> None:
    """As torch says it, in its own words and those of the libraries below."""
    failure = failure_of(lambda: raise_error(RuntimeError(text)))
    assert (type(failure), failure.message) == (ResourceError, "out of memory in step 'Writing'")
    assert failure.to_output("t")["refresh_worker"] is True


@pytest.mark.parametrize(
    "text",
    ["CUDA error: device-side assert triggered", "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"],
)
def test_a_broken_card_asks_for_a_fresh_worker(text: str) -> None:
    """Nothing runs on it any more, in this process."""
    failure = failure_of(lambda: raise_error(RuntimeError(text)))
    assert (type(failure), failure.refresh_worker) == (ProcessingError, True)


class Cuda:
    """What is asked of torch about the card."""

    def __init__(self) -> None:
        self.emptied = 0

    def is_available(self) -> bool:
        """Says yes."""
        return True

    def empty_cache(self) -> None:
        """Counts."""
        self.emptied += 1


def test_the_cards_memory_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """And only when it ended: emptying costs the next job time."""
    cuda = Cuda()
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    failure_of(lambda: raise_error(ValueError("a bug")))
    assert cuda.emptied == 0
    failure_of(lambda: raise_error(RuntimeError("CUDA out of memory")))
    assert cuda.emptied == 1


class Tensor:
    """Something large, which only the frames of the failed work refer to."""


def test_what_filled_the_memory_is_gone_while_the_error_lives() -> None:
    """The error is kept for the answer; the frames of its traceback hold what the work had."""
    held: list[weakref.ref[Tensor]] = []

    def work() -> None:
        tensor = Tensor()
        held.append(weakref.ref(tensor))
        raise_error(RuntimeError("CUDA out of memory"))

    gc.disable()
    try:
        failure = failure_of(work)
        assert (failure.refresh_worker, held[0]()) == (True, None)
    finally:
        gc.enable()
