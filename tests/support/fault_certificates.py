"""Certificates that are good, expired, or in another name, for servers on loopback."""

import datetime as dt
import ssl
from pathlib import Path

import trustme
from support.raw_server import RawServer


class Authority:
    """Signs certificates and keeps them in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ca = trustme.CA()
        self.bundle = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(self.bundle)

    def context(self) -> ssl.SSLContext:
        """Return a context that trusts this authority."""
        return ssl.create_default_context(cafile=str(self.bundle))

    def server(self, name: str = "127.0.0.1", *, is_expired: bool = False) -> RawServer:
        """Start a server with a certificate for a name or an address."""
        yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
        leaf = self._ca.issue_cert(name, not_after=yesterday if is_expired else None)
        stem = f"{name}-{is_expired}"
        key, chain = self.folder / f"{stem}-key.pem", self.folder / f"{stem}.pem"
        leaf.private_key_pem.write_to_path(key)
        for number, blob in enumerate(leaf.cert_chain_pems):
            blob.write_to_path(chain, append=number > 0)
        return RawServer(tls=(str(chain), str(key)))
