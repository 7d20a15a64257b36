"""Each of the 28 output shapes of public workers (workers reference G), and the rules between."""

from __future__ import annotations

import base64
import io
import json
import struct
import wave
import zipfile
import zlib
from dataclasses import dataclass, field

import pytest

from runpodctl_py.jobs.outputs import InlineFile, LinkedFile, Reading, read_output

LINK = "https://bucket.example/2026/07/ab12cd.png?X-Amz-Signature=abc"


def b64(content: bytes) -> str:
    """Write bytes as workers do."""
    return base64.b64encode(content).decode()


def png(shade: int) -> bytes:
    """Return a valid image of one pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 6, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(bytes([0, shade, shade, shade, 255])))
        + chunk(b"IEND", b"")
    )


def wav(frames: bytes) -> bytes:
    """Return a WAV of 24 kHz, 16 bit, mono."""
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(24_000)
        file.writeframes(frames)
    return target.getvalue()


def pptx() -> bytes:
    """Return a zip archive whose folder `ppt/` comes late."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("thumbnail.bin", bytes(range(256)) * 40)
        archive.writestr("ppt/presentation.xml", "<p:presentation/>")
    return target.getvalue()


PNG, PNG2 = png(1), png(2)
PIXEL_URI = f"data:image/png;base64,{b64(PNG)}"
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(90)
JPEG2 = JPEG + b"2"
# Ends in bytes that the two alphabets of base64 write differently.
MP4 = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(60) + b"\xfb\xff\xbf\xfe"
OGG = b"OggS" + bytes(80)
WAV, WAV2 = wav(b"\x01\x02" * 60), wav(b"\x03\x04" * 60)
GLB = b"glTF\x02\x00\x00\x00" + bytes(70)
OBJ = b"v 0.0 0.0 0.0\n" * 8
PPTX = pptx()
MARKDOWN = b"# Report\n\nAll good.\n"
PCM = [bytes([number]) * 64 for number in (1, 2, 2, 3)]


@dataclass(frozen=True)
class Shape:
    """An output, and what must be found in it: names with their bytes or URL."""

    id: str
    output: object
    files: list[tuple[str, bytes | str]] = field(default_factory=list)
    warnings: int = 0
    failures: tuple[str, ...] = ()


