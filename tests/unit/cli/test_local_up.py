"""What `local up` may be told, before anything is started."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from runpodctl_py.cli.local_up import Manner, OwnHandler, simulation
from runpodctl_py.emulator.config import Simulation
from runpodctl_py.emulator.daemon import Announcement
from runpodctl_py.emulator.workers.handlers import Handler
from runpodctl_py.errors import ConflictError, UsageError

RUNNING = Announcement("http://127.0.0.1:1", 1, "token", 1, "1.0", 0.0, until_unused=False)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", Simulation()),
        ("delay=0.5", Simulation(delay_s=0.5)),
        (
            "delay=0.5, jitter=0.2,fail=0.01,progress=10,concurrency=7,seed=3",
            Simulation(0.5, 0.2, 0.01, progress=10, concurrency=7, seed=3),
        ),
    ],
)
def test_what_simulated_workers_do(text: str, meant: Simulation) -> None:
    """Each word sets one thing; what is left out is as usual."""
    assert simulation(text) == meant


@pytest.mark.parametrize(
    "part",
    [
        "speed=1",
        "delay=x",
        "delay=-1",
        "delay=nan",
        "jitter=inf",
        "fail=1.5",
        "concurrency=0",
        "=1",
        "",
    ],
)
def test_what_simulated_workers_cannot_do(part: str) -> None:
    """The part that cannot be understood is named."""
    with pytest.raises(UsageError, match="cannot be told") as told:
        simulation(f"jitter=1,{part}")
    assert repr(part) in told.value.message


def test_options_are_passed_on() -> None:
    """As they were given, for the process that `--detach` starts."""
    manner = Manner(port=9000, simulate="", strict=True, fault=["run:429*3", "health:drop"])
    assert manner.options() == [
        *("--port", "9000", "--simulate", "", "--strict"),
        *("--fault", "run:429*3", "--fault", "health:drop"),
    ]
    assert Manner().options() == []


def test_options_that_come_too_late_are_refused() -> None:
    """By name, and with where it runs."""
    Manner().refuse_for(RUNNING)
    with pytest.raises(ConflictError) as told:
        Manner(port=9000, introspection=True).refuse_for(RUNNING)
    assert told.value.message == (
        "A local RunPod runs already on http://127.0.0.1:1, and --port, --introspection "
        "cannot be changed while it does"
    )


def test_options_become_the_configuration(tmp_path: Path) -> None:
    """All of them."""
    config = Manner(port=7, simulate="delay=1", strict=True, introspection=True).config(tmp_path)
    told = (config.port, config.simulation, config.strict, config.introspection)
    assert told == (7, Simulation(delay_s=1.0), True, True)
    assert (config.rate_limits, config.containers) == (False, None)


def test_containers_cannot_be_simulated(tmp_path: Path) -> None:
    """One of both has to go."""
    with pytest.raises(UsageError, match="simulated workers run nothing"):
        Manner(containers=True, simulate="").config(tmp_path)


def test_a_handler_is_described(tmp_path: Path) -> None:
    """By absolute paths, since somebody else will run it."""
    (tmp_path / "handler.py").touch()
    own = OwnHandler(handler=tmp_path / "handler.py", endpoint="mine")
    meant = Handler("mine", tmp_path / "handler.py", Path(sys.executable), ("--size", "small"))
    assert own.parsed(["--size", "small"]) == meant
    assert OwnHandler().parsed([]) is None


@pytest.mark.parametrize(
    ("own", "args", "words"),
    [
        (OwnHandler(reload=True), [], "--reload is about a handler, and none is named"),
        (OwnHandler(), ["--size"], "--size is about a handler, and none is named"),
        (OwnHandler(handler=Path("no.py")), [], "There is no file no.py"),
        (OwnHandler(handler=Path(__file__).parent), [], f"{Path(__file__).parent} is a folder"),
        (OwnHandler(handler=Path(__file__), endpoint=""), [], "'' cannot be an endpoint's"),
        (OwnHandler(handler=Path(__file__), endpoint="a b"), [], "'a b' cannot be an endpoint's"),
        (OwnHandler(handler=Path(__file__), python=Path("no")), [], "no is no interpreter that"),
        (
            OwnHandler(handler=Path(__file__), python=Path("/bin/false")),
            [],
            "/bin/false has no RunPod SDK, and a handler needs it",
        ),
    ],
)
def test_a_handler_that_cannot_be(own: OwnHandler, args: list[str], words: str) -> None:
    """Nothing is started; what is wrong is named."""
    with pytest.raises(UsageError) as told:
        own.parsed(args)
    assert words in told.value.message
