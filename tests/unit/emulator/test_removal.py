"""What is secret never gets into a transcript, wherever it stood."""

from __future__ import annotations

import json
from typing import Any

import pytest
from graphql import parse
from hypothesis import given
from hypothesis import strategies as st

from runpodctl_py.emulator.lab.removal import PLACEHOLDER, Removal
from runpodctl_py.emulator.lab.secret_names import REMOVED, is_secret_field, is_secret_name
from runpodctl_py.emulator.lab.transcript import Answer, Body, Exchange, Request

MARKER = "MARKERmarker0123456789"
KEY = f"rpa_{MARKER}"
ENDPOINT = "/v2/abc123/run"


def written(
    request: Request, answer: Answer | None = None, removal: Removal | None = None
) -> dict[str, Any]:
    """Return an exchange as a file has it, without its secrets."""
    exchange = Exchange(request, answer, 1.0, 0.5)
    line: dict[str, Any] = json.loads((removal or Removal()).exchange(exchange).line())
    return line


def posted(value: Any, path: str = ENDPOINT) -> Any:
    """Return what is written of a JSON request."""
    return written(Request("POST", path, body=Body("json", value)))["request"]["body"]["json"]


def answered(content: bytes, path: str = ENDPOINT, query: Any = None) -> Any:
    """Return what is written of an answer's body."""
    request = Request("POST", path, body=query and Body("json", {"query": query}))
    return written(request, Answer(200, body=Body.of(content)))["answer"]["body"]


def document(text: str, **variables: Any) -> Any:
    """Return what is written of a GraphQL request."""
    return posted({"query": text, "variables": variables}, "/graphql")


SECRETS_IN_JSON = {
    "env as pairs": {"env": [{"key": "HF_TOKEN", "value": MARKER}]},
    "env as named pairs": {"env": [{"name": "MY_PASSWORD", "value": MARKER}]},
    "env as an object": {"env": {"AWS_SECRET_ACCESS_KEY": MARKER}},
    "env as lines": {"env": [f"API_KEY={MARKER}", "SIZE=3"]},
    "env as JSON in a text": {"env": json.dumps({"GITHUB_PAT": MARKER})},
    "env of a new release": {"diff": [{"field": "template.env", "new": {"HF_TOKEN": MARKER}}]},
    "env of an old release": {
        "diff": [{"field": "env", "old": [{"key": "AUTH", "value": MARKER}]}]
    },
    "a registry": {"name": "hub", "username": MARKER, "password": MARKER},
    "S3": {"s3Config": {"accessId": MARKER, "accessSecret": MARKER, "bucketName": "mine"}},
    "an API key": {"myself": {"apiKeys": [{"id": "1", "apiKey": MARKER}]}},
    "a token in an input": {"input": {"hf_token": MARKER, "prompt": "a fox"}},
    "credentials": {"credentials": {"user": MARKER, "levels": [{"deep": MARKER}]}},
    "a webhook's query": {"webhook": f"https://example.com/hook?sig={MARKER}"},
    "a webhook's path": {"webhook": f"https://example.com/services/{MARKER}"},
    "a webhook's password": {"webhookV2": f"https://user:{MARKER}@example.com/"},
    "a webhook in an object": {"webhookV2": {"url": f"https://example.com/{MARKER}"}},
    "a password in a URL": {"input": {"image": f"see https://me:{MARKER}@example.com/a.png"}},
    "a database's password": {"env": {"DB": f"postgres://me:{MARKER}@db/main"}},
    "a presigned URL of S3": {
        "output": f"https://b.s3.amazonaws.com/a?X-Amz-Credential={MARKER}&X-Amz-Signature={MARKER}"
    },
    "a presigned URL of Azure": {"output": [f"https://b.blob.example/a?sv=1&sig={MARKER}"]},
    "a key of RunPod": {"input": {"text": f"my key is {KEY}."}},
    "a key of OpenAI": {"input": {"text": f"my key is sk-proj-{MARKER}."}},
    "a key of GitHub": {"input": {"text": f"https://example.com/ghp_{MARKER}"}},
    "a password by any name": {"input": {"db_pwd": MARKER, "smtpPass": MARKER, "auth": MARKER}},
    "arguments of a start": {"dockerStartCmd": ["--api-key", MARKER]},
    "arguments of an entrypoint": {"dockerEntrypoint": [f"A_TOKEN={MARKER}"]},
    "a bearer token": {"input": {"curl": f"-H 'Authorization: Bearer {MARKER}'"}},
    "JSON in a text": {"error": json.dumps({"error_message": "no", "api_key": MARKER})},
    "arguments": {"dockerArgs": f"serve --hf-token {MARKER} --size 3"},
    "arguments in a list": {"args": ["serve", "--api-key", MARKER]},
    "an assignment": {"dockerArgs": f"sh -c 'HF_TOKEN={MARKER} serve'"},
}


