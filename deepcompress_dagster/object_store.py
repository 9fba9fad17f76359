"""Object stores: addresses such as ``s3://bucket/prefix``, opened, and their errors in one line.

Amazon S3 and what speaks its protocol, Google Cloud Storage and Azure Blob Storage, through the
library obstore. Credentials and endpoints come from the environment, as the clouds' own clients
take them: ``AWS_*``, ``GOOGLE_*``, ``AZURE_*``.

Not here: what is read from a store (orchestration/inbox) and what is written to one (export/).
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore

EXTRAS = {"s3": "s3", "gs": "gs", "az": "az"}
"""The extra that brings what an address with this scheme needs."""

_CONNECT_TIMEOUT_S = 5
_TIMEOUT_S = 60
_RETRIES = 3
_RETRY_TIMEOUT_S = 20
"""A store that cannot be reached is given up after some seconds: a tick of the sensor has 60."""


_LISTED_TOGETHER = 1000
"""Objects that one answer of a store lists; S3 gives no more."""


class ObjectStoreError(RuntimeError):
    """A store cannot be read or written; the message names the address and says what to do."""


class _MissingError(ObjectStoreError):
    """There is no such object."""


def is_address(text: str) -> bool:
    """Whether ``text`` names a place in an object store, and not a folder."""
    return "://" in text


def check_address(text: str) -> str:
    """``text`` without a slash at its end. Raises ValueError for an address of no known store."""
    parts = urlsplit(text)
    if parts.scheme not in EXTRAS:
        known = ", ".join(f"{scheme}://" for scheme in EXTRAS)
        raise ValueError(f"{text}: addresses begin with {known}; anything else is a folder")
    if not parts.netloc:
        raise ValueError(f"{text}: write {parts.scheme}://BUCKET or {parts.scheme}://BUCKET/PREFIX")
    return text.rstrip("/")


@dataclass(frozen=True, slots=True)
class Object:
    """An object: its path below the prefix, and what tells whether it is the one seen before."""

    path: str
    bytes: int
    mtime_ns: int
    version: str


class Bucket:
    """What lies below an address. Every method raises ObjectStoreError."""

    def __init__(self, address: str) -> None:
        """Nothing is asked of the store yet. Raises ObjectStoreError where its library is not
        installed or told too little, and ValueError as ``check_address``."""
        self.address = check_address(address)
        with self._errors():
            self._store = _store(self.address)

    def list(self, after: str = "") -> Iterator[Object]:
        """The objects behind the path ``after``, in the order of their paths."""
        with self._errors():
            pages = self._store.list(offset=after or None, chunk_size=_LISTED_TOGETHER)
            for found in (entry for page in pages for entry in page):
                yield _object(found)

    def find(self, path: str) -> Object | None:
        """The object at a path; None where there is none."""
        try:
            with self._errors():
                return _object(self._store.head(path))
        except _MissingError:
            return None

    def read(self, path: str) -> bytes | None:
        """The content of an object; None where there is none."""
        try:
            with self._errors():
                return bytes(self._store.get(path).bytes())
        except _MissingError:
            return None

    def fetch(self, path: str, target: Path) -> None:
        """Write the content of an object to a file, piece by piece. Raises OSError as well."""
        with self._errors():
            pieces = iter(self._store.get(path))
        with target.open("wb") as file:
            while (piece := self._next(pieces)) is not None:
                file.write(piece)

    def write(self, path: str, content: bytes) -> None:
        """Make an object or replace it; it appears when all of it has arrived."""
        with self._errors():
            self._store.put(path, content)

    def remove(self, path: str) -> None:
        """Delete an object, if it is there."""
        with suppress(_MissingError), self._errors():
            self._store.delete(path)

    def _next(self, pieces: Iterator[bytes]) -> bytes | None:
        with self._errors():
            return next(pieces, None)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """What the store says while the block runs, as one line that names the address."""
        try:
            yield
        except ObjectStoreError:
            raise
        except Exception as error:
            from obstore.exceptions import BaseError, NotFoundError

            if not isinstance(error, (BaseError, FileNotFoundError)):
                raise
            is_missing = isinstance(error, (NotFoundError, FileNotFoundError))
            kind = _MissingError if is_missing and _NO_BUCKET not in str(error) else None
            raise (kind or ObjectStoreError)(f"{self.address}: {_reason(error)}") from error


def _object(found: "ObjectMeta") -> Object:
    return Object(
        path=found["path"],
        bytes=found["size"],
        mtime_ns=round(found["last_modified"].timestamp() * 1e6) * 1000,
        version=found["version"] or found["e_tag"] or "",
    )


def _store(address: str) -> "ObjectStore":
    scheme = urlsplit(address).scheme
    try:
        from obstore.store import from_url

        options: dict[str, Any] = _aws_credentials(address) if scheme == "s3" else {}
    except ModuleNotFoundError as error:
        raise ObjectStoreError(
            f"{address}: {str(error.name).split('.')[0]} is not installed:"
            f" pip install 'deepcompress-dagster[{EXTRAS[scheme]}]'"
        ) from error
    return from_url(
        address,
        client_options={
            "connect_timeout": timedelta(seconds=_CONNECT_TIMEOUT_S),
            "timeout": timedelta(seconds=_TIMEOUT_S),
            "allow_http": True,  # where the endpoint that somebody set says http
        },
        retry_config={
            "max_retries": _RETRIES,
            "retry_timeout": timedelta(seconds=_RETRY_TIMEOUT_S),
        },
        **options,
    )


def _aws_credentials(address: str) -> dict[str, Any]:
    """Those of variables, profiles, roles and single sign-on; obstore knows only some of them.

    Raises ObjectStoreError where there are none, unless the environment says to do without.
    """
    import boto3
    from botocore.exceptions import BotoCoreError
    from obstore.auth.boto3 import Boto3CredentialProvider

    if os.environ.get(_UNSIGNED, "").lower() in ("1", "true"):
        return {}
    try:
        session = boto3.Session()
        if session.get_credentials() is not None:
            return {"credential_provider": Boto3CredentialProvider(session)}
    except BotoCoreError as error:
        raise ObjectStoreError(f"{address}: the credentials cannot be had: {error}") from error
    raise ObjectStoreError(
        f"{address}: there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or"
        f" AWS_PROFILE; {_UNSIGNED}=true for a bucket that is open to all"
    )


_UNSIGNED = "AWS_SKIP_SIGNATURE"
_NO_BUCKET = "NoSuchBucket"

_ADVICE = {
    _NO_BUCKET: "there is no such bucket; check its name and the endpoint",
    "NoSuchKey": "it is not there any more",
    "InvalidAccessKeyId": "these credentials are not known there; check them",
    "SignatureDoesNotMatch": "the secret does not fit the key id; check the credentials",
    "ExpiredToken": "the credentials have expired; renew them",
    "AccessDenied": "these credentials may not do that; give them access, or check them",
    "PermissionDenied": "these credentials may not do that; give them access, or check them",
    "Unauthenticated": "credentials are missing or wrong; set those of the store",
    "MissingAccount": "set AZURE_STORAGE_ACCOUNT_NAME",
    "Connect": "the store cannot be reached; check the endpoint and the network",
    "TokenRequest": "credentials are missing or wrong; set those of the store",
    "InstanceCredentials": "credentials are missing; set those of the store",
}
"""What is said to what a store or obstore calls an error; the first that occurs counts."""

_CODE = re.compile(r"<Code>(\w+)</Code>")


def _reason(error: Exception) -> str:
    """What went wrong, and what to do, without the library's own trace of it."""
    told = str(error)
    code = _CODE.search(told)
    if code and code[1] in _ADVICE:
        return _ADVICE[code[1]]
    for name, advice in _ADVICE.items():
        if re.search(rf"\b{name}\b", f"{type(error).__name__.removesuffix('Error')} {told}"):
            return advice
    summary = told.split("Debug source:")[0]
    return " ".join(summary.split()) or type(error).__name__
