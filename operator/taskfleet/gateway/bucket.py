"""One bucket of S3-compatible storage, or a part of it: objects by their names. Blocking: for threads."""

import contextlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from taskfleet.core.errors import InputError, StoreError

SCHEME = "s3://"
_LIMITS: Any = {"connect_timeout": "5s", "timeout": "30s", "allow_http": True}
_RETRIES: Any = {"max_retries": 3, "retry_timeout": timedelta(seconds=30)}
_WHY = {
    "NoSuchBucket": "there is no such bucket",
    "InvalidAccessKeyId": "the access key is not known there; see AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "the secret of the access key is wrong; see AWS_SECRET_ACCESS_KEY",
    "AccessDenied": "the access key may not read and write there",
    "Missing region": "its region is not known; set AWS_REGION",
}


class Bucket:
    """``url`` is ``s3://BUCKET/PREFIX``; endpoint, region and keys are in the environment, as AWS's tools have them.

    A name that is not there is a FileNotFoundError, all other trouble a StoreError.
    """

    def __init__(self, url: str) -> None:
        """Raises InputError when nothing can be written there now."""
        try:
            import obstore
            from obstore.store import S3Store
        except ImportError:
            raise InputError(f"files: {url} needs the package obstore; install taskfleet[s3]") from None
        place = urlsplit(url)
        if not place.netloc:
            raise InputError(f"files: {url!r} names no bucket; write s3://BUCKET or s3://BUCKET/PREFIX")
        self._url = url
        self._obstore: Any = obstore
        self._trouble: type[Exception] = obstore.exceptions.BaseError
        try:
            self._store = S3Store(
                place.netloc, prefix=place.path.strip("/") or None, client_options=_LIMITS, retry_config=_RETRIES
            )
            self.put("taskfleet-was-here", b"")
        except (StoreError, FileNotFoundError, self._trouble) as error:
            raise InputError(f"files: {url} cannot be used: {_why(error)}") from error

    def put(self, name: str, data: bytes) -> None:
        with self._told():
            self._obstore.put(self._store, name, data)

    def get(self, name: str) -> bytes:
        with self._told():
            return bytes(self._obstore.get(self._store, name).bytes())

    def copy(self, name: str, to: str) -> None:
        """Inside the storage: nothing of it comes here."""
        with self._told():
            self._obstore.copy(self._store, name, to)

    def delete(self, names: list[str]) -> None:
        """Also of those that are not there."""
        for name in names:  # one by one: not every storage has a call for many, or means the same by it
            with self._told(), contextlib.suppress(FileNotFoundError):
                self._obstore.delete(self._store, name)

    def under(self, folder: str) -> dict[str, int]:
        """Names below a folder, in order, with their sizes in bytes."""
        with self._told():
            pages = self._obstore.list(self._store, prefix=folder)
            return dict(sorted((each["path"], each["size"]) for page in pages for each in page))

    def top(self) -> list[str]:
        """Names that are in no folder."""
        with self._told():
            return [each["path"] for each in self._obstore.list_with_delimiter(self._store)["objects"]]

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise StoreError(f"files: {self._url}: {_why(error)}") from error
            raise
        except self._trouble as error:
            raise StoreError(f"files: {self._url}: {_why(error)}") from error


def _why(error: Exception) -> str:
    text = str(error)
    return next((words for mark, words in _WHY.items() if mark in text), text.splitlines()[0])