@pytest.mark.parametrize("value", SECRETS_IN_JSON.values(), ids=SECRETS_IN_JSON)
def test_secrets_in_json_are_removed(value: Any) -> None:
    """Of requests and of answers, and in each line of a stream, and of JSON that breaks off."""
    removed = posted(value)
    assert MARKER not in json.dumps(removed)
    assert REMOVED in json.dumps(removed)
    assert posted(removed) == removed
    content = json.dumps(value)
    assert MARKER not in json.dumps(answered(content.encode()))
    stream = f"data: {content}\n\ndata: [DONE]\n\n"
    said = answered(stream.encode())["text"]
    assert MARKER not in said
    assert said.endswith("\n\ndata: [DONE]\n\n")


HALVES = [
    *SECRETS_IN_JSON.values(),
    [{"a": {"credentials": [{"deep": MARKER}]}}],
    {"output": json.dumps({"error": json.dumps({"password": MARKER})})},
    {"s3Config": {"accessId": MARKER}},
]


@pytest.mark.parametrize("value", HALVES)
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("path", [ENDPOINT, "/graphql", "/v2/templates"])
def test_half_an_answer_has_no_secrets(value: Any, indent: int | None, path: str) -> None:
    """Wherever it breaks off, even within the secret; and half a request has none, either."""
    whole = json.dumps({"more": 1, "those": value}, indent=indent)
    for end in range(whole.index(MARKER) + 8, len(whole)):
        half = whole[:end].encode()
        assert answered(half, path) == {"text": REMOVED}
        request = written(Request("POST", path, body=Body.of(half)))["request"]
        assert MARKER[:8] not in json.dumps(request)


def test_half_a_stream_keeps_what_was_whole() -> None:
    """The event in which it broke off goes, within a letter, too."""
    whole = f'data: {{"a": 1}}\n\ndata: {{"env": ["ä", "HF_TOKEN={MARKER}"]}}'
    for end in range(whole.index("ä"), len(whole) - 1):
        said = answered(whole.encode()[:end])
        assert said == {"text": f'data: {{"a": 1}}\n\ndata: {REMOVED}'}
    # Some write no space there.
    assert answered(f'data:{{"password": "{MARKER}'.encode()) == {"text": f"data:{REMOVED}"}


def test_json_that_is_no_text_goes() -> None:
    """In another encoding, nobody has looked at it; an image stays."""
    assert answered(f'{{"name": "\xe4", "pwd": "{MARKER}"}}'.encode("latin-1")) == {"text": REMOVED}
    assert answered(b"\x89PNG\xff") == {"base64": "iVBOR/8="}


def test_texts_that_are_no_json_keep_their_words() -> None:
    """But for the values of what has a telling name."""
    text = f'[Music] "user": "{MARKER}" said A_KEY={MARKER} --hf-token {MARKER} and left'
    assert answered(text.encode()) == {
        "text": f'[Music] "user": "{REMOVED}" said A_KEY={REMOVED} --hf-token {REMOVED} and left'
    }
    torn = json.dumps({"error": json.dumps({"password": MARKER, "more": 1})[:-3]})
    assert MARKER not in json.dumps(answered(torn.encode()))


def test_words_do_not_become_secrets() -> None:
    """What answers say about secrets, and what is no key, stays in later answers."""
    removal = Removal()
    sent = {"password": "required", "token": " " * 20, "secret": "two words 2", "api_key": "-" * 9}
    said: list[Any] = [
        {"errors": {"password": "is-required-2"}},
        {"logprobs": [{"token": " " * 20, "logprob": -0.5, "bytes": None}]},
        {"token": "an-ordinary-word-of-2021", "logprob": -0.5},
    ]
    for each in said:
        answer = Answer(200, body=Body("json", each))
        line = written(Request("POST", ENDPOINT, body=Body("json", sent)), answer, removal)
        assert line["request"]["body"]["json"] == dict.fromkeys(sent, REMOVED)
    assert line["answer"]["body"]["json"] == said[-1]
    words = f"is-required-2 an-ordinary-word-of-2021 required two words 2 {'-' * 9}{' ' * 20}."
    later = Answer(200, body=Body("text", words))
    line = written(Request("GET", ENDPOINT), later, removal)
    assert line["answer"]["body"] == {"text": words}
    assert removal.heard == set()


