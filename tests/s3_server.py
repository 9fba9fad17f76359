"""A server that speaks S3's protocol, in this process, for tests of object stores."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

ANYBODY = "anybody"
"""Key and secret alike: the server lets everybody in."""


@dataclass(frozen=True)
class S3Server:
    """The server's address and a client of its own, apart from what is tested."""

    endpoint: str
    client: Any

    @property
    def environment(self) -> Mapping[str, str]:
        """What leads programs to it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": ANYBODY,
            "AWS_SECRET_ACCESS_KEY": ANYBODY,
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def put(self, bucket: str, **files: bytes) -> None:
        for name, content in files.items():
            self.client.put_object(Bucket=bucket, Key=name, Body=content)


@contextmanager
def running_s3() -> Iterator[S3Server]:
    """A server on a free port while the block runs."""
    import logging

    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id=ANYBODY,
            aws_secret_access_key=ANYBODY,
        )
        yield S3Server(endpoint, client)
    finally:
        server.stop()
