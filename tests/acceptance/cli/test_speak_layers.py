"""`speak` and `layers` against the workers that stand in for the models: files, limits, players."""

from __future__ import annotations

import io
import json
import os
import sys
import wave
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from runpodctl_py.testing import LocalRunPodServer
from runpodctl_py.testing.endpoint import served
from tests.acceptance.cli.person import Person

if TYPE_CHECKING:
    from tests.acceptance.cli.person import Said

FAKE_PLAYER = """#!/bin/sh
printf '%s\\n' "$@" > "$PLAYED"
exit "$ENDS_WITH"
"""


def set_up(runpod: LocalRunPodServer, folder: Path, worker: str) -> str:
    """Deploy a model's endpoint, which a stand-in serves, and return its id."""
    admin = Person(folder, {**runpod.environment(), "HOME": str(folder)})
    said = admin.run(f"setup-{worker}", "--json", "--yes", "--idle-timeout", "600")
    assert said.code == 0, said.stderr
    return str(said.document["endpoint_id"])


@pytest.fixture(scope="module")
def voices(runpod: LocalRunPodServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of an endpoint that hums."""
    return set_up(runpod, tmp_path_factory.mktemp("voices"), "chatterbox")


@pytest.fixture(scope="module")
def parting(runpod: LocalRunPodServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of an endpoint that sorts a picture's colours into layers."""
    return set_up(runpod, tmp_path_factory.mktemp("parting"), "qwen")


@pytest.fixture
def poster() -> Path:
    """A picture of two colours."""
    path = Path("my poster.png")
    picture = Image.new("RGB", (64, 48), "navy")
    picture.paste("orange", (0, 0, 32, 48))
    picture.save(path)
    return path


def files_in(folder: str) -> list[str]:
    """Return the names in a folder."""
    return sorted(path.name for path in Path(folder).iterdir())


def mode_of(path: Path) -> str:
    """Return how a picture's points are kept."""
    with Image.open(path) as picture:
        return picture.mode


def player(folder: Path, ends_with: int = 0) -> dict[str, str]:
    """Put a player on the path, and return the variables by which it is found."""
    program = folder / "bin" / "ffplay"
    program.parent.mkdir()
    program.write_text(FAKE_PLAYER)
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}/usr/bin{os.pathsep}/bin"
    return {"PATH": path, "PLAYED": str(folder / "played"), "ENDS_WITH": str(ends_with)}


@pytest.mark.parametrize(
    ("name", "first_bytes"), [("a.wav", b"RIFF"), ("b.flac", b"fLaC"), ("c.ogg", b"OggS")]
)
def test_speech_is_in_the_file_that_was_named(
    person: Person, voices: str, name: str, first_bytes: bytes
) -> None:
    """In the format of its name, in a folder that is made, with nothing beside it."""
    said = person.run("speak", "Hello.", "-o", f"new/{name}", "--endpoint", voices)
    assert (said.code, said.stdout) == (0, f"new/{name}\n"), said.stderr
    assert files_in("new") == [name]
    assert Path("new", name).read_bytes().startswith(first_bytes)


def test_without_a_name_speech_goes_where_all_results_go(person: Person, voices: str) -> None:
    """With its manifest, as any job's files."""
    said = person.run("speak", "-", "--endpoint", voices, stdin="Hello.")
    assert said.code == 0, said.stderr
    path = Path(said.stdout.strip())
    assert (path.parent, path.suffix) == (Path("outputs"), ".wav")
    assert any(each.endswith(".job.json") for each in files_in("outputs"))