def test_the_longest_secret_goes_first() -> None:
    """One may be the beginning of another, of which nothing may be left."""
    parts = [MARKER[:9] + "1", MARKER[:9] + "12", MARKER[:9] + "123", MARKER[:9] + "1234"]
    for order in (parts, parts[::-1]):
        removal = Removal(known=order[:2], heard=set(order[2:]))
        answer = Answer(200, body=Body("text", f"it is {parts[-1]}!"))
        line = written(Request("GET", ENDPOINT), answer, removal)
        assert line["answer"]["body"] == {"text": f"it is {REMOVED}!"}


HARMLESS = {
    "input": {
        "prompt": "a red fox",
        "max_tokens": 20,
        "author": "me",
        "key": "value",
        "url": "https://example.com/a.png?width=3",
        "seed": 1.5,
        "nothing": None,
    },
    "env": [{"key": "MODEL", "value": "small"}],
    "apiKeys": [{"id": "1", "name": "mine"}],
    "secrets": [{"id": "1", "name": "HF_TOKEN"}],
    "pubKey": "ssh-ed25519 AAAA",
    "usage": {"total_token": 12, "denoise_pass": 2},
    "path": "/disk-0123456789abcdefghijk and sk-learn-has-no-digits-in-it",
    "text": '{"this": "stays as it was" }',
    "policy": {"ttl": 10000},
}


def test_what_is_no_secret_stays() -> None:
    """Nothing else is changed."""
    assert posted(HARMLESS) == HARMLESS
    plain = b"word: data, and \xc3\xa4\nmore"
    assert answered(plain) == {"text": plain.decode()}
    assert answered(b"\x89PNG\xff") == {"base64": "iVBOR/8="}


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda each: st.lists(each) | st.dictionaries(st.text(), each),
        max_leaves=10,
    )
)
def test_removing_twice_is_removing_once(value: Any) -> None:
    """So a request that was recorded is the same as one that is replayed."""
    once = posted({"input": value})
    assert posted(once) == once


@given(
    st.recursive(
        st.sampled_from([KEY, f"x{KEY}y", "harmless", 3]),
        lambda each: (
            st.lists(each, max_size=3)
            | st.dictionaries(st.sampled_from(["a", "env", "key", "value", "url", KEY]), each)
        ),
    )
)
def test_a_known_secret_is_removed_everywhere(value: Any) -> None:
    """In names, too, and whatever stands around it."""
    removal = Removal({KEY})
    request = Request("POST", f"/v2/{KEY}/run", f"a={KEY}", body=Body("json", value))
    for answer in (
        Answer(200, {"location": f"/{KEY}"}, Body("json", value)),
        Answer(200, body=Body("text", f"{KEY}\n{KEY}")),
        Answer(200, body=Body.of(b"\xff" + KEY.encode())),
    ):
        line = removal.exchange(Exchange(request, answer, 1.0, 0.5)).line()
        assert KEY not in line


def test_what_a_language_model_says_stays() -> None:
    """Its tokens are words in answers; a long one, or one in a request, may be a key."""
    words = {"output": [{"token": "fox"}, {"token": {"id": 7, "text": "fox", "logprob": -0.1}}]}
    assert answered(json.dumps(words).encode()) == {"json": words}
    assert answered(json.dumps({"token": MARKER}).encode()) == {"json": {"token": REMOVED}}
    assert posted({"input": {"token": "short"}}) == {"input": {"token": REMOVED}}


def test_headers_and_queries_carry_no_key() -> None:
    """Only headers that mean something are kept, and of a query all but the key."""
    headers = {
        "authorization": f"Bearer {KEY}",
        "cookie": MARKER,
        "x-api-key": MARKER,
        "content-type": "application/json",
    }
    got = {"set-cookie": MARKER, "retry-after": "2", "x-ratelimit-remaining": "1"}
    line = written(
        Request("GET", ENDPOINT, f"api_key={KEY}&ttl=1000&access_token={MARKER}", headers),
        Answer(429, got),
    )
    assert MARKER not in json.dumps(line)
    assert line["request"]["headers"] == {"content-type": "application/json"}
    assert line["request"]["query"] == "ttl=1000&access_token=%28removed%29"
    assert line["answer"]["headers"] == {"retry-after": "2", "x-ratelimit-remaining": "1"}


