"""Where the links of STAC documents lead, and where they may.

A document may name files below the folder of what the user named, and with ``allow_remote`` addresses at http,
https and s3. ``file://`` and other schemes are refused, and so is every host that is this machine or its private
network (localhost, 10.*, 169.254.*), unless the user named a document there: a stranger's catalogue must not
make this machine ask its neighbours.
"""

from __future__ import annotations

import ipaddress
import os
import posixpath
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from geopanoptic.errors import SceneError
from geopanoptic.scene.files.documents import LIMIT_BYTES, parse_json, read_json
from geopanoptic.scene.files.sources import ADDRESS, READ_REMOTELY, is_file, resolve, shown, without_secrets

_TIMEOUT_S = 30.0
_MOST_DOCUMENTS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A document's file or address, and what it may name: files below ``root``, addresses, private ``host``."""

    at: Path | str
    root: Path | None
    host: str | None
    allow_remote: bool

    @property
    def shown(self) -> str:
        """For messages, without secrets."""
        return shown(without_secrets(self.at) if isinstance(self.at, str) else self.at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One STAC item as its document has it, and where that document is."""

    document: dict[str, Any]
    place: Place

    @property
    def name(self) -> str:
        """Its id."""
        return shown(str(self.document.get("id", "without id")))


def place_of(source: Path | str, *, root: Path | None = None, allow_remote: bool = False) -> Place:
    """A document that the user named: a file (``root``: its folder, if not another above it) or an address."""
    if isinstance(source, str):
        return Place(at=source, root=None, host=urlsplit(source).hostname, allow_remote=allow_remote)
    path = resolve(source)
    return Place(at=path, root=root or path.parent, host=None, allow_remote=allow_remote)


def is_stac(document: Any) -> bool:
    """Whether a JSON value is an item, a collection of items, a collection or a catalogue."""
    if not isinstance(document, dict):
        return False
    features = document.get("features")
    if document.get("type") == "FeatureCollection" and isinstance(features, list):
        return bool(features) and all(is_stac(each) for each in features[:1])
    return "stac_version" in document


def items_of(place: Place) -> list[Item]:
    """The items that a document is, holds or links to, in their order.

    Raises SceneError: not STAC, no item in it, a document that cannot be read, or a link that leads where it
    may not.
    """
    items = list(_items(place))
    if not items:
        raise SceneError(
            f"{place.shown} holds no STAC item and links to none.",
            remedy="Give an item, a collection of items (FeatureCollection), or a static catalogue of them.",
        )
    return items


def target(href: str, place: Place) -> Path | str:
    """What a document's link means: a file that is there, or an address.

    Raises SceneError where it leads outside of what the user named, to the network without being allowed to, or
    to a file that is missing.
    """
    if ADDRESS.match(href):
        return _allowed(href, place)
    if isinstance(place.at, str):
        return _allowed(_joined(place.at, href), place)
    # First as it is written, so that what lies outside is not even looked for; then behind symbolic links.
    written = [place.at.parent / each for each in (href, unquote(href))]
    for each in written:
        _check_below(Path(os.path.normpath(each)), place)
    path = resolve(next(filter(is_file, written), written[0]))
    _check_below(path, place)
    return path


def _check_below(path: Path, place: Place) -> None:
    if place.root is None or not path.is_relative_to(place.root):
        raise SceneError(
            f"{place.shown} names {shown(path)}, outside of the folder {shown(place.root or '')}.",
            remedy="Give the folder or the catalogue above both, or the image files themselves.",
        )


def _items(start: Place) -> Iterator[Item]:
    waiting, seen = [start], {start.at}
    while waiting:
        place = waiting.pop()
        document = read_json(place.at) if isinstance(place.at, Path) else _fetched(place)
        if not is_stac(document):
            raise SceneError(
                f"{place.shown} is no STAC document.",
                remedy="Give a STAC item, a collection of items or a catalogue, or the image files themselves.",
            )
        if document.get("type") == "FeatureCollection":
            yield from (Item(document=each, place=place) for each in document["features"] if is_stac(each))
        elif document.get("type") == "Feature":
            yield Item(document=document, place=place)
        else:
            linked = [each for each in _linked(document, place) if each.at not in seen]
            seen.update(each.at for each in linked)
            if len(seen) > _MOST_DOCUMENTS:
                raise SceneError(
                    f"{start.shown} links to more than {_MOST_DOCUMENTS} documents.",
                    remedy="Give the catalogue of one place and season.",
                )
            waiting += reversed(linked)


def _linked(document: dict[str, Any], place: Place) -> Iterator[Place]:
    links = document.get("links")
    for link in links if isinstance(links, list) else ():
        if (
            isinstance(link, dict)
            and link.get("rel") in ("item", "child")
            and isinstance(link.get("href"), str)
        ):
            yield replace(place, at=target(link["href"], place))


def _joined(address: str, href: str) -> str:
    # The standard library does not join addresses of s3.
    if not address.startswith("s3://"):
        return urljoin(address, href)
    bucket, _, key = address.removeprefix("s3://").partition("/")
    return f"s3://{bucket}/{posixpath.normpath(posixpath.join(posixpath.dirname(key), href))}"


def _allowed(address: str, place: Place) -> str:
    name = shown(without_secrets(address))
    if not READ_REMOTELY.match(address):
        raise SceneError(
            f"{place.shown} names {name}, which is not at an http, https or s3 address.",
            remedy="Name files relative to the document.",
        )
    if not place.allow_remote:
        raise SceneError(
            f"{place.shown} names {name}; nothing is read from the network unless that is allowed.",
            remedy="Allow it with --allow-remote (allow_remote=True), or download the files.",
        )
    host = urlsplit(address).hostname or ""
    if not address.startswith("s3://") and host != place.host and _is_private(host):
        raise SceneError(
            f"{place.shown} names {name}, an address of this machine or its private network.",
            remedy="Download the files, or name them relative to the document.",
        )
    return address


def _is_private(host: str) -> bool:
    """Whether a host's name stands for an address that is not public; False where it stands for none."""
    try:
        found = socket.getaddrinfo(host, None)
    except (OSError, UnicodeError):
        return False
    return any(not ipaddress.ip_address(str(each[4][0]).partition("%")[0]).is_global for each in found)


class _Redirected(HTTPRedirectHandler):
    """Follows a server's redirection only to where a link may lead."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        _allowed(newurl, self.place)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _fetched(place: Place) -> Any:
    address = str(place.at)
    try:
        with build_opener(_Redirected(place)).open(Request(address), timeout=_TIMEOUT_S) as answer:
            text = answer.read(LIMIT_BYTES + 1)
    except HTTPError as error:
        error.close()
        raise SceneError(
            f"{place.shown} cannot be fetched: the server answers {error.code}.", remedy="Check the address."
        ) from None
    except (OSError, ValueError, HTTPException) as error:
        raise SceneError(
            f"{place.shown} cannot be fetched ({type(error).__name__}).",
            remedy="Check the address and the connection; documents are read at http and https addresses.",
        ) from None
    if len(text) > LIMIT_BYTES:
        raise SceneError(
            f"{place.shown} is larger than {LIMIT_BYTES >> 20} MB.", remedy="Give a smaller one."
        )
    return parse_json(text, without_secrets(address))