def test_a_text_comes_from_a_file_and_a_voice_too(person: Person, voices: str) -> None:
    """Another voice sounds another way; the same one the same."""
    Path("letter.txt").write_text("Dear Ann, how are you?\n")
    voice = io.BytesIO()
    with wave.open(voice, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(24000)
        file.writeframes(b"".join((n % 200 * 100).to_bytes(2, "little") for n in range(48000)))
    Path("me.wav").write_bytes(voice.getvalue())
    options = ("--seed", "7", "--endpoint", voices)
    for name, more in (
        ("own", ()),
        ("mine", ("--voice", "me.wav")),
        ("again", ("--voice", "me.wav")),
    ):
        said = person.run("speak", "@letter.txt", "-o", f"{name}.wav", *options, *more)
        assert said.code == 0, said.stderr
    own, mine, again = (Path(f"{name}.wav").read_bytes() for name in ("own", "mine", "again"))
    assert own != mine == again


def test_a_file_that_is_there_is_not_overwritten(person: Person) -> None:
    """It is refused before anything is sent: there is no such endpoint, even."""
    Path("a.wav").write_text("mine")
    said = person.run("speak", "Hello.", "-o", "a.wav", "--endpoint", "nowhere", "--json")
    assert (said.code, said.error["error"]) == (2, "usage_error")
    assert Path("a.wav").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "There is nothing to say"),
        (("",), "There is nothing to say: the text is empty"),
        (("@nothing.txt",), "Cannot read nothing.txt: No such file or directory"),
        (("Hi", "-o", "a.mp3"), "Speech is written as wav, flac or ogg, not .mp3"),
        (("Hi", "-o", "a?.wav"), "a?.wav is no good name for the file"),
        (("Hi", "-o", "A.WAV"), "A.WAV is no good name for the file"),
        (("Hi", "-o", "-"), "-o takes a file or a folder: sound is not written to stdout"),
        (("Hi", "-o", "a.wav", "--set", "format=ogg"), "contradict each other"),
        (("Hi", "--exaggeration", "3"), "exaggeration must be a number from 0.25 to 2, not 3.0"),
        (("Hi", "--voice", "me.wav"), "There is no file me.wav"),
        (("Hi", "--play", "--detach"), "--play and --detach exclude each other"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    person: Person, arguments: tuple[str, ...], message: str
) -> None:
    """Before it costs anything."""
    said = person.run("speak", *arguments, "--json")
    assert said.code == 2
    assert message in said.error["message"]


@pytest.mark.parametrize(("ends_with", "warning"), [(0, None), (1, "cannot play it")])
def test_the_file_is_played(
    person: Person, voices: str, tmp_path: Path, ends_with: int, warning: str | None
) -> None:
    """To its end; a player that fails is told, and the file is there all the same."""
    variables = player(tmp_path, ends_with)
    arguments = ("speak", "Hi.", "-o", "a.wav", "--play", "--endpoint", voices)
    said = person.run(*arguments, **variables)
    assert said.code == 0, said.stderr
    assert Path(variables["PLAYED"]).read_text().splitlines()[-1] == str(Path.cwd() / "a.wav")
    assert (warning is None) or (warning in said.stderr)


def test_without_a_player_nothing_is_sent(person: Person, tmp_path: Path) -> None:
    """The person may rather have the file alone."""
    said = person.run("speak", "Hi.", "--play", "--json", PATH=str(tmp_path))
    assert (said.code, said.error["error"]) == (2, "usage_error")
    assert said.error["message"].startswith("Nothing here plays wav files: looked for ")


@pytest.mark.parametrize("way", [("watch",), ("jobs", "sync")])
def test_speech_that_was_left_alone_comes_home_under_its_name(
    person: Person, voices: str, way: tuple[str, ...]
) -> None:
    """The ledger knows what its file is to be called."""
    sent = person.run("speak", "Hi.", "-o", "a.ogg", "--detach", "--endpoint", voices)
    assert sent.code == 0, sent.stderr
    job_id = sent.stdout.strip()
    while person.run("status", job_id, "--json").document["status"] != "COMPLETED":
        pass
    fetched = person.run(*way, *([job_id] if way == ("watch",) else []))
    assert (fetched.code, fetched.stdout) == (0, f"{Path.cwd()}/a.ogg\n"), fetched.stderr
    assert Path("a.ogg").read_bytes().startswith(b"OggS")


def layered(person: Person, *arguments: str) -> Said:
    """Run `layers`, which must do."""
    said = person.run("layers", *arguments)
    assert said.code == 0, said.stderr
    return said