SHAPES = [
    Shape(
        "01-the-test-worker",
        {
            "success": True,
            "progress_updates": [{"status": "processing", "progress": 10}],
            "result": {
                "status": "completed",
                "result": {
                    "filename": "text_result_0a1b2c3d.md",
                    "content_type": "text/markdown",
                    "size_bytes": len(MARKDOWN),
                    "content_base64": b64(MARKDOWN),
                    "preview": "# Report",
                },
            },
        },
        [("text_result_0a1b2c3d.md", MARKDOWN)],
    ),
    Shape("02-audio", {"audio": b64(WAV)}, [("audio.wav", WAV)]),
    Shape(
        "03-audio-base64-the-bytes-know-better-than-format",
        {"audio_base64": b64(OGG), "format": "wav", "sample_rate": 24000},
        [("audio.ogg", OGG)],
    ),
    Shape(
        "04-results-with-an-error-each",
        {
            "results": [
                {"id": "a", "audio_base64": b64(WAV)},
                {"id": "b", "error": "text is empty"},
                {"id": "c", "audio_base64": b64(WAV2)},
            ]
        },
        [("audio_00.wav", WAV), ("audio_02.wav", WAV2)],
        failures=("output.results[1]: text is empty",),
    ),
    Shape(
        "05-layers",
        {"layers": [b64(PNG), b64(PNG2), b64(PNG)]},
        [("layer_00.png", PNG), ("layer_01.png", PNG2), ("layer_02.png", PNG)],
    ),
    Shape(
        "06-layer-objects-and-a-package",
        {
            "layers": [
                {"layer_index": 0, "image": b64(PNG)},
                {"layer_index": 1, "image": b64(PNG2)},
            ],
            "package": b64(PPTX),
        },
        [("layer_00.png", PNG), ("layer_01.png", PNG2), ("package.pptx", PPTX)],
    ),
    Shape(
        "07-comfyui-5",
        {
            "images": [
                {"filename": "C_1_.png", "type": "base64", "data": b64(PNG)},
                {"filename": "C_1_.png", "type": "base64", "data": b64(PNG2)},
                {"filename": "C_2_.png", "type": "s3_url", "data": LINK},
            ],
            "errors": ["node 9: no output"],
        },
        [("C_1_.png", PNG), ("C_1_.png", PNG2), ("C_2_.png", LINK)],
        failures=("node 9: no output",),
    ),
    Shape("08-comfyui-4", {"status": "success", "message": b64(PNG)}, [("message.png", PNG)]),
    Shape("08-comfyui-4-url", {"status": "success", "message": LINK}, [("ab12cd.png", LINK)]),
    Shape(
        "08-comfyui-4-failed",
        {"status": "error", "message": "https://example.com/why.png"},
        failures=("https://example.com/why.png",),
    ),
    Shape(
        "09-comfyui-fork",
        {"files": [LINK, b64(PNG), b64(PNG2), "/comfyui/output/x.png"], "datas": {"9": {}}},
        [("ab12cd.png", LINK), ("file_01.png", PNG), ("file_02.png", PNG2)],
        warnings=1,
    ),
    Shape("10-sdxl", {"images": [PIXEL_URI], "image_url": PIXEL_URI}, [("image.png", PNG)]),
    Shape(
        "11-automatic1111",
        {
            "images": [b64(PNG), b64(PNG2)],
            "parameters": {"init_images": [b64(JPEG)]},
            "info": json.dumps({"prompt": "a cat"}),
        },
        [("image_00.png", PNG), ("image_01.png", PNG2)],
    ),
    Shape(
        "12-sdxl-turbo",
        {"images": [{"image": b64(PNG), "seed": 1}, {"image": b64(PNG2), "seed": 2}]},
        [("image_00.png", PNG), ("image_01.png", PNG2)],
    ),
    Shape("13-jpeg-looks-like-a-path", {"image": b64(JPEG)}, [("image.jpg", JPEG)]),
    Shape("14-list-root", [{"image": LINK, "seed": 1}], [("ab12cd.png", LINK)]),
    Shape("15-image-url", {"image_url": LINK, "images": [LINK], "seed": 1}, [("ab12cd.png", LINK)]),
    Shape("16-public-endpoint", {"audio_url": LINK, "cost": 0.001}, [("ab12cd.png", LINK)]),
    Shape(
        "17-file-url-video-lora",
        {"audio_file_url": "https://h.example/a.wav", "video": "https://h.example/b", "lora": LINK},
        [
            ("a.wav", "https://h.example/a.wav"),
            ("video", "https://h.example/b"),
            ("ab12cd.png", LINK),
        ],
    ),
    Shape(
        "18-url-without-extension",
        {"result": "https://h.example/d/77", "status": "DONE"},
        [("result", "https://h.example/d/77")],
    ),
    Shape("18-failed", {"result": "FAILED: out of memory"}, failures=("FAILED: out of memory",)),
    Shape(
        "19-list-of-urls", ["https://h.example/all.zip"], [("all.zip", "https://h.example/all.zip")]
    ),
    Shape("20-video", {"video": b64(MP4)}, [("video.mp4", MP4)]),
    Shape("20-video-b64", {"video_b64": b64(MP4), "filename": "clip.mp4"}, [("clip.mp4", MP4)]),
    Shape("21-bare-base64", b64(MP4), [("output.mp4", MP4)]),
    Shape(
        "22-frames", [b64(JPEG), b64(JPEG2)], [("output_00.jpg", JPEG), ("output_01.jpg", JPEG2)]
    ),
    Shape(
        "23-meshes",
        {"glb_base64": b64(GLB), "mesh_obj": b64(OBJ)},
        [("glb.glb", GLB), ("mesh_obj.obj", OBJ)],
    ),
    Shape(
        "24-progress-then-images",
        [{"status": "running", "progress": 3, "max": 20}, {"images": [b64(PNG)]}],
        [("image.png", PNG)],
    ),
    Shape(
        "25-stream-of-samples",
        [
            {"audio_chunk": b64(samples), "format": "pcm_16", "sample_rate": 24000, "chunk": number}
            for number, samples in enumerate(PCM)
        ],
        [("audio.wav", wav(b"".join(PCM)))],
    ),
    Shape("26-transcription", {"segments": [{"text": "a"}], "transcription": "hello there"}),
    Shape("26-text", "Hello, X"),
    Shape(
        "26-language-model", [{"choices": [{"message": {"content": "https://example.com is it"}}]}]
    ),
    Shape("26-embeddings", {"object": "list", "data": [{"embedding": [0.1, 0.2]}]}),
    Shape("27-tmp", {"image": "/tmp/x.png"}, warnings=1),  # noqa: S108 - the worker's own path
    Shape("27-sdk-fallback", {"image_url": "simulated_uploaded/x.png"}, warnings=1),
    Shape("27-controlnet", {"outputs": ["local_upload/a.png", "/workspace/out/b.png"]}, warnings=2),
    Shape(
        "28-file-data",
        {"status": "success", "file_data": b64(MARKDOWN), "file_size": len(MARKDOWN)},
        [("file_data.bin", MARKDOWN)],
    ),
]


