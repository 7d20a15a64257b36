from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import InvalidInputError
from worker.tasks.qwen_layered.wanted import LONGEST_PROMPT, Wanted


def parse(**fields: Any) -> Wanted:
    """Reads a job that brings a picture and these fields."""
    return Wanted.parse({"id": "job-1", "input": {"image": "iVBORw0KGgo=", **fields}})


def test_the_defaults_are_the_recommended_call() -> None:
    """What the model's authors write in their README."""
    assert parse(seed=777) == Wanted(
        image="iVBORw0KGgo=",
        prompt="",
        negative_prompt=" ",
        layers=4,
        resolution=640,
        steps=50,
        guidance=4.0,
        normalises_guidance=True,
        describes_in_english=True,
        seed=777,
        package="",
    )


def test_every_field_is_read() -> None:
    """Each by its own name; numbers may come as floats, as from JavaScript."""
    wanted = parse(
        image="https://example.com/a.png",
        prompt=" a red box ",
        negative_prompt="",
        num_layers=10,
        resolution=1024.0,
        num_inference_steps=20.0,
        true_cfg_scale=1,
        cfg_normalize=False,
        use_en_prompt=False,
        seed=0,
        package="psd",
    )
    assert wanted == Wanted(
        image="https://example.com/a.png",
        prompt="a red box",
        negative_prompt="",
        layers=10,
        resolution=1024,
        steps=20,
        guidance=1.0,
        normalises_guidance=False,
        describes_in_english=False,
        seed=0,
        package="psd",
    )


def test_a_missing_seed_is_drawn() -> None:
    """Another one for each job."""
    assert parse().seed != parse().seed


@pytest.mark.parametrize("name", ["layers", "num_layers"])
def test_layers_have_two_names(name: str) -> None:
    """Either, or both with the same number."""
    assert parse(**{name: 7}).layers == 7
    assert parse(layers=7, num_layers=7).layers == 7


@pytest.mark.parametrize("name", ["prompt", "negative_prompt", "seed", "package"])
def test_null_means_missing_where_nothing_is_a_choice(name: str) -> None:
    """A form sends it for what was left empty."""
    assert getattr(parse(**{name: None, "seed": 1}), name) == getattr(parse(seed=1), name)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"image": 5}, "image must be a string: base64, a data URI or an http(s) URL"),
        ({"image": " \n"}, "image is empty"),
        ({"layers": 1}, "layers must be a whole number from 2 to 10, not 1"),
        ({"num_layers": 11}, "num_layers must be a whole number from 2 to 10, not 11"),
        ({"layers": True}, "layers must be a whole number from 2 to 10, not true"),
        (
            {"layers": 3, "num_layers": 4},
            "num_layers=4 and layers=3 contradict each other: they mean the same",
        ),
        ({"resolution": 512}, "resolution must be 640 or 1024, not 512"),
        ({"resolution": "640"}, "resolution must be 640 or 1024, not '640'"),
        ({"resolution": []}, "resolution must be 640 or 1024, not a list"),
        ({"resolution": None}, "resolution must be 640 or 1024, not null"),
        (
            {"num_inference_steps": 1},
            "num_inference_steps must be a whole number from 2 to 200, not 1",
        ),
        (
            {"num_inference_steps": 201},
            "num_inference_steps must be a whole number from 2 to 200, not 201",
        ),
        ({"true_cfg_scale": 0.5}, "true_cfg_scale must be a number from 1 to 20, not 0.5"),
        ({"true_cfg_scale": 20.5}, "true_cfg_scale must be a number from 1 to 20, not 20.5"),
        (
            {"true_cfg_scale": float("nan")},
            "true_cfg_scale must be a number from 1 to 20, not nan",
        ),
        ({"cfg_normalize": "yes"}, "cfg_normalize must be true or false, not 'yes'"),
        ({"use_en_prompt": 1}, "use_en_prompt must be true or false, not 1"),
        ({"seed": 2**32}, "seed must be a whole number from 0 to 4294967295, not 4294967296"),
        ({"package": "rar"}, "package must be one of psd, zip, not 'rar'"),
        ({"prompt": ["a"]}, "prompt must be a string, not a list"),
        (
            {"prompt": "x" * (LONGEST_PROMPT + 1)},
            "prompt must have at most 8000 characters, not 8001",
        ),
        (
            {"negative_prompt": "x" * (LONGEST_PROMPT + 1)},
            "negative_prompt must have at most 8000 characters, not 8001",
        ),
    ],
)
def test_what_is_wrong_is_refused(fields: dict[str, Any], message: str) -> None:
    """Nothing is bent into range."""
    with pytest.raises(InvalidInputError) as caught:
        parse(**fields)
    assert caught.value.message == message


@pytest.mark.parametrize("job", [{}, {"input": None}, {"input": "image"}, {"input": {}}])
def test_a_job_without_a_picture_is_refused(job: dict[str, Any]) -> None:
    """Whatever else is there."""
    with pytest.raises(InvalidInputError, match=r"^(input must be an object|image is required)"):
        Wanted.parse(job)


def test_a_wrong_picture_is_not_quoted() -> None:
    """It may be a URL with a signature in it."""
    with pytest.raises(InvalidInputError) as caught:
        parse(image=["https://example.com/a.png?signature=secret"])
    assert "secret" not in caught.value.message


NAMES = (
    *("image", "prompt", "negative_prompt", "layers", "num_layers", "resolution", "seed"),
    *("num_inference_steps", "true_cfg_scale", "cfg_normalize", "use_en_prompt", "package"),
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=3,
)


@given(st.dictionaries(st.sampled_from(NAMES), ANYTHING))
def test_any_json_is_read_or_refused(fields: dict[str, Any]) -> None:
    """With every number in its range, or with a message that stays ASCII."""
    try:
        wanted = parse(**fields)
    except InvalidInputError as error:
        assert error.message.isascii()  # noqa: PT017
        return
    assert 2 <= wanted.layers <= 10
    assert wanted.resolution in (640, 1024)
    assert 2 <= wanted.steps <= 200
    assert 1 <= wanted.guidance <= 20
    assert 0 <= wanted.seed < 2**32
