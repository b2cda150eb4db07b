"""Files on a web server as a source: `https://host/path`, and `http://` where that is allowed.

The reference is one of these:

* a directory for which the server makes an index page (nginx, Apache, `python -m http.server`);
* a directory that has a `manifest.json` or a `SHA256SUMS` in it (`checksums` says how they look);
* the URL of such a file, whatever it is called; its paths are below the directory it is in.

The sizes and versions come from a `HEAD` for each file: a strong ETag, or else the time of the last
change. The bytes come by ranges, so the server must serve those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit, urlunsplit

import attrs

from nodeinit.config.parts import DownloadSettings
from nodeinit.download.manifest import Manifest, ManifestFile
from nodeinit.download.paths import check_paths, check_relative
from nodeinit.download.sources import checksums
from nodeinit.download.sources.http_index import read_index
from nodeinit.download.sources.http_range import Get, HttpRange
from nodeinit.download.sources.listing import MOST_BYTES
from nodeinit.download.sources.plain_http import check_scheme
from nodeinit.download.sources.ranges import modified_text, version_of
from nodeinit.download.sources.remembered import Memory
from nodeinit.download.sources.taxonomy import Asked
from nodeinit.download.sources.web import Answer, ask, credentials
from nodeinit.download.watch import Watch
from nodeinit.errors import PermanentError

if TYPE_CHECKING:
    from nodeinit.download.watch import ShouldStop

_ASKERS = 8
_CREDENTIALS = "a line for this server in the file that NETRC names (~/.netrc)"


@attrs.frozen
class HttpSource:
    """Serves what an index on a web server names. See the module.

    `environ` stands for this process's environment, if given.
    """

    settings: DownloadSettings = attrs.field(factory=DownloadSettings)
    environ: Mapping[str, str] | None = attrs.field(default=None, repr=False)

    def manifest(
        self,
        ref: str,
        model_id: str,
        *,
        index: Path | None = None,
        should_stop: ShouldStop | None = None,
        offline: bool = False,
    ) -> Manifest:
        """Read the index, and ask for the size and version of each file that it names.

        Raises `PermanentError` for a URL without an index (`not_found`), and as `Source` says. With
        `offline` the answer is what `index` remembers.
        """
        url = _checked(ref, self.settings)
        memory = Memory(index, url)
        if offline:
            return memory.offline(model_id)
        watch = Watch(should_stop=should_stop)
        watch.check()
        found = read_index(url, self._ask)
        base = _checked(found.base, self.settings)
        check_paths(found.paths)

        def headed(path: str) -> ManifestFile:
            watch.check()
            return self._headed(base, path)

        with ThreadPoolExecutor(_ASKERS) as pool:
            files: Sequence[ManifestFile] = list(pool.map(headed, found.paths))
        if found.sums is not None:
            files = checksums.with_sums(files, found.sums, f"the index at {url}")
        return memory.remember(Manifest(model_id, base, files))

    def open(
        self, ref: str, file: ManifestFile, offset: int = 0, length: int | None = None
    ) -> HttpRange:
        """See `Source.open`: one request, of the version that the manifest names.

        A server that serves no ranges is refused (`unsupported`), unless the whole file is asked
        for.
        """
        base = _checked(ref, self.settings).rstrip("/")
        login = credentials(base, self.environ)
        url = f"{base}/{quote(file.path)}"
        get = Get(url, login, follows=True, environ=self.environ)
        asked = _asked(base, f"read {file.path!r}")
        return HttpRange(get, file, offset, length, asked, self.settings)

    def _ask(self, url: str, action: str) -> Answer:
        return self._answer(url, _asked(url, action))

    def _answer(self, url: str, asked: Asked, method: str = "GET") -> Answer:
        login = credentials(url, self.environ)
        most = checksums.MOST_BYTES
        return ask(url, asked, self.settings, method=method, most=most, headers=login)

    def _headed(self, base: str, path: str) -> ManifestFile:
        asked = _asked(base, f"ask for {path!r}")
        url = base + quote(check_relative(path))
        given = self._answer(url, asked, method="HEAD").headers
        size = given.get("content-length", "")
        if not (size.isascii() and size.isdigit() and int(size) <= MOST_BYTES):
            raise PermanentError(asked.failed("unsupported", "the server does not say its size"))
        version = version_of(given.get("etag"), _moment(given.get("last-modified")))
        return ManifestFile(path, int(size), version=version)


def _checked(ref: str, settings: DownloadSettings) -> str:
    """The URL, if it may be used and written into a journal."""
    try:
        parts = urlsplit(ref)
        host, port, user = parts.hostname, parts.port, parts.username
    except ValueError:
        host, port, user, parts = None, None, None, urlsplit("")
    if not host:
        raise PermanentError("unsupported: the model source is not a URL of the kind https://HOST")
    where = f"{parts.scheme}://{host}{f':{port}' if port else ''}"
    if user is not None or parts.query or parts.fragment:
        raise PermanentError(
            f"auth: {where}: a password or a query does not belong in a model source, which is "
            f"written into journals; give {_CREDENTIALS} instead"
        )
    check_scheme(ref, f"the model source at {host}", settings)
    if {".", ".."} & set(parts.path.split("/")):
        raise PermanentError(f"unsafe_path: {where}: a path has no '.' and no '..'")
    return urlunsplit((parts.scheme.lower(), parts.netloc, parts.path, "", ""))


def _asked(url: str, action: str) -> Asked:
    return Asked(action, url, _CREDENTIALS)


def _moment(text: str | None) -> str | None:
    try:
        return modified_text(parsedate_to_datetime(text)) if text else None
    except ValueError:
        return None
