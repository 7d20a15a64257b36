from __future__ import annotations

from pathlib import Path

import pytest

from runpodctl_py import settings as settings_module
from runpodctl_py.errors import UnauthorizedError, UsageError
from runpodctl_py.settings import (
    API_BASE_URL,
    API_KEY,
    BUCKET_ACCESS_KEY_ID,
    BUCKET_ENDPOINT_URL,
    BUCKET_NAMES,
    BUCKET_SECRET_ACCESS_KEY,
    ENDPOINT_BASE_URL,
    ENDPOINT_ID,
    OUTPUT_DIR,
    Setting,
    Settings,
    Source,
)

KEY = "rpa_0123456789abcdefWXYZ"


def settings_of(**values: str) -> Settings:
    """Make settings with one source, an environment."""
    return Settings((Source("environment", values),), Path(".env"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder inside a project, with nothing in either."""
    folder = tmp_path / "project" / "deep" / "er"
    folder.mkdir(parents=True)
    return folder


def test_the_order_of_the_sources(tmp_path: Path, project: Path) -> None:
    """A flag beats the environment beats `.env` beats the user file beats the default."""
    key_file, user = tmp_path / "key", tmp_path / "config.env"
    key_file.write_text(f"{KEY}\n")
    user.write_text(f"{API_KEY}=user\n{ENDPOINT_ID}=user\n{ENDPOINT_BASE_URL}=http://user\n")
    dotenv = project / ".env"
    dotenv.write_text(f"{API_KEY}=dotenv\n{ENDPOINT_ID}=dotenv\n{OUTPUT_DIR}=dotenv\n")
    environment = {API_KEY: "env", OUTPUT_DIR: "env", "RUNPODCTL_USER_FILE": str(user)}

    settings = settings_module.load(environment, project, api_key_file=key_file)

    assert [
        (API_KEY, KEY, str(key_file)),
        (OUTPUT_DIR, "env", "environment"),
        (ENDPOINT_ID, "dotenv", str(dotenv)),
        (ENDPOINT_BASE_URL, "http://user", str(user)),
        (API_BASE_URL, "https://api.runpod.io", "default"),
    ] == [
        (s.name, s.value, str(s.source))
        for s in map(
            settings.setting, (API_KEY, OUTPUT_DIR, ENDPOINT_ID, ENDPOINT_BASE_URL, API_BASE_URL)
        )
    ]


@pytest.mark.parametrize("empty", ["", "   "])
def test_an_empty_value_counts_as_unset(project: Path, empty: str) -> None:
    """`RUNPOD_API_KEY=` in a shell or a CI system does not hide the `.env`."""
    (project / ".env").write_text(f"{API_KEY}=dotenv\n")

    assert settings_module.load({API_KEY: empty}, project).get(API_KEY) == "dotenv"


def test_a_value_is_stripped() -> None:
    """A trailing blank of a copied key is not part of it."""
    assert settings_of(RUNPOD_API_KEY=f" {KEY} ").api_key == KEY


def test_a_setting_nobody_set_has_no_origin() -> None:
    """Nothing is invented."""
    assert settings_of().setting(ENDPOINT_ID) == Setting(ENDPOINT_ID, None, None)


def test_the_nearest_env_file_wins(project: Path) -> None:
    """The search goes upwards and stops at the first `.env`."""
    far, near = project.parents[1] / ".env", project.parent / ".env"
    far.write_text("A=far\n")
    assert settings_module.nearest_env_file(project) == far
    near.write_text("A=near\n")
    assert settings_module.nearest_env_file(project) == near


def test_a_folder_called_env_is_no_env_file(project: Path) -> None:
    """A virtual environment in `.env/` is passed by."""
    (project / ".env").mkdir()
    above = project.parent / ".env"
    above.touch()

    assert settings_module.nearest_env_file(project) == above


def test_without_any_env_file_one_belongs_here(project: Path) -> None:
    """Endpoint ids are then written beside the person, not somewhere above."""
    assert settings_module.load({}, project).env_path == project / ".env"


def test_a_named_env_file_need_not_exist(project: Path) -> None:
    """`--env-file` beats the nearest one, and `setup` may create it."""
    (project / ".env").write_text(f"{API_KEY}=nearest\n")
    named = project / "prod.env"

    settings = settings_module.load({}, project, env_path=named)

    assert (settings.env_path, settings.get(API_KEY)) == (named, None)


def test_the_user_file_has_a_place_of_its_own() -> None:
    """Without RUNPODCTL_USER_FILE it is in the user's configuration folder."""
    path = settings_module.user_file({})

    assert (path.name, path.parent.name) == ("config.env", "runpodctl-py")
    assert path.is_relative_to(Path.home())


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "No such file or directory"), (b"\xff\xfe", "it is no text"), (b" \n", "it is empty")],
)
def test_a_key_file_that_holds_no_key(tmp_path: Path, content: bytes | None, reason: str) -> None:
    """A file that was named is never passed over in favour of another key."""
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(UsageError) as raised:
        settings_module.load({API_KEY: KEY}, tmp_path, api_key_file=path)

    assert raised.value.message == f"Cannot read the API key from {path}: {reason}"


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        (API_KEY, KEY, "…WXYZ"),
        (API_KEY, "short-secret", "…"),
        (API_KEY, None, None),
        (BUCKET_ACCESS_KEY_ID, "AKIA0123456789AB", "…89AB"),
        (BUCKET_SECRET_ACCESS_KEY, "hush-hush-hush", "…hush"),
        (BUCKET_ENDPOINT_URL, "https://s3.example.com", "https://s3.example.com"),
        (ENDPOINT_ID, "i02xupws21hp6i", "i02xupws21hp6i"),
    ],
)
def test_only_keys_are_masked(name: str, value: str | None, shown: str | None) -> None:
    """The last four letters are enough to tell keys apart."""
    assert Setting(name, value, None).shown == shown


