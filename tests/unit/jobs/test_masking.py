"""What looks like a secret is masked, by name or by form; what only sounds like one is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from runpodctl_py.jobs.masking import MASK, masked, masked_text, names_secret

if TYPE_CHECKING:
    from runpodctl_py.jsontypes import JsonValue

LETTERS = "MARKERmarker0123456789"


@pytest.mark.parametrize(
    "key",
    [
        f"rpa_{LETTERS}",
        f"hf_{LETTERS}",
        f"sk-{LETTERS}",
        f"sk-proj-{LETTERS}_-",
        *(f"gh{kind}_{LETTERS}" for kind in "pousr"),
        f"github_pat_{LETTERS}_{LETTERS}",
        "AKIAMARKER0123456789",
    ],
)
def test_a_key_is_known_by_its_look(key: str) -> None:
    """Wherever it stands in a text."""
    assert masked_text(key) == MASK
    assert masked_text(f"my key is {key}, or ({key}).") == f"my key is {MASK}, or ({MASK})."


@pytest.mark.parametrize(
    "text",
    [
        "hf_hub",
        "rpa_short",
        "sk-learn",
        "ghp_",
        "AKIA",
        "risk-management-department-of-2026",
        "self_conf_abcdefghijklmnopqrstuvwxyz",
        "a basic understanding of lakes",
        "Basic understanding",
        "basic understanding-of-everything",
        "the bearer of this letter",
        "Bearer of-bad-news-from-the-north",
        "user@example.org",
        "see http://example.org/@somebody/1",
        "https://example.org/a?page=2&size=10#top",
        "https://example.org/a@b",
        "no URL: ftp//a:b@c",
    ],
)
def test_what_only_sounds_like_a_secret_stays(text: str) -> None:
    """A text that a person wrote is kept as it is."""
    assert masked_text(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Authorization: Bearer abcdefghijk1.l-m_n", f"Authorization: Bearer {MASK}"),
        ("authorization: bearer  abcdefghijkl1", f"authorization: bearer {MASK}"),
        ("Basic dXNlcjpwYXNzd29yZDE=", f"Basic {MASK}"),
        ("curl -H 'Bearer abc123abc123' x", f"curl -H 'Bearer {MASK}' x"),
    ],
)
def test_what_stands_in_a_header(text: str, expected: str) -> None:
    """It has a digit somewhere, as words have not."""
    assert masked_text(text) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://me:s3cret@example.org/a", f"https://{MASK}@example.org/a"),
        ("https://token@example.org", f"https://{MASK}@example.org"),
        ("HTTP://me:s3cret@example.org/a?page=2", f"HTTP://{MASK}@example.org/a?page=2"),
        ("https://me:p@example.org/x@y", f"https://{MASK}@example.org/x@y"),
        ("https://e.org/a?X-Amz-Signature=s3cret", f"https://e.org/a?{MASK}"),
        ("https://e.org/a?X-Amz-Credential=s3cret&b=1", f"https://e.org/a?{MASK}"),
        ("https://e.org/a?page=2&sig=s3cret", f"https://e.org/a?{MASK}"),
        ("https://e.org/a?access_token=s3cret", f"https://e.org/a?{MASK}"),
        ("https://e.org/a?API_KEY=s3cret", f"https://e.org/a?{MASK}"),
        ("https://e.org/a?password=s3cret", f"https://e.org/a?{MASK}"),
        ("https://e.org/a?client_secret=s3cret", f"https://e.org/a?{MASK}"),
        ("https://e.org/a?auth=s3cret", f"https://e.org/a?{MASK}"),
        (
            "https://me:s3cret@e.org/a?sig=s3cret",
            f"https://{MASK}@e.org/a?{MASK}",
        ),
        (
            'get "https://e.org/a?sig=s3cret" and <https://e.org/b?page=1>',
            f'get "https://e.org/a?{MASK}" and <https://e.org/b?page=1>',
        ),
    ],
)
def test_a_url_gives_nobody_away(url: str, expected: str) -> None:
    """Neither a user nor what lets anybody have a file; where it leads to is still to be read."""
    assert masked_text(url) == expected


@pytest.mark.parametrize(
    "key",
    [
        *("accessSecret", "secret", "client_secret", "password", "dbPassword", "passwd"),
        *("passphrase", "api_key", "apiKey", "API_KEY", "access_key", "accessKeyId", "accessId"),
        *("privateKey", "authorization", "credentials", "bearer", "hf_token", "HF_TOKEN"),
        *("token", "pwd", "db_pwd", "pass", "auth", "basic_auth", "cookie", "cookies"),
    ],
)
def test_a_name_that_says_secret(key: str) -> None:
    """What stands under it is not written down, whatever it is; that it stood there is."""
    assert names_secret(key)
    assert masked({key: "s3cret"}) == {key: MASK}
    assert masked({key: {"a": ["s3cret"]}}) == {key: MASK}
    assert masked([{"deep": {key: 7}}]) == [{"deep": {key: MASK}}]


@pytest.mark.parametrize(
    "key",
    [
        *("max_tokens", "maxTokens", "max_new_tokens", "tokens", "token_count", "tokenizer"),
        *("passes", "pass_through", "author", "authors", "key", "keys", "keyboard", "compass"),
        *("cookie_recipe", "monkey", "prompt", "text", "", "__", "…"),
    ],
)
def test_a_name_that_does_not(key: str) -> None:
    """What stands under it is what was asked for."""
    assert not names_secret(key)
    assert masked({key: "words"}) == {key: "words"}


@pytest.mark.parametrize("name", ["key", "name"])
def test_variables_in_a_list(name: str) -> None:
    """Their names are values: RunPod's `env`."""
    env: list[Any] = [
        {name: "HF_TOKEN", "value": "s3cret"},
        {name: "MAX_TOKENS", "value": "100"},
        {name: 7, "value": "seven"},
    ]
    assert masked(env) == [{name: "HF_TOKEN", "value": MASK}, *env[1:]]


