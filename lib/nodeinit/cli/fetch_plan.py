"""What a fetch would do, as a value: for the lines before it begins, for `--dry-run` and `--json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from nodeinit.amounts import size
from nodeinit.cli.fetch_subject import Subject
from nodeinit.cli.names import HostNames
from nodeinit.download.looking import Look
from nodeinit.download.manifest import Manifest, ManifestFile, total_size
from nodeinit.download.sources import shown
from nodeinit.download.store import published_path


@attrs.frozen
class FetchPlan:
    """The files of a mode, the hosts that they go to, and what each of them has already."""

    subject: Subject
    manifest: Manifest
    hosts: tuple[str, ...]
    names: HostNames
    looks: Mapping[str, Look]

    @property
    def files(self) -> tuple[ManifestFile, ...]:
        """What the mode covers."""
        return self.manifest.select(self.subject.mode)

    @property
    def bytes(self) -> int:
        """What one host needs."""
        return total_size(self.files)

    @property
    def path(self) -> str:
        """Where the model will be, on every host."""
        return str(published_path(self.subject.config.nodeinit.store, self.manifest))

    def lines(self, *, files: bool) -> Iterator[str]:
        """The plan for people; with `files` each file is listed."""
        if files:
            width = max((len(file.path) for file in self.files), default=0)
            for file in self.files:
                yield f"  {file.path:{width}}  {size(file.size):>8}  {known_by(file)}"
        yield (
            f"{self.manifest.model_id}, revision {self.manifest.revision}, "
            f"from {shown(self.manifest.source)}"
        )
        count = "1 file" if len(self.files) == 1 else f"{len(self.files)} files"
        yield (
            f"{count}, {size(self.bytes)} for {self.subject.mode} to {self.path}, "
            f"strategy {self.subject.strategy}"
        )
        for extra in self.manifest.extras:
            yield f"and {size(extra.manifest.size)} to {extra.destination}"
        for host in self.hosts:
            yield self._host_line(host)

    def to_dict(self) -> dict[str, Any]:
        """The plan for programs: sizes in bytes."""
        return {
            "model_id": self.manifest.model_id,
            "source": shown(self.manifest.source),
            "revision": self.manifest.revision,
            "mode": str(self.subject.mode),
            "path": self.path,
            "strategy": self.subject.strategy,
            "bytes": self.bytes,
            "files": [
                {"path": file.path, "bytes": file.size, "known_by": known_by(file)}
                for file in self.files
            ],
            "hosts": {
                host: attrs.asdict(self.looks[host]) if host in self.looks else None
                for host in self.hosts
            },
        }

    def _host_line(self, host: str) -> str:
        name = "" if self.subject.hosts is None else f"{self.names[host]}: "
        look = self.looks.get(host)
        if look is None:
            return f"{name}did not say what it has"
        staged = f" and {size(look.staged)} staged" if look.staged else ""
        return f"{name}{size(look.present)} here already{staged}, {size(look.free)} free"


def known_by(file: ManifestFile) -> str:
    """How the bytes of a file will be known to be right."""
    if file.sha256:
        return "sha256"
    if file.digest:
        return file.digest.partition(":")[0]
    return "recorded when it first comes" if file.version else "size only"