def test_the_address_is_no_part_of_an_answer() -> None:
    """What was recorded on one port is replayed on another; RunPod's own is in answers only."""
    removal = Removal(
        addresses={"http://127.0.0.1:80": PLACEHOLDER},
        upstream={"https://api.runpod.ai/v2": f"{PLACEHOLDER}/v2"},
    )
    value = {
        "urls": ["http://127.0.0.1:80/v2/a", "http://127.0.0.1:8080/", "https://api.runpod.ai/v2/a"]
    }
    line = written(
        Request("POST", ENDPOINT, body=Body("json", value)),
        Answer(200, body=Body("json", value)),
        removal,
    )
    here, other = f"{PLACEHOLDER}/v2/a", "http://127.0.0.1:8080/"
    assert line["answer"]["body"]["json"] == {"urls": [here, other, here]}
    assert line["request"]["body"]["json"] == {"urls": [here, other, "https://api.runpod.ai/v2/a"]}


SECRET_DOCUMENTS = {
    "pairs, as the official client writes them": """
        mutation { saveTemplate(input: {
            name: "mine", env: [{key: "HF_TOKEN", value: "MARKER"}, {key: "SIZE", value: "3"}]
        }) { id } }""",
    "an object": 'mutation { save(input: {env: {HF_TOKEN: "MARKER"}}) { id } }',
    "a block text": 'mutation { save(input: {password: """MARKER"""}) { id } }',
    "a registry": """
        mutation { saveRegistryAuth(input: {username: "MARKER", password: "MARKER"}) { id } }""",
    "a secret": 'mutation { secretCreate(input: {name: "plain", value: "MARKER"}) { id } }',
    "an argument": 'query { thing(apiKey: "MARKER") { id } }',
    "a default": 'query ($password: String = "MARKER") { thing(p: $password) { id } }',
    "a URL": 'query { thing(of: "https://me:MARKER@example.com/") { id } }',
    "a webhook": 'mutation { save(input: {webhook: "https://example.com/MARKER"}) { id } }',
    "a comment with a key": 'query { thing(of: "x") { id } } # rpa_MARKERMARKERMARKER',
    "no document at all": 'mutation { save(input: {password: "MARKER"',
    "arguments": 'mutation { save(dockerArgs: "serve --hf-token MARKER -e A_KEY=MARKER") { id } }',
    "arguments in an input": 'mutation { save(input: {dockerStartCmd: "A_KEY=MARKER a"}) { id } }',
    "arguments in a list": 'mutation { save(cmd: ["--api-key", "MARKER", "A_TOKEN=MARKER"]) }',
    "env as lines": 'mutation { save(input: {env: ["HF_TOKEN=MARKER"]}) { id } }',
    "a webhook in an object": 'mutation { save(webhookV2: {url: "https://a.b/MARKER"}) { id } }',
    "a default elsewhere": 'mutation ($a: String = "--a-key MARKER") { save(dockerArgs: $a) }',
    "a default of a secret": 'mutation ($a: String = "MARKER") { save(password: $a) { id } }',
    "a list of secrets": 'mutation { save(tokens: {token: ["MARKER", {a: "MARKER"}]}) { id } }',
}


@pytest.mark.parametrize("text", SECRET_DOCUMENTS.values(), ids=SECRET_DOCUMENTS)
def test_secrets_in_a_document_are_removed(text: str) -> None:
    """And what is left is a document, if it was one, in which nothing else has changed."""
    query = document(text)["query"]
    assert "MARKER" not in query
    assert document(query)["query"] == query
    if query != REMOVED:
        assert parse(query)
    if "SIZE" in text:
        assert query == text.replace("MARKER", REMOVED)


def test_secrets_in_variables_are_removed() -> None:
    """By their fields' names, by where the document puts them, and of what makes secrets."""
    pairs = [{"key": "HF_TOKEN", "value": MARKER}, {"key": "SIZE", "value": "3"}]
    said = document(
        "mutation ($i: I, $p: String, $v: String, $k: String, $plain: String) {"
        ' save(input: $i, password: $p, env: [{key: "A_KEY", value: $v}, {key: $k, value: $v}],'
        " name: $plain) { id } }",
        i={"env": pairs},
        p=MARKER,
        v=MARKER,
        k="SIZE",
        plain="stays",
    )
    assert MARKER not in json.dumps(said)
    assert (said["variables"]["plain"], said["variables"]["k"]) == ("stays", "SIZE")
    assert said["variables"]["i"]["env"][1] == pairs[1]
    made = document(
        "mutation ($i: SecretCreateInput) { secretCreate(input: $i) { id } }",
        i={"name": "plain", "value": MARKER},
    )
    assert made["variables"] == {"i": {"name": "plain", "value": REMOVED}}
    batch = posted([{"query": SECRET_DOCUMENTS["a secret"]}, {"query": "{ a }"}], "/graphql")
    assert "MARKER" not in json.dumps(batch)