@pytest.mark.parametrize("nothing", ["", None, 0, False, [], {}])
def test_where_nothing_is_nothing_is_masked(nothing: JsonValue) -> None:
    """An input without its secret can be sent again."""
    given: JsonValue = {"api_key": nothing, "env": [{"key": "HF_TOKEN", "value": nothing}]}
    assert masked(given) == given


def test_keys_of_objects_are_texts_as_well() -> None:
    """Somebody may have keyed their answers by URL."""
    assert masked({f"rpa_{LETTERS}": {"https://e.org/a?sig=s3cret": 1}}) == {
        MASK: {f"https://e.org/a?{MASK}": 1}
    }


def test_what_was_given_stays_as_it_is() -> None:
    """It is still to be sent."""
    given: JsonValue = {"api_key": "s3cret", "list": [{"password": "s3cret"}]}
    masked(given)
    assert given == {"api_key": "s3cret", "list": [{"password": "s3cret"}]}


def test_what_is_masked_stays_so() -> None:
    """A second time changes nothing: a text of RunPod's is compared with one that was kept."""
    given: JsonValue = {
        "api_key": "s3cret",
        "text": f"Bearer {LETTERS} rpa_{LETTERS} https://me:s3cret@e.org/a?sig=s3cret",
    }
    assert masked(masked(given)) == masked(given) != given


@pytest.mark.parametrize("value", [None, True, 0, 2**70, 1.5, "words", "\ud800", [], {}])
def test_all_else_is_kept(value: JsonValue) -> None:
    """Numbers of any size, and half a character of UTF-16."""
    assert masked(value) == value
    assert masked([{"a": value}]) == [{"a": value}]


def test_nothing_is_too_deep() -> None:
    """More than 50 levels are left out, rather than the whole."""
    value: JsonValue = "words"
    for _ in range(5000):
        value = [value]
    levels, found = 0, masked(value)
    while isinstance(found, list):
        (found,) = found
        levels += 1
    assert (levels, found) == (50, "…")


def test_texts_become_what_somebody_wants() -> None:
    """Whoever prints them may want them short."""
    assert masked({"a": ["words", 1]}, lambda text: text.upper()) == {"a": ["WORDS", 1]}


@pytest.mark.parametrize(
    "piece",
    [
        *("http://", "https://a:b@c/", "https://e.org/a?sig=1&", "http://a?", "http://@", "&a=1"),
        *("Bearer ", "Bearer a", "Basic\t", "Bearer a1", "rpa_", "hf_a", "sk-", "gh", "AKIA"),
        *("github_pat_", "://", "a@", " ", "-", "0"),
    ],
)
def test_a_long_text_takes_a_moment(piece: str) -> None:
    """Whatever somebody has put into an input: no piece of it is looked at again and again."""
    long = piece * 20_000
    for each in (long, f"https://e.org/?{long}", f"Bearer {long}!"):
        assert masked_text(masked_text(each)) == masked_text(each)
