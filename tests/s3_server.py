"""An S3 server for tests: moto's, in a thread, with a bucket and a key of its own.

Owns the server and what is in it. Its bucket is called `files`; the key opens everything.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import requests
from moto.server import ThreadedMotoServer

if TYPE_CHECKING:
    from collections.abc import Iterator

BUCKET = "files"
_POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
}


@dataclass(frozen=True)
class S3Server:
    """A running server.

    Attributes:
        url: Where it answers.
        access_id: The id of a key that opens everything.
        access_secret: The key's secret.
    """

    url: str
    access_id: str
    access_secret: str

    def put(self, key: str, content: bytes, **headers: str) -> None:
        """Put an object into the bucket."""
        with self._client("s3") as client:
            client.put_object(Bucket=BUCKET, Key=key, Body=content, **headers)

    def names(self) -> list[str]:
        """Return the names of what is in the bucket."""
        with self._client("s3") as client:
            return [each["Key"] for each in client.list_objects_v2(Bucket=BUCKET)["Contents"]]

    def variables(self) -> dict[str, str]:
        """Return the settings that lead to it."""
        return {
            "BUCKET_ENDPOINT_URL": self.url,
            "BUCKET_ACCESS_KEY_ID": self.access_id,
            "BUCKET_SECRET_ACCESS_KEY": self.access_secret,
        }

    @contextlib.contextmanager
    def checking_keys(self) -> Iterator[None]:
        """Have it refuse keys that it has not given out, for as long as the block runs."""
        requests.post(f"{self.url}/moto-api/reset-auth", data="0", timeout=10)
        try:
            yield
        finally:
            requests.post(f"{self.url}/moto-api/reset-auth", data="inf", timeout=10)

    @contextlib.contextmanager
    def _client(self, service: str) -> Iterator[Any]:
        with contextlib.closing(
            _client(service, self.url, self.access_id, self.access_secret)
        ) as it:
            yield it


@contextlib.contextmanager
def running_s3_server() -> Iterator[S3Server]:
    """Run a server with an empty bucket."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        with contextlib.closing(_client("iam", url, "id", "hush")) as accounts:
            accounts.create_user(UserName="person")
            accounts.put_user_policy(
                UserName="person", PolicyName="all", PolicyDocument=json.dumps(_POLICY)
            )
            key = accounts.create_access_key(UserName="person")["AccessKey"]
        running = S3Server(url, key["AccessKeyId"], key["SecretAccessKey"])
        with running._client("s3") as client:
            client.create_bucket(Bucket=BUCKET)
        yield running
    finally:
        server.stop()


def _client(service: str, url: str, access_id: str, access_secret: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=access_id,
        aws_secret_access_key=access_secret,
    )