def test_variables_of_any_name_mean_what_their_places_mean() -> None:
    """The argument decides, or the field of an input, or the place in a list of them."""
    said = document(
        "mutation ($d: S, $w: S, $e: E, $one: S, $next: S, $same: S) {"
        " save(input: {dockerArgs: $d, env: $e, webhook: $w, name: $same}) { id }"
        ' other(cmd: ["serve", "--api-key", $next, $one], name: $same) { id } }',
        d=f"serve --hf-token {MARKER} --size 3",
        w=f"https://example.com/{MARKER}",
        e={"HF_TOKEN": MARKER, "SIZE": "3"},
        one=f"A_TOKEN={MARKER}",
        next=MARKER,
        same="serve --key harmless",
    )
    assert said["variables"] == {
        "d": f"serve --hf-token {REMOVED} --size 3",
        "w": f"https://example.com/{REMOVED}",
        "e": {"HF_TOKEN": REMOVED, "SIZE": "3"},
        "one": f"A_TOKEN={REMOVED}",
        "next": REMOVED,
        "same": "serve --key harmless",
    }
    again = document(said["query"], **said["variables"])
    assert again == said


def test_a_document_keeps_what_is_no_secret_in_a_command() -> None:
    """Only the value goes."""
    text = 'mutation { save(dockerArgs: "serve --hf-token MARKER --size 3") { id } }'
    assert document(text)["query"] == text.replace("MARKER", REMOVED)


def test_an_alias_hides_nothing() -> None:
    """Answers are read by the fields' own names."""
    query = "{ myself { t: podTemplates { e: env { k: key v: value } } c: apiKey } }"
    answer = {"data": {"t": [{"e": [{"k": "HF_TOKEN", "v": MARKER}]}], "c": MARKER}}
    said = answered(json.dumps(answer).encode(), "/graphql", query)
    assert said["json"]["data"] == {"t": [{"e": [{"k": "HF_TOKEN", "v": REMOVED}]}], "c": REMOVED}


def test_an_alias_of_two_fields_hides_nothing() -> None:
    """The one that matters decides, wherever the other stands."""
    query = (
        "{ a: endpoints { id } myself { t: podTemplates { a: env { key value } } } a: pods { id } }"
    )
    answer = {"data": {"t": [{"a": [f"HF_TOKEN={MARKER}"]}], "a": []}}
    assert MARKER not in json.dumps(answered(json.dumps(answer).encode(), "/graphql", query))


@pytest.mark.parametrize(
    "body",
    [
        {"query": f'mutation {{ save(env: [{{key: "HF_TOKEN", value: "{MARKER}"}}]) {{ id }} }}'},
        {"query": f'mutation {{ save(env: {{HF_TOKEN: "{MARKER}"}}) {{ id }} }}'},
        {"query": f'mutation {{ secretCreate(input: {{name: "a", value: "{MARKER}"}}) {{ id }} }}'},
        {"query": "mutation ($p: P) { save(password: $p) { id } }", "variables": {"p": MARKER}},
        {"query": "mutation ($i: I) { save(i: $i) }", "variables": {"i": {"password": MARKER}}},
        {"query": "{ a }", "env": {"HF_TOKEN": MARKER}},
        {"query": f'mutation {{ save(dockerArgs: "serve --api-key {MARKER}") {{ id }} }}'},
        {"query": f'mutation {{ save(args: ["--api-key", "{MARKER}"]) {{ id }} }}'},
        {"query": "{ a }", "args": ["--api-key", MARKER]},
        {"query": "{ a }", "args": f"env HF_TOKEN='{MARKER}' serve"},
        {"query": "{ a }", "env": [f"HF_TOKEN={MARKER}"]},
    ],
)
def test_an_answer_does_not_repeat_a_secret(body: Any) -> None:
    """As errors quote what was sent, and workers print their environment, then and later."""
    removal = Removal()
    quoting = Answer(400, body=Body("json", {"errors": [{"message": f"'{MARKER}' is wrong"}]}))
    line = written(Request("POST", "/graphql", body=Body("json", body)), quoting, removal)
    assert MARKER not in json.dumps(line)
    later = Answer(200, body=Body("text", f"my token is {MARKER}"))
    line = written(Request("POST", ENDPOINT, body=Body("json", MARKER)), later, removal)
    assert line["answer"]["body"] == {"text": f"my token is {REMOVED}"}
    assert line["request"]["body"] == {"json": MARKER}


