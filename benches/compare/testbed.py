"""The upstream, keys and tokens that all measurements share."""

import json
import os
import pathlib
import shutil
import sys
import time

from processes import Process, free_ports, make_certificate
from products import filled
from tokens import AUDIENCE, ISSUER, Signer

HERE = pathlib.Path(__file__).resolve().parent
# The tools of every measurement. Debian installs servers in /usr/sbin, outside the usual PATH.
TOOLS = ("nginx", "wrk", "h2load", "taskset", "openssl")


def missing_tool():
    """The first of TOOLS that is not installed, if any."""
    return next((tool for tool in TOOLS if not shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin")), None)


class TestBed:
    """Upstream, keys, tokens, and running products. All processes stop at the end of the block."""

    def __init__(self, folder, proxy_cores, other_cores):
        self.folder, self.proxy_cores, self.other_cores = folder, proxy_cores, other_cores
        # nginx and Apache read the folder as an unprivileged user.
        folder.chmod(0o755)
        self.processes = []
        self.signers = {algorithm: Signer(algorithm, folder) for algorithm in ("RS256", "ES256")}
        (folder / "jwks.json").write_text(json.dumps({"keys": [signer.jwk() for signer in self.signers.values()]}))
        self.make_certificate()
        self.upstream_port, self.introspection_port = free_ports(2)

    def __enter__(self):
        try:
            self.start_upstream()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.end()

    def make_certificate(self):
        key, certificate = self.folder / "key.pem", self.folder / "cert.pem"
        make_certificate(key, certificate)
        (self.folder / "both.pem").write_bytes(certificate.read_bytes() + key.read_bytes())

    def known(self):
        """The values for @name@ in configuration files."""
        return {
            "upstream": self.upstream_port,
            "endpoint": self.introspection_port,
            "certificate": self.folder / "cert.pem",
            "key": self.folder / "key.pem",
            "both": self.folder / "both.pem",
            "jwks": self.folder / "jwks.json",
            "rs256": self.signers["RS256"].public,
            "es256": self.signers["ES256"].public,
            "issuer": ISSUER,
            "audience": AUDIENCE,
        }

    def start_upstream(self):
        folder = self.folder / "upstream"
        (folder / "files").mkdir(parents=True)
        (folder / "files/1k").write_bytes(b"x" * (1 << 10))
        (folder / "files/1m").write_bytes(b"x" * (1 << 20))
        response = {"active": True, "iss": "https://opaque.test", "aud": AUDIENCE, "sub": "client", "client_id": "client"}
        response.update(scope="messages.read", exp=int(time.time()) + 86400, token_type="Bearer")
        known = {**self.known(), "folder": folder, "body": "x" * 256, "introspection": json.dumps(response)}
        configuration = folder / "upstream.conf"
        configuration.write_text(filled(HERE / "upstream.conf", known))
        nginx = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
        upstream = self.begin([nginx, "-c", configuration], self.other_cores, folder / "output")
        if not upstream.listens([self.upstream_port]):
            sys.exit(f"the upstream failed to start: {upstream.log.read_text()}")

    def begin(self, command, cores, log):
        """Starts a process that stops at the end of the block, at the latest."""
        process = Process(command, cores, log)
        self.processes.append(process)
        return process

    def end(self, process):
        process.end()
        self.processes.remove(process)

    def token(self, kind):
        match kind:
            case "none":
                return None
            case "opaque":
                return "opaque-token-of-forty-characters-or-so-1"
            case "unscoped":
                return self.signers["RS256"].token(scope="profile")
            case algorithm:
                return self.signers[algorithm].token()
