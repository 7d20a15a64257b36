"""From the options of a bucket to the bucket itself, with its keys from the settings.

Owns what has to be named for one, and in what words something is missing. Keys come from settings
only: a command line is for everybody's eyes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runpodctl_py import settings as settings_module
from runpodctl_py.errors import UsageError
from runpodctl_py.jobs.buckets import Access, Bucket, endpoint_trouble
from runpodctl_py.jobs.links import BUCKET_NAME

if TYPE_CHECKING:
    import httpx

    from runpodctl_py.cli import options
    from runpodctl_py.jobs.fetching import LinkFetcher
    from runpodctl_py.jobs.ledger import BucketPlace
    from runpodctl_py.settings import Settings

_HINT = (
    "Put them into .env or the environment; keys are never read from the command line.\n"
    "What is set:  runpodctl-py config show"
)


def bucket_of(asked: options.Bucket, settings: Settings) -> Bucket | None:
    """Return the bucket that was asked for; None if none was.

    Raises:
        UsageError: Something of it is missing, or cannot be a bucket's.
    """
    if asked == type(asked)():
        return None
    name = asked.bucket or settings.get(settings_module.BUCKET_NAME)
    access = access_of(settings, asked.bucket_endpoint)
    _check_all_there(name, access)
    _check_endpoint(asked, access)
    if not BUCKET_NAME.fullmatch(name or ""):
        raise UsageError(
            f"--bucket {name} is no bucket's name",
            hint="Only the name: --bucket NAME --bucket-path FOLDER",
        )
    return Bucket(
        name or "",
        access.server_url,
        access.access_id or "",
        access.access_secret or "",
        _path(asked.bucket_path),
    )


def bucket_at(place: BucketPlace, settings: Settings) -> Bucket | None:
    """Return the bucket that was asked for before, with its keys as they are set now.

    Raises:
        UsageError: They are not set (any more).
    """
    from runpodctl_py.cli import options

    asked = options.Bucket(
        bucket=place.name, bucket_endpoint=place.endpoint_url, bucket_path=place.path
    )
    return bucket_of(asked, settings)


def access_of(settings: Settings, endpoint_url: str | None = None) -> Access:
    """Return how the person's buckets are reached, as far as that is set.

    Args:
        settings: Where the keys are.
        endpoint_url: The server, if a flag or the ledger named one.
    """
    return Access(
        endpoint_url or settings.get(settings_module.BUCKET_ENDPOINT_URL),
        settings.get(settings_module.BUCKET_ACCESS_KEY_ID),
        settings.get(settings_module.BUCKET_SECRET_ACCESS_KEY),
        settings.get(settings_module.BUCKET_NAME),
    )


def link_fetcher(
    client: httpx.AsyncClient, settings: Settings, endpoint_url: str | None = None
) -> LinkFetcher:
    """Return what fetches the links of one job, from the web and from buckets.

    Args:
        client: For the web; it must carry no authorisation.
        settings: Where the buckets' keys are.
        endpoint_url: The buckets' server, if a flag or the ledger named one.
    """
    # Not before: a bucket can be judged without the HTTP client.
    from runpodctl_py.jobs.fetching import LinkFetcher

    return LinkFetcher(client, access_of(settings, endpoint_url))


def _check_all_there(name: str | None, access: Access) -> None:
    missing = [
        *([] if name else ["--bucket NAME"]),
        *([] if access.endpoint_url else [settings_module.BUCKET_ENDPOINT_URL]),
        *access.missing,
    ]
    if missing:
        *most, last = missing
        listed = f"{', '.join(most)} and {last}" if most else last
        raise UsageError(f"A worker cannot use the bucket without {listed}", hint=_HINT)


def _check_endpoint(asked: options.Bucket, access: Access) -> None:
    trouble = endpoint_trouble(access.server_url)
    if trouble is None:
        return
    named = "--bucket-endpoint" if asked.bucket_endpoint else settings_module.BUCKET_ENDPOINT_URL
    raise UsageError(
        f"{named} {trouble}", hint="For example:  https://s3.eu-central-1.amazonaws.com"
    )


def _path(asked: str | None) -> str | None:
    """Return what the objects' names are to begin with, without slashes around it."""
    path = (asked or "").strip("/")
    parts = path.split("/") if path else []
    if not path.isprintable() or any(part in {"", ".", ".."} for part in parts):
        raise UsageError(f"--bucket-path {asked} cannot be the beginning of an object's name")
    return path or None
