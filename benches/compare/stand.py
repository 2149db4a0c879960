"""Upstream, keys and tokens: what everything that is measured has in common."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

from cases import MANY, NEW
from load import each_once, h2load, request, wrk
from processes import Process, free_ports
from products import NotStarted, filled
from tokens import AUDIENCE, ISSUER, Signer

HERE = pathlib.Path(__file__).resolve().parent


class Stand:
    """Upstream, keys, tokens, and the products that run. All of it ends with the block."""

    def __init__(self, folder, proxy_cores, other_cores):
        self.folder, self.proxy_cores = folder, proxy_cores
        # nginx and Apache read as somebody else than root.
        folder.chmod(0o755)
        self.processes, self.left_out = [], []
        self.signers = {algorithm: Signer(algorithm, folder) for algorithm in ("RS256", "ES256")}
        (folder / "jwks.json").write_text(json.dumps({"keys": [signer.jwk() for signer in self.signers.values()]}))
        self.make_certificate()
        self.upstream_port, self.asked_port = free_ports(2)
        self.numbers = iter(range(1, 1 << 40))
        self.many = None
        self.other_cores = other_cores

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
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-days", "2", "-subj", "/CN=localhost", "-keyout", key, "-out", certificate]
        subprocess.run(command, check=True, capture_output=True, timeout=30)
        (self.folder / "both.pem").write_bytes(certificate.read_bytes() + key.read_bytes())

    def known(self):
        """What files of configuration may name."""
        return {
            "upstream": self.upstream_port,
            "asked": self.asked_port,
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
        answer = {"active": True, "iss": "https://opaque.test", "aud": AUDIENCE, "sub": "client", "client_id": "client"}
        answer.update(scope="messages.read", exp=int(time.time()) + 86400, token_type="Bearer")
        known = {**self.known(), "folder": folder, "body": "x" * 256, "introspection": json.dumps(answer)}
        configuration = folder / "upstream.conf"
        configuration.write_text(filled(HERE / "upstream.conf", known))
        nginx = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
        upstream = self.begin([nginx, "-c", configuration], self.other_cores, folder / "output")
        if not upstream.listens([self.upstream_port]):
            sys.exit(f"the upstream does not start: {upstream.log.read_text()}")

    def begin(self, command, cores, log):
        """Starts a process that ends with the block, at the latest."""
        process = Process(command, cores, log)
        self.processes.append(process)
        return process

    def end(self, process):
        process.end()
        self.processes.remove(process)

    def start(self, products, routes):
        running = []
        for product in products:
            missing = product.missing()
            if missing:
                self.leave_out(f"{product.name}: {missing} is not installed")
                continue
            try:
                one = product.start(self.folder, self, routes)
            except NotStarted as error:
                self.leave_out(f"{product.name}: it does not start: {error}")
                continue
            running.append(one)
        return running

    def leave_out(self, line):
        print(f"LEFT OUT: {line}", file=sys.stderr)
        self.left_out.append(line)

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

    def requests(self, case):
        """What is asked in one round."""

        def one(token):
            return request(case.path, token, b"x" * case.body, case.closes)

        if case.tokens == 0:
            return [one(self.signers[case.token].token(next(self.numbers))) for _ in range(NEW)]
        if case.tokens == MANY:
            self.many = self.many or [self.signers[case.token].token(next(self.numbers)) for _ in range(MANY)]
            return [one(token) for token in self.many]
        return [one(self.token(case.token))]

    def round(self, case, one, requests, seconds):
        began, before = time.monotonic(), one.process.cpu_seconds()
        load = self.load(case, one, requests, seconds)
        cpu, took = one.process.cpu_seconds() - before, time.monotonic() - began
        return {
            "requests_per_second": load.requests / load.seconds,
            "cpu_micros": cpu / load.requests * 1e6,
            "p50_millis": load.p50 / 1e3,
            "p99_millis": load.p99 / 1e3,
            "peak_bytes": one.process.peak_bytes(),
            "busy": cpu / min(load.seconds, took),
        }

    def load(self, case, one, requests, seconds):
        port, status = one.port(case.protocol, case.token == "opaque"), status_for(case, one)
        if case.tokens == 0:
            return each_once(port, requests, status, case.connections)
        if case.protocol in ("h2c", "h2"):
            url = f"{'http' if case.protocol == 'h2c' else 'https'}://127.0.0.1:{port}{case.path}"
            return h2load(url, self.token(case.token), case.connections, case.streams, seconds, self.folder)
        url = f"{'http' if case.protocol == 'http1' else 'https'}://127.0.0.1:{port}{case.path}"
        return wrk(url, requests, status, case.connections, seconds, self.folder)


def status_for(case, one):
    """A bare proxy lets everybody in."""
    return case.status if one.product.judges else 200
