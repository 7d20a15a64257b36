"""Fetching whatever an output links to: from the web, or from the person's buckets.

Owns which of the two a link is for, and that both count on one allowance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runpodctl_py.jobs.allowance import Allowance
from runpodctl_py.jobs.bucket_download import BucketFetcher
from runpodctl_py.jobs.download import Downloader
from runpodctl_py.jobs.links import read_s3_link

if TYPE_CHECKING:
    import httpx

    from runpodctl_py.jobs.buckets import Access
    from runpodctl_py.jobs.save import Fetched, Sink


class LinkFetcher:
    """Fetches the links of one job, http, https and s3.

    Args:
        client: For the web; it must carry no authorisation.
        access: How the person's buckets are reached.
        allowance: How much the job's links may bring; a new one by itself.
    """

    def __init__(
        self, client: httpx.AsyncClient, access: Access, *, allowance: Allowance | None = None
    ) -> None:
        shared = allowance or Allowance()
        self._web = Downloader(client, allowance=shared)
        self._buckets = BucketFetcher(access, allowance=shared)

    async def fetch(self, url: str, sink: Sink) -> Fetched:
        """Write the whole content of a link to a sink.

        Raises:
            RunpodctlError: As `Downloader` and `BucketFetcher` say.
            OSError: The sink cannot take it.
        """
        fetcher = self._web if read_s3_link(url) is None else self._buckets
        return await fetcher.fetch(url, sink)
