"""libtorrent, as a swarm within one cluster needs it.

Every setting here was found to be necessary, or keeps the swarm private to its members.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from nodeinit.download.swarm.torrents import libtorrent, parsed
from nodeinit.download.swarm.words import Endpoint

log = logging.getLogger(__name__)

_LISTENING = 5.0  # seconds for a port to be opened
_QUEUED = 32 * 1024 * 1024  # bytes that may wait to be written


def why_not() -> str:
    """Why this process cannot take part in a swarm; empty when it can."""
    try:
        libtorrent()
    except ImportError as error:
        return f"libtorrent cannot be imported ({error}); install nodeinit[swarm]"
    return ""


class Session:
    """A libtorrent session on one address, that talks to nobody but the peers it is given."""

    def __init__(self, address: str) -> None:
        """Open a port on `address`. Raises `OSError` when that is refused."""
        self._lt = lt = libtorrent()
        host = f"[{address}]" if ":" in address else address
        self._session = lt.session(_settings(host, lt))
        self._allowed: frozenset[str] = frozenset()
        self.allow(())
        self.port = self._listen(address)

    def allow(self, peers: Iterable[Endpoint]) -> None:
        """Let only these connect, and be connected to. Addresses: a port of theirs is not known."""
        addresses = frozenset(address for address, _ in peers)
        if addresses == self._allowed and self._allowed:
            return
        self._allowed = addresses
        rules = self._lt.ip_filter()
        rules.add_rule("0.0.0.0", "255.255.255.255", 1)
        rules.add_rule("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 1)
        for address in addresses:
            rules.add_rule(address, address, 0)
        self._session.set_ip_filter(rules)

    def add(self, torrent: bytes, folder: Path, *, seed: bool) -> Any:
        """Take part in a torrent whose file is, or will be, in `folder`; answers its handle.

        With `seed` the file is there and was verified: it is not read before it is asked for.
        """
        params = self._lt.add_torrent_params()
        params.ti = parsed(torrent)
        params.save_path = str(folder)
        params.storage_mode = self._lt.storage_mode_t.storage_mode_sparse
        params.flags = self._lt.torrent_flags.apply_ip_filter
        params.flags |= self._lt.torrent_flags.disable_dht | self._lt.torrent_flags.disable_lsd
        params.flags |= self._lt.torrent_flags.disable_pex
        if seed:
            params.flags |= self._lt.torrent_flags.seed_mode
        return self._session.add_torrent(params)

    def remove(self, handle: Any) -> None:
        """Take no more part in a torrent; its file stays."""
        self._session.remove_torrent(handle)

    def flushed(self) -> Iterator[Any]:
        """The handles of which all that came is written now, since this was asked last."""
        for alert in self._session.pop_alerts():
            if isinstance(alert, self._lt.cache_flushed_alert):
                yield alert.handle
            elif isinstance(alert, self._lt.file_error_alert | self._lt.torrent_error_alert):
                log.warning("swarm: %s", alert.message())

    def close(self) -> None:
        """End the session; returns when its threads have ended."""
        self._session.pause()
        del self._session

    def _listen(self, address: str) -> int:
        refused = "nothing was said"
        for _ in range(int(_LISTENING / 0.1)):
            self._session.wait_for_alert(100)
            for alert in self._session.pop_alerts():
                if isinstance(alert, self._lt.listen_succeeded_alert):
                    return int(alert.port)
                if isinstance(alert, self._lt.listen_failed_alert):
                    refused = alert.message()
                    break
        raise OSError(f"no port can be opened on {address}: {refused}")


def _settings(host: str, lt: Any) -> dict[str, Any]:
    return {
        # Private: nobody is asked, nobody is told, no router is changed.
        "enable_dht": False,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "listen_interfaces": f"{host}:0",
        # From the address that the others were told of: they refuse any other.
        "outgoing_interfaces": host,
        "user_agent": "nodeinit",
        # Over TCP alone: uTP yields to other traffic, and is slow where there is none.
        "enable_incoming_utp": False,
        "enable_outgoing_utp": False,
        # All hosts are served at once, and several may be behind one address.
        "unchoke_slots_limit": -1,
        "allow_multiple_connections_per_ip": True,
        # A peer that does not know a torrent yet refuses: asked again after 1 s, not 60.
        "min_reconnect_time": 1,
        "torrent_connect_boost": 255,
        "connection_speed": 200,
        "peer_connect_timeout": 5,
        "max_failcount": 1_000_000,
        "smooth_connects": False,
        "connections_limit": 400,
        "listen_queue_size": 100,
        "active_limit": -1,
        "rate_limit_ip_overhead": False,
        # Bounded memory, whatever the size of the model.
        "max_queued_disk_bytes": _QUEUED,
        "send_buffer_watermark": 2 * 1024 * 1024,
        "max_out_request_queue": 500,
        "aio_threads": 4,
        "hashing_threads": 1,
        "file_pool_size": 100,
        "alert_mask": lt.alert_category.status
        | lt.alert_category.error
        | lt.alert_category.storage,
    }