def test_what_may_be_a_secret_is_not_looked_for_elsewhere() -> None:
    """Or the name of a model would vanish from every answer."""
    removal = Removal()
    sent = {"env": {"MONKEY_MODEL": "stable-diffusion", "SHORT_TOKEN": "short"}}
    answer = Answer(200, body=Body("text", "a short word of stable-diffusion"))
    line = written(Request("POST", ENDPOINT, body=Body("json", sent)), answer, removal)
    assert line["answer"]["body"] == {"text": "a short word of stable-diffusion"}
    assert line["request"]["body"]["json"]["env"]["MONKEY_MODEL"] == REMOVED


LONG = {
    "one word": "a" * 2_000_000,
    "one word before a URL": f"{'a' * 2_000_000} https://example.com",
    "base64": f"{'QUJD+/' * 300_000}://",
    "question marks": f"https://example.com/{'?' * 200_000}",
    "colons": f"https://{'a:' * 200_000}",
    "quotes": '{"' + '"a' * 200_000,
    "half a text": '{"value": "' + "x" * 2_000_000,
    "escapes": '{"value": "' + "\\" * 200_000,
    "half a list of JSON in texts": json.dumps([json.dumps({"a": "b"})] * 10_000)[:-3],
    "half a list of JSON in a text": json.dumps([json.dumps([{"a": "b"}] * 20_000)])[:-5],
    "JSON in a text elsewhere": "got " + json.dumps([json.dumps([{"a": "b"}] * 20_000)])[:-5],
    "prefixes of keys": "sk-" * 200_000,
    "Bearer": "Bearer " * 200_000,
    "keys": "rpa_" * 200_000,
    "dashes": "--a" * 200_000,
}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
@pytest.mark.timeout(20)
def test_long_texts_take_no_longer_than_they_are(text: str) -> None:
    """A regular expression that looks from every letter to the end would take hours."""
    posted({"input": text, "env": [text], "args": text, "webhook": text})
    assert answered(text.encode()) is not None


def test_what_is_too_deep_to_be_looked_through_goes() -> None:
    """JSON in texts in JSON, each as deep as JSON may be."""
    deep: Any = MARKER
    for _ in range(4):
        for _ in range(90):
            deep = {"a": deep}
        deep = json.dumps(deep)
    for path in (ENDPOINT, "/graphql"):
        value = {"query": "{ a }", "variables": {"input": deep}}
        line = written(Request("POST", path, body=Body("json", value)))
        assert line["request"]["body"] == {"text": REMOVED}


def test_a_graphql_request_that_is_no_json_goes() -> None:
    """Nobody knows what is in it."""
    body = Body("text", f'{{"query": "{MARKER}')
    line = written(Request("POST", "/graphql", body=body))
    assert line["request"]["body"] == {"text": REMOVED}


def test_secrets_of_the_account_have_any_name() -> None:
    """REST's secrets have their values in a field of no telling name."""
    said = posted({"name": "plain", "value": MARKER}, "/v2/account/secrets")
    assert said == {"name": "plain", "value": REMOVED}


@pytest.mark.parametrize(
    "name", ["HF_TOKEN", "apikey", "DB_PASS", "Authorization", "MY_PAT", "SIG"]
)
def test_names_of_variables_that_are_secret(name: str) -> None:
    """Generously."""
    assert is_secret_name(name)


def test_names_of_fields_that_are_secret() -> None:
    """With care: there are many fields."""
    names = ["apiKey", "api_key", "accessKeyId", "hf_token", "client_secret", "password", "token"]
    names += ["pwd", "db_pass", "auth"]
    assert [name for name in names if not is_secret_field(name)] == []
    others = ["key", "tokens", "max_tokens", "author", "pubKey", "keyframes", "nextKey", "secrets"]
    others += ["bypass", "passes", "containerRegistryAuthId", "saveRegistryAuth"]
    assert [name for name in others if is_secret_field(name)] == []
