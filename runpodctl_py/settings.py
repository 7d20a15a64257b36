"""Where every setting came from: flag, environment, `.env`, user file or default.

Owns the order of the sources and the names every command shares. Does not know presets: their
endpoint keys are looked up by the name the preset gives. Never writes (`env_file.py` does).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from runpodctl_py import env_file
from runpodctl_py.errors import UnauthorizedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

API_KEY = "RUNPOD_API_KEY"
API_BASE_URL = "RUNPOD_API_BASE_URL"
ENDPOINT_BASE_URL = "RUNPOD_ENDPOINT_BASE_URL"
REST_V2_URL = "RUNPOD_REST_V2_URL"
ENDPOINT_ID = "RUNPOD_ENDPOINT_ID"
OUTPUT_DIR = "RUNPODCTL_OUTPUT_DIR"
LEDGER = "RUNPODCTL_LEDGER"
BUCKET_ENDPOINT_URL = "BUCKET_ENDPOINT_URL"
BUCKET_NAME = "BUCKET_NAME"
BUCKET_ACCESS_KEY_ID = "BUCKET_ACCESS_KEY_ID"
BUCKET_SECRET_ACCESS_KEY = "BUCKET_SECRET_ACCESS_KEY"  # noqa: S105 - a name.
COMFY_ORG_API_KEY = "COMFY_ORG_API_KEY"

#: The names that official RunPod tools use too (API reference 6), and what we assume without them.
DEFAULTS: Mapping[str, str] = {
    API_BASE_URL: "https://api.runpod.io",
    ENDPOINT_BASE_URL: "https://api.runpod.ai/v2",
    OUTPUT_DIR: "outputs",
}
#: The person's bucket, under the names that RunPod's workers know (workers reference C).
BUCKET_NAMES = (BUCKET_ENDPOINT_URL, BUCKET_NAME, BUCKET_ACCESS_KEY_ID, BUCKET_SECRET_ACCESS_KEY)
NAMES = (
    *(API_KEY, API_BASE_URL, ENDPOINT_BASE_URL, ENDPOINT_ID, OUTPUT_DIR, LEDGER),
    *BUCKET_NAMES,
    COMFY_ORG_API_KEY,
)
_SECRETS = frozenset({API_KEY, BUCKET_ACCESS_KEY_ID, BUCKET_SECRET_ACCESS_KEY, COMFY_ORG_API_KEY})
#: What has nothing to do with which RunPod is meant.
_ALSO_LOCAL = frozenset({OUTPUT_DIR, LEDGER, *BUCKET_NAMES})


@dataclass(frozen=True)
class Source:
    """One place that settings come from.

    Args:
        kind: `flag`, `environment`, `.env`, `user file`, `local RunPod` or `default`.
        values: The settings it holds, by name.
        path: The file, if it is one.
    """

    kind: str
    values: Mapping[str, str]
    path: Path | None = None

    def __str__(self) -> str:
        return self.kind if self.path is None else str(self.path)


@dataclass(frozen=True)
class Setting:
    """One setting's value (None: not set anywhere) and where it came from."""

    name: str
    value: str | None
    source: Source | None

    @property
    def is_secret(self) -> bool:
        """Whether the value must never be shown."""
        return self.name in _SECRETS

    @property
    def shown(self) -> str | None:
        """The value as a person may see it: a secret keeps its kind and its last four letters."""
        if self.value is None or not self.is_secret:
            return self.value
        return f"…{self.value[-4:]}" if len(self.value) > 12 else "…"  # noqa: PLR2004 # four of a short key are too many