def found(reading: Reading) -> list[tuple[str, bytes | str]]:
    """Return the names of the files with their bytes or URL."""
    return [
        (file.name, file.content if isinstance(file, InlineFile) else file.url)
        for file in reading.files
    ]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.id)
def test_every_shape_is_read(shape: Shape) -> None:
    """All files are found, in order and under the right names; what is no file is told apart."""
    reading = read_output(shape.output)

    assert (shape.files, shape.failures) == (found(reading), reading.failures)
    assert shape.warnings == len(reading.warnings)


def test_the_table_covers_all_shapes() -> None:
    """No shape of the reference is left out."""
    assert {f"{number:02d}" for number in range(1, 29)} == {shape.id[:2] for shape in SHAPES}


def test_a_file_says_where_it_was_and_what_it_is() -> None:
    """The path, the content type and the announced size travel with the file."""
    output = {"a b": [{"data": b64(PNG), "size_bytes": 7}], "url": LINK, "content_type": "image/x"}

    inline, linked = read_output(output).files

    assert (inline.where, inline.content_type, inline.size_bytes) == (
        'output["a b"][0].data',
        "image/png",
        7,
    )
    assert LinkedFile("ab12cd.png", "output.url", LINK, "image/x") == linked


def test_neither_content_nor_url_is_in_the_repr() -> None:
    """A log line shows no megabytes and no signature."""
    shown = repr(read_output({"image": b64(PNG), "url": LINK}).files)

    assert "Signature" not in shown
    assert "PNG\\r" not in shown


@pytest.mark.parametrize(
    "spelling",
    [
        pytest.param(b64(MP4).rstrip("="), id="without padding"),
        pytest.param(b64(MP4)[:-1], id="half padded"),
        pytest.param(base64.urlsafe_b64encode(MP4).decode(), id="for URLs"),
        pytest.param(base64.encodebytes(MP4).decode(), id="in lines"),
        pytest.param(f"  {b64(MP4)}\r\n", id="with spaces around"),
        pytest.param(f"data:video/mp4;base64,{b64(MP4)}", id="as a data URI"),
        pytest.param(f"DATA:video/mp4;codecs=avc1;BASE64,{b64(MP4)}", id="as a loud data URI"),
    ],
)
def test_base64_is_read_in_every_spelling(spelling: str) -> None:
    """Padding, alphabet, line breaks and data URIs do not matter."""
    assert found(read_output({"video": spelling})) == [("video.mp4", MP4)]