def test_layers_are_numbered_in_a_folder_of_the_pictures(
    person: Person, parting: str, poster: Path
) -> None:
    """Transparent PNGs that give the picture together, and a page that shows them."""
    said = layered(person, str(poster), "--layers", "3", "--preview", "--endpoint", parting)
    names = [f"layer_{number:02d}.png" for number in range(3)]
    folder = "outputs/my poster-layers"
    assert said.stdout.splitlines() == [f"{folder}/{each}" for each in (*names, "preview.html")]
    assert {mode_of(Path(folder, each)) for each in names} == {"RGBA"}
    page = Path(folder, "preview.html").read_text()
    assert all(page.count(f'src="{each}"') == 2 for each in names)


def test_a_second_time_nothing_is_overwritten(person: Person, parting: str, poster: Path) -> None:
    """Other layers get other names, and the page that shows them, too."""
    for count in ("2", "4"):
        options = ("--layers", count, "-o", "out", "--preview", "--endpoint", parting)
        last = layered(person, str(poster), *options).stdout.splitlines()[-1]
    assert last == "out/preview-1.html"
    assert sum(each.endswith(".png") for each in files_in("out")) == 6


@pytest.mark.parametrize("package", ["psd", "zip"])
def test_all_layers_come_in_one_file(
    person: Person, parting: str, poster: Path, package: str
) -> None:
    """Instead of a PNG each."""
    said = layered(person, str(poster), "--package", package, "-o", "out", "--endpoint", parting)
    assert said.stdout == f"out/layers.{package}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing.png",), "Cannot read nothing.png: No such file or directory"),
        (("letter.txt",), "letter.txt is no picture"),
        (("my poster.png", "--layers", "1"), "layers must be an integer from 2 to 10, not 1"),
        (("my poster.png", "--resolution", "800"), "resolution must be one of: 640, 1024, not 800"),
        (("my poster.png", "--preview", "--package", "psd"), "--preview shows PNGs"),
        (("my poster.png", "--preview", "--detach"), "--preview and --detach exclude each other"),
    ],
)
@pytest.mark.usefixtures("poster")
def test_what_cannot_be_parted_is_refused(
    person: Person, arguments: tuple[str, ...], message: str
) -> None:
    """Before it costs anything."""
    Path("letter.txt").write_text("Dear Ann")
    said = person.run("layers", *arguments, "--json")
    assert said.code == 2
    assert message in said.error["message"]


def test_a_dry_run_shows_the_request(person: Person, poster: Path) -> None:
    """And what a worker costs."""
    said = person.run("layers", str(poster), "--steps", "20", "--dry-run", "--endpoint", "nowhere")
    assert said.code == 0, said.stderr
    document = json.loads(said.stdout)
    assert document["request"]["body"]["input"]["num_inference_steps"] == 20
    assert document["price_per_hour_usd"] > 0


RETURNS_ITS_TEXT = """
import json
import runpod

runpod.serverless.start({"handler": lambda job: json.loads(job["input"]["text"])})
"""


@pytest.mark.parametrize(
    ("output", "code", "message"),
    [
        ('"plain"', 10, "The job completed, but says: plain"),
        ('{"a": 1}', 14, "The job completed, but returned no file"),
    ],
)
def test_without_a_file_it_is_no_success(
    tmp_path_factory: pytest.TempPathFactory, output: str, code: int, message: str
) -> None:
    """Whatever endpoint it is that was asked; the last event says so, and the ledger."""
    folder = tmp_path_factory.mktemp("plain")
    (folder / "plain.py").write_text(RETURNS_ITS_TEXT)
    options = {"env": {}, "args": [], "python": sys.executable, "workers_max": 1}
    with (
        LocalRunPodServer(folder / "data") as server,
        served(server, folder / "plain.py", **options) as endpoint,
    ):
        person = Person(Path.cwd(), server.environment())
        where = ("--endpoint", endpoint.url.rpartition("/")[2])
        said = person.run("speak", output, "-o", "a.wav", "--json", *where)
        assert (said.code, said.error["message"]) == (code, message)
        assert said.events[-1]["error"] == message
        assert person.run("jobs", "list", "--json").document[0]["error"] == message
