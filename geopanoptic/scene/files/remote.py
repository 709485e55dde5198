"""Cloud-optimised GeoTIFFs read over http, https and s3, by GDAL's ``/vsicurl`` and ``/vsis3``.

Only what is asked for travels: the header when a scene is opened, then the file's blocks under each window.
GDAL repeats requests that fail for a while (429, 5xx, lost connections) with growing pauses. An address may
hold secrets (user, password, a signed query): it is kept for requests alone, and messages, records and a
scene's identity hold the address without them.

The driver is always GTiff and no side file is looked for, so nothing but the named file is asked for.
"""

from __future__ import annotations

import base64
import http.client
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import Request, urlopen

from geopanoptic.errors import SceneError
from geopanoptic.scene.files.sources import shown, without_secrets

_OPTIONS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_MAX_RETRY": "5",
    "GDAL_HTTP_RETRY_DELAY": "1",
    "GDAL_HTTP_CONNECTTIMEOUT": "20",
    "GDAL_HTTP_LOW_SPEED_LIMIT": "100",
    "GDAL_HTTP_LOW_SPEED_TIME": "30",
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",
}
"""Six tries over about a minute; a connection that brings less than 100 bytes/s for 30 s counts as lost."""
_ASK_TIMEOUT_S = 20.0
_REFUSALS = {
    401: "asks for credentials (401)",
    403: "refuses access (403)",
    404: "has no such file (404)",
    410: "has no such file any more (410)",
}
_REMEDIES = {
    401: "Give credentials in the address or by GDAL's own settings (GDAL_HTTP_USERPWD, GDAL_HTTP_BEARER).",
    403: "Check the permissions; a signed address may have expired: make a new one and run again.",
    404: "Check the address.",
    410: "Check the address.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """One remote GeoTIFF: ``address`` without secrets, ``url`` with them (neither shown nor compared).

    ``size_bytes`` 0 and ``version`` empty: the server did not tell.
    """

    address: str
    url: str = field(repr=False, compare=False)
    name: str
    size_bytes: int
    version: str
    driver: str = "GTiff"

    @property
    def path(self) -> str:
        """What messages and records show."""
        return self.address

    @property
    def opened_as(self) -> str:
        """What GDAL opens; holds the secrets."""
        if self.url.startswith("s3://"):
            return "/vsis3/" + self.url.removeprefix("s3://")
        return "/vsicurl/" + self.url

    @property
    def parts(self) -> tuple[str, ...]:
        """The host, the names of the folders and of the file."""
        return tuple(part for part in self.address.partition("://")[2].split("/") if part)

    def has_changed(self) -> bool:
        """True where the server now tells another size or version, or that the file is gone.

        A server that does not answer, or does not tell, is taken to hold the same file.
        """
        answer = _ask(self.url)
        if answer.status in (404, 410):
            return True
        now, then = (answer.size_bytes, answer.version), (self.size_bytes, self.version)
        return any(new and old and new != old for new, old in zip(now, then, strict=True))

    def redacted(self, text: str) -> str:
        """A text of GDAL's without this file's secrets."""
        secrets = urlsplit(self.url)
        text = text.replace(self.opened_as, self.address).replace(self.url, self.address)
        for secret in (secrets.query, secrets.fragment, secrets.password):
            text = text.replace(secret, "...") if secret else text
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """``status`` 0: no answer was asked for (s3) or none came."""

    status: int = 0
    size_bytes: int = 0
    version: str = ""


def remote_file(url: str) -> RemoteFile:
    """The remote file as the server describes it now; what it does not tell stays empty."""
    answer = _ask(url)
    address = without_secrets(url)
    return RemoteFile(
        address=address,
        url=url,
        name=unquote(address.rpartition("/")[2]) or address,
        size_bytes=answer.size_bytes,
        version=answer.version,
    )


def gdal_options() -> Mapping[str, str]:
    """GDAL's settings for remote reading; what the user has set in the environment stays."""
    return {name: value for name, value in _OPTIONS.items() if name not in os.environ}


def refusal(file: RemoteFile, reason: str) -> SceneError | None:
    """Why a remote file cannot be opened or read, if the server says so; None where it would give it.

    ``reason`` is GDAL's text.
    """
    answer = _ask(file.url)
    name = shown(file.address)
    if answer.status in _REFUSALS:
        return SceneError(f"{name}: the server {_REFUSALS[answer.status]}.", remedy=_REMEDIES[answer.status])
    if answer.status == http.client.OK:
        return SceneError(
            f"{name}: the server gives whole files only, no parts of them (byte ranges).",
            remedy="Download it and give the local path.",
        )
    if answer.status == http.client.PARTIAL_CONTENT:
        return None
    said = f"the server answers {answer.status}" if answer.status else "no answer came"
    return SceneError(
        f"{name} cannot be fetched: {said} ({file.redacted(reason)})",
        remedy="Check the address and the connection, and run again.",
    )


def _ask(url: str) -> _Answer:
    """Asks for the first byte: its answer tells status, size and version. One try, s3 is not asked."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        return _Answer()
    bare = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, parts.query, ""))
    headers = {"Range": "bytes=0-0"}
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        headers["Authorization"] = "Basic " + base64.b64encode(login).decode()
    try:
        with urlopen(Request(bare, headers=headers), timeout=_ASK_TIMEOUT_S) as answer:
            size = answer.headers.get("Content-Range", "").rpartition("/")[2]
            return _Answer(
                status=answer.status,
                size_bytes=int(size) if size.isdigit() else 0,
                version=answer.headers.get("ETag") or answer.headers.get("Last-Modified") or "",
            )
    except HTTPError as error:
        error.close()
        return _Answer(status=error.code)
    except (OSError, ValueError, http.client.HTTPException):
        return _Answer()