@pytest.mark.parametrize(
    "output",
    [
        "see https://example.com/cat.png for the picture",
        {"text": "https://example.com/cat and more"},
        {"sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" * 2},
        {"status": "completed", "id": "sync-e1323ad4-0000-4000-8000-000000000000-e1"},
        {"webhook_url": "https://example.com/hook"},
        {"input": {"image": b64(PNG)}, "request": {"image": LINK}, "inputs": [b64(PNG)]},
        {"homepage": "https://example.com/about"},
        {"answer": "/imagine a cat"},
        {"message": "a" * 80},
        {"text": "data: this is a sentence, not a URI"},
        ["data: {}\n\n", "data: [DONE]\n\n"],
        {"name": "/tmp/input.png", "filename": "/tmp/input.png"},  # noqa: S108 - the worker's own path
        None,
        7,
        [],
    ],
)
def test_what_is_no_file_is_left_alone(output: object) -> None:
    """Text, ids, echoes of the request and links to call are neither files nor warnings."""
    assert Reading(files=()) == read_output(output)


@pytest.mark.parametrize(
    ("output", "warning"),
    [
        (
            {"image": "data:image/png;base64,!!!!"},
            "output.image is a data URI that cannot be decoded",
        ),
        (
            {"image_base64": "this is certainly no base64!"},
            "output.image_base64 should be base64 and cannot be decoded",
        ),
        ({"audio_base64": ""}, "output.audio_base64 is empty"),
        (
            [{"audio_chunk": b64(PCM[0])}],
            "output[0].audio_chunk holds raw samples without a sample rate: taken for 24000 Hz",
        ),
    ],
)
def test_what_cannot_be_had_is_a_warning(output: object, warning: str) -> None:
    """A promise of a file that is not kept is told with the place where it stands."""
    assert (warning,) == read_output(output).warnings


def test_a_path_on_the_worker_says_what_to_do() -> None:
    """The warning names the path and the way out."""
    reading = read_output({"files": ["/comfyui/output/x.png"]})
    (warning,) = reading.warnings

    assert reading.left_behind == ("/comfyui/output/x.png",)
    assert warning == (
        "output.files[0] is a path on the worker (/comfyui/output/x.png): the file stayed there; "
        "let the worker return it as base64, or upload it to a bucket"
    )


@pytest.mark.parametrize(
    ("output", "name"),
    [
        ({"image_url": "s3://files/jobs/1/lake.png"}, "lake.png"),
        ({"images": [{"filename": "x.png", "type": "s3_url", "data": "s3://files/8hex"}]}, "x.png"),
        ({"output_uri": "s3://files/jobs/1"}, "output"),
        ({"path": "s3://files/my lake.png"}, "my lake.png"),
        (["s3://files/frames.zip"], "frames.zip"),
        ("s3://files/jobs/1/", None),
        ({"model": "s3://models/llama"}, None),
        ({"image_url": "gs://files/lake.png"}, None),
        ({"text": "It is in s3://files/lake.png now."}, None),
    ],
)
def test_an_object_in_a_bucket_is_a_link(output: object, name: str | None) -> None:
    """By the same rules as a URL: its key or its extension says that it is a result."""
    reading = read_output(output)
    assert [file.name for file in reading.files] == ([] if name is None else [name])
    assert all(isinstance(file, LinkedFile) for file in reading.files)


@pytest.mark.parametrize(
    ("output", "paths"),
    [
        (
            {"files": ["/comfyui/output/a.png", "https://a.example/b.png"], "datas": {}},
            ["/comfyui/output/a.png"],
        ),
        ({"files": ["local_upload/a.png"]}, ["local_upload/a.png"]),
        ({"files": ["/workspace/ComfyUI/a.mp4"]}, ["/workspace/ComfyUI/a.mp4"]),
        ({"files": ["https://example.org/a.png", "/9j/4AAQ", 3]}, []),
        ({"model": "s3://models/llama", "image_url": "gs://files/lake.png"}, []),
        ({"filename": "/comfyui/output/a.png", "text": "It is in /tmp/a.png now"}, []),
        (None, []),
    ],
)
def test_files_that_stayed_on_the_worker_are_known(output: object, paths: list[str]) -> None:
    """By their paths there; base64 of a JPEG looks like one, and buckets are elsewhere."""
    assert read_output(output).left_behind == tuple(paths)  # type: ignore[arg-type]


def test_an_object_that_is_no_result_is_told() -> None:
    """Nobody else would tell that it is there."""
    (warning,) = read_output({"model": "s3://models/llama"}).warnings
    assert warning == (
        "output.model is a place in a bucket (s3://models/llama) that does not look like a "
        "result: it was not fetched"
    )