def test_no_key_says_where_it_was_looked_for() -> None:
    """The hint names every source, and the way without an account."""
    with pytest.raises(UnauthorizedError) as raised:
        _ = settings_of().api_key

    hint = str(raised.value.hint)
    assert all(word in hint for word in ("--api-key-file", API_KEY, ".env", "user file", "--local"))


@pytest.mark.parametrize("key", ["rpa_a b", "rpa_a\nb", "rpa_ä", "“rpa_a”", "rpa_\x7f"])
def test_what_cannot_be_a_key_is_refused_without_being_shown(key: str) -> None:
    """It could not be sent in a header; the message names the source only."""
    with pytest.raises(UnauthorizedError) as raised:
        _ = settings_of(RUNPOD_API_KEY=key).api_key

    assert raised.value.message == "The API key from environment has characters that no key has"


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("https://api.runpod.io", "https://api.runpod.io"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
        ("http://[::1]:8000/v2//", "http://[::1]:8000/v2"),
    ],
)
def test_a_base_url_loses_its_last_slash(url: str, root: str) -> None:
    """Paths are put behind it."""
    assert settings_of(RUNPOD_API_BASE_URL=url).api_base_url == root


@pytest.mark.parametrize(
    "url",
    [
        "api.runpod.io",
        "ftp://api.runpod.io",
        "https://",
        "https:///v2",
        "https://:8000",
        "https://host:port",
        "https://host:99999",
        "http://[::1",
        "https://exa mple.com",
        "https://host\x00",
        "https://host?key=1",
        "https://host#top",
    ],
)
def test_what_is_no_base_url_is_refused(url: str) -> None:
    """With its name and its origin, before anything is sent anywhere."""
    with pytest.raises(UsageError) as raised:
        _ = settings_of(RUNPOD_ENDPOINT_BASE_URL=url).endpoint_base_url

    expected = f"RUNPOD_ENDPOINT_BASE_URL from environment is no http(s) URL: {url}"
    assert raised.value.message == expected


def test_the_defaults_are_runpods_hosts(project: Path) -> None:
    """Control plane and job API have different hosts (API reference, hosts)."""
    settings = settings_module.load({}, project)

    assert (settings.api_base_url, settings.endpoint_base_url, settings.output_folder) == (
        "https://api.runpod.io",
        "https://api.runpod.ai/v2",
        Path("outputs"),
    )


def test_the_output_folder_may_begin_with_a_tilde() -> None:
    """A `.env` is read by no shell that would expand it."""
    assert settings_of(RUNPODCTL_OUTPUT_DIR="~/x").output_folder == Path.home() / "x"


def test_the_local_runpod_has_urls_and_a_token_of_its_own(project: Path) -> None:
    """Nothing of the environment can send a local command to the real RunPod."""
    environment = {API_KEY: KEY, API_BASE_URL: "https://real", ENDPOINT_BASE_URL: "https://real"}
    real = settings_module.load(environment, project)

    local = real.for_local("http://127.0.0.1:8000", "token")

    assert (
        local.is_local,
        local.api_key,
        local.api_base_url,
        local.endpoint_base_url,
    ) == (True, "token", "http://127.0.0.1:8000", "http://127.0.0.1:8000/v2")


def test_local_endpoint_ids_come_from_env_local_only(project: Path) -> None:
    """Ids of the real RunPod, in `.env` and the environment, mean nothing to the local one."""
    (project / ".env").write_text(f"{ENDPOINT_ID}=real\nRUNPOD_TEST_ENDPOINT_ID=real\n")
    (project / ".env.local").write_text("RUNPOD_TEST_ENDPOINT_ID=local\n")
    real = settings_module.load({ENDPOINT_ID: "real"}, project)

    local = real.for_local("http://127.0.0.1:8000", "token")

    assert (None, "local", project / ".env.local") == (
        local.get(ENDPOINT_ID),
        local.get("RUNPOD_TEST_ENDPOINT_ID"),
        local.env_path,
    )


def test_the_output_folder_is_the_same_locally(project: Path) -> None:
    """Where files go has nothing to do with where jobs run."""
    real = settings_module.load({OUTPUT_DIR: "mine"}, project)

    assert real.for_local("http://127.0.0.1:8000", "token").output_folder == Path("mine")


def test_buckets_are_the_same_locally(project: Path) -> None:
    """Where results are kept has nothing to do with where jobs run."""
    environment = {name: f"my {name}" for name in BUCKET_NAMES}
    real = settings_module.load(environment, project)

    local = real.for_local("http://127.0.0.1:8000", "token")

    assert {name: local.get(name) for name in BUCKET_NAMES} == environment
