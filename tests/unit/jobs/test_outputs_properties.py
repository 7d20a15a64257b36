"""Whatever a worker returns: reading it never raises and its time grows with its size."""

from __future__ import annotations

import base64

from hypothesis import given
from hypothesis import strategies as st

from runpodctl_py.jobs.content_types import sniff
from runpodctl_py.jobs.outputs import InlineFile, read_output
from runpodctl_py.jobs.words import readable_text, worker_error

KEYS = st.sampled_from(
    [
        "image",
        "images",
        "image_base64",
        "audio",
        "audio_chunk",
        "data",
        "url",
        "content_base64",
        "filename",
        "name",
        "format",
        "type",
        "status",
        "success",
        "error",
        "errors",
        "result",
        "message",
        "sample_rate",
        "channels",
        "size_bytes",
        "files",
        "mesh_obj",
        "input",
        "encoding",
        "output",
        "choices",
        "tokens",
        "text",
        "details",
        "traceback",
        "error_type",
    ]
) | st.text(max_size=8)
STRINGS = (
    st.text(max_size=40)
    | st.binary(max_size=120).map(lambda content: base64.b64encode(content).decode())
    | st.binary(max_size=40).map(lambda content: f"data:a/b;base64,{content.hex()}")
    | st.from_regex(r"\A(https?|s3|file)://\S{0,40}\Z")
    | st.from_regex(r"\A\{[^\n]{0,40}\}\Z")
    | st.sampled_from(["pcm_16", "pcm_24", "pcm", "base64", "s3_url", "error", "/tmp/x.png", "wav"])  # noqa: S108 - a worker's path
    | st.text(st.characters(categories=["Cs", "Cc", "Zs"]), max_size=20)
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | STRINGS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=30,
)


@given(JSON)
def test_any_json_can_be_read(output: object) -> None:
    """No output raises, and every file found has a name, a place and content or a URL."""
    for file in read_output(output).files:
        assert file.name
        assert file.where.startswith("output")
        assert isinstance(file, InlineFile) or file.url.lower().startswith(("http", "s3://"))


@given(JSON, JSON)
def test_any_error_and_any_output_can_be_put_in_words(error: object, output: object) -> None:
    """No form of error raises, and there is always something to say."""
    assert worker_error(error, output).message
    assert readable_text(output) != ""


@given(
    st.binary(max_size=400) | st.binary(max_size=40).map(lambda tail: b"\x28\xb5\x2f\xfd" + tail)
)
def test_any_bytes_can_be_sniffed(content: bytes) -> None:
    """No content raises, and a kind has an extension with its dot."""
    kind = sniff(content)

    assert kind is None or kind.extension.startswith(".")


@given(
    st.binary(min_size=48, max_size=300), st.sampled_from(["content_base64", "b64", "imageBase64"])
)
def test_what_a_worker_encodes_comes_back(content: bytes, key: str) -> None:
    """Any bytes under a key that says base64 are found unchanged."""
    (file,) = read_output({key: base64.b64encode(content).decode()}).files

    assert isinstance(file, InlineFile)
    assert file.content == content