@pytest.mark.parametrize(
    ("output", "failure"),
    [
        ({"status": "ERROR", "message": "no workflow"}, "no workflow"),
        (
            {"success": False, "error": "validation_error", "message": "duration: 99"},
            "duration: 99",
        ),
        ({"success": False}, "the worker gave no reason"),
        ({"result": "FAILED: no GPU"}, "FAILED: no GPU"),
        ("FAILED: no GPU", "FAILED: no GPU"),
        ({"items": [{"error": {"message": "too long"}}]}, "output.items[0]: too long"),
        ({"images": [], "errors": ["node 1", {"message": "node 2"}]}, "node 1; node 2"),
    ],
)
def test_failures_in_completed_jobs_are_found(output: object, failure: str) -> None:
    """What RunPod calls COMPLETED and the worker calls failed is a failure, in its words."""
    assert (failure,) == read_output(output).failures


@pytest.mark.parametrize(
    "output",
    [
        {"error": None, "status": "completed", "success": True, "errors": []},
        {"metrics": [{"error": 0.03}], "result": "ok"},
        {"steps": {"status": "error"}},
    ],
)
def test_numbers_and_empty_errors_are_no_failures(output: object) -> None:
    """An error rate or an empty list of errors does not fail a job."""
    assert read_output(output).failures == ()


def test_one_file_name_goes_to_the_file_it_fits() -> None:
    """Of two files beside one name, the video gets the video's name."""
    output = {"filename": "clip.mp4", "thumbnail": b64(PNG), "video": b64(MP4)}

    assert found(read_output(output)) == [("thumbnail.png", PNG), ("clip.mp4", MP4)]


def test_the_same_bytes_under_two_names_stay_two_files() -> None:
    """Only what nobody can tell apart is one file."""
    output = [
        {"file": [{"filename": "a.png", "data": b64(PNG)}]},
        {"file": [{"filename": "b.png", "data": b64(PNG)}]},
        {"again": {"data": PIXEL_URI}},
    ]

    assert found(read_output(output)) == [("a.png", PNG), ("b.png", PNG)]


def test_a_file_that_is_repeated_knows_all_its_places() -> None:
    """It is one file, and each place of its content or of its link can be found again."""
    output = {
        "image": b64(PNG),
        "copy": {"image": b64(PNG)},
        "url": LINK,
        "result": {"url": LINK, "image_url": LINK},
    }

    assert [(file.where, file.also_at) for file in read_output(output).files] == [
        ("output.image", ("output.copy.image",)),
        ("output.url", ("output.result.url", "output.result.image_url")),
    ]


def test_a_tiny_file_needs_a_name_or_a_promise() -> None:
    """Three bytes are a file if the worker says so."""
    named = {"filename": "a.txt", "content_base64": b64(b"abc")}

    assert found(read_output(named)) == [("a.txt", b"abc")]
    assert found(read_output({"filename": "empty.txt", "content_base64": ""})) == [
        ("empty.txt", b"")
    ]
    assert found(read_output({"is_base64": "true", "image": "yes"})) == []


def test_a_data_uri_without_base64_is_text() -> None:
    """An SVG as a percent-encoded URI keeps its declared kind."""
    uri = "data:image/svg+xml;utf8,%3Csvg%20xmlns='http://www.w3.org/2000/svg'/%3E"

    assert found(read_output({"image": uri})) == [
        ("image.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    ]


def test_samples_that_look_like_a_signature_stay_samples() -> None:
    """A chunk that begins with the two bytes of an MP3 frame is still sound without a header."""
    samples = b"\xff\xfb" + bytes(2000)
    output = [{"audio_chunk": b64(samples), "sample_rate": 24000}]

    assert found(read_output(output)) == [("audio.wav", wav(samples))]


def test_depth_does_not_matter() -> None:
    """A file under a hundred thousand levels is found, with a path of bearable length."""
    output: object = {"image": b64(PNG)}
    for number in range(100_000):
        output = [output] if number % 2 else {"deeper": output}

    (file,) = read_output(output).files

    assert (file.name, len(file.where) < 300) == ("image.png", True)