@dataclass(frozen=True)
class Settings:
    """All sources in order of precedence, first one wins.

    Args:
        sources: Where to look, in order.
        env_path: The dotenv file that endpoint ids are written to.
        is_local: Whether these point to the local RunPod.
    """

    sources: tuple[Source, ...]
    env_path: Path
    is_local: bool = False

    def setting(self, name: str) -> Setting:
        """Return a setting with its origin; an empty value counts as not set."""
        for source in self.sources:
            if value := source.values.get(name, "").strip():
                return Setting(name, value, source)
        return Setting(name, None, None)

    def get(self, name: str) -> str | None:
        """Return a setting's value, or None."""
        return self.setting(name).value

    @property
    def api_key(self) -> str:
        """RunPod's API key.

        Raises:
            UnauthorizedError: There is none, or it is no key.
        """
        key = self.get(API_KEY)
        if key is None:
            raise UnauthorizedError(
                "No API key.",
                hint=(
                    "Looked at: --api-key-file, RUNPOD_API_KEY, .env in this folder and above, "
                    "the user file.\n"
                    "Put RUNPOD_API_KEY=… into .env (create a key in RunPod's settings), "
                    "or try without an account:\n"
                    "  runpodctl-py submit --task text_processing --local"
                ),
            )
        if not key.isascii() or not key.isprintable() or " " in key:
            where = self.setting(API_KEY).source
            raise UnauthorizedError(
                f"The API key from {where} has characters that no key has",
                hint="Copy it again from RunPod's settings, without quotes or line breaks.",
            )
        return key

    @property
    def api_base_url(self) -> str:
        """The control plane's root, without a trailing slash."""
        return self._url(API_BASE_URL)

    @property
    def endpoint_base_url(self) -> str:
        """The job API's root, including `/v2`, without a trailing slash."""
        return self._url(ENDPOINT_BASE_URL)

    @property
    def rest_base_url(self) -> str:
        """REST v2's root, including `/v2`, without a trailing slash: the control plane's."""
        return self._url(REST_V2_URL) if self.get(REST_V2_URL) else f"{self.api_base_url}/v2"

    @property
    def output_folder(self) -> Path:
        """Where results go when no flag says otherwise."""
        return Path(self.get(OUTPUT_DIR) or DEFAULTS[OUTPUT_DIR]).expanduser()

    @property
    def ledger_path(self) -> Path:
        """Where it is written down which jobs were sent.

        A relative path in a file of settings is meant from there, or each folder would have a
        ledger of its own.
        """
        setting = self.setting(LEDGER)
        path = Path(setting.value or _default_ledger()).expanduser()
        source = setting.source
        folder = source.path.parent if source is not None and source.path else Path.cwd()
        return folder.absolute() / path

    def for_local(self, url: str, token: str) -> Settings:
        """Return the same settings, pointed at a local RunPod.

        Endpoint ids then come from flags and `.env.local` only: the ids in `.env` and in the
        environment belong to the real RunPod.
        """
        path = self.env_path.with_name(".env.local")
        local = Source(
            "local RunPod",
            {API_KEY: token, API_BASE_URL: url, ENDPOINT_BASE_URL: f"{url}/v2"},
        )
        others = tuple(
            replace(s, values={name: s.values[name] for name in kept})
            for s in self.sources
            if (kept := _ALSO_LOCAL & s.values.keys())
        )
        file = Source(".env.local", env_file.read(path), path)
        return Settings((local, file, *others), path, is_local=True)

    def _url(self, name: str) -> str:
        setting = self.setting(name)
        value = setting.value or DEFAULTS[name]
        if not _is_base_url(value):
            raise UsageError(f"{name} from {setting.source} is no http(s) URL: {value}")
        return value.rstrip("/")


def load(
    environment: Mapping[str, str],
    folder: Path,
    *,
    env_path: Path | None = None,
    api_key_file: Path | None = None,
) -> Settings:
    """Read every source once.

    Args:
        environment: The process's environment.
        folder: Where the search for `.env` starts; it goes upwards.
        env_path: A dotenv file to use instead of the nearest `.env`; it need not exist yet.
        api_key_file: A file that holds the API key and nothing else.

    Raises:
        UsageError: A file that was named, or found, cannot be read; the key's file is empty.
    """
    flags = {} if api_key_file is None else {API_KEY: _key_from(api_key_file)}
    dotenv = env_path or nearest_env_file(folder) or folder / ".env"
    user = user_file(environment)
    return Settings(
        (
            Source("flag", flags, api_key_file),
            Source("environment", environment),
            Source(".env", env_file.read(dotenv), dotenv),
            Source("user file", env_file.read(user), user),
            Source("default", {**DEFAULTS, LEDGER: str(_default_ledger())}),
        ),
        dotenv,
    )


def nearest_env_file(folder: Path) -> Path | None:
    """Return the `.env` of this folder or of the nearest one above that has one."""
    for candidate in (folder, *folder.parents):
        if (path := candidate / ".env").is_file():
            return path
    return None


def user_file(environment: Mapping[str, str]) -> Path:
    """Return where a person keeps settings for all projects: a dotenv file, like `.env`."""
    if named := environment.get("RUNPODCTL_USER_FILE"):
        return Path(named)
    from platformdirs import user_config_path

    return user_config_path("runpodctl-py") / "config.env"


def _default_ledger() -> Path:
    from platformdirs import user_data_path

    return user_data_path("runpodctl-py") / "ledger.sqlite3"


def _is_base_url(text: str) -> bool:
    """Whether it names a host, and a path can be put behind it."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    is_clean = text.isprintable() and not any(c in text for c in " ?#")
    return parts.scheme in ("http", "https") and bool(parts.hostname) and is_clean


def _key_from(path: Path) -> str:
    try:
        key = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is no text"
        raise UsageError(f"Cannot read the API key from {path}: {reason}") from exc
    if not key:
        # Falling through to the next source would use a key that nobody named.
        raise UsageError(f"Cannot read the API key from {path}: it is empty")
    return key
