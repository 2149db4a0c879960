"""How gateways reach their server, and what they say if they do not."""

import re
import subprocess
import time

import bed
from bench import seconds

PAGE = f"{bed.ROOT}/docs/fleet.md"
PASSWORD = "fleet-test-password"


def connections(bench):
    server = bench.server("connections").start()
    server.call("ACL", "SETUSER", "scopegate", "on", f">{PASSWORD}", *documented_permissions())
    user = f'username = "scopegate"\npassword = "{PASSWORD}"'
    good = {"Unix socket": (server.unix_url, ""), "username and password": (server.url, user)}
    bad = {"a wrong password": (server.url, user.replace(PASSWORD, "wrong-password"), "Password authentication failed"),
           "a user without permissions": (server.url, user, "no permissions to run the 'xread")}
    tls = with_tls(bench, server)
    if tls:
        url, authority = tls
        good["rediss:// with tls_ca"] = (url, f'tls_ca = "{authority}"')
        good["rediss:// with tls_ca, username and password"] = (url, f'tls_ca = "{authority}"\n{user}')
        bad["an unknown CA"] = (url, f'tls_ca = "{certificate(bench, "other")[0]}"', "UnknownIssuer")
        bad["another name than that of the certificate"] = (url.replace("127.0.0.1", "localhost"), f'tls_ca = "{authority}"',
                                                            "not valid for name")
        bad["no TLS on a port with TLS"] = (url.replace("rediss:", "redis:"), "", "")
        bad["TLS on a port without TLS"] = (server.url.replace("redis:", "rediss:"), f'tls_ca = "{authority}"', "timed out")
    come_to_ready(bench, good)
    server.call("ACL", "SETUSER", "scopegate", "-xread")
    say_what_is_wrong(bench, bad)


def documented_permissions():
    """Those of the page, word for word."""
    with open(PAGE) as page:
        found = re.search(r"`ACL SETUSER scopegate on >PASSWORD ([^`]*)`", page.read())
    assert found, f"expected the permissions of the user in {PAGE}"
    return found[1].split()


def with_tls(bench, server):
    """The URL of a port with TLS, and the certificate of its CA. None if the server was built without."""
    if not server.call("CONFIG", "GET", "tls-port"):
        bench.skip("rediss://", f"{server.program} was built without TLS")
        return None
    try:
        authority, certificate_file, key = certificate(bench, "server")
    except bed.Missing as missing:
        bench.skip("rediss://", str(missing))
        return None
    port = bed.free_port()
    server.call("CONFIG", "SET", "tls-cert-file", certificate_file, "tls-key-file", key, "tls-ca-cert-file", authority,
                "tls-auth-clients", "no", "tls-port", port)
    return f"rediss://127.0.0.1:{port}", authority


def certificate(bench, name):
    """A CA, a certificate for 127.0.0.1, and its key."""
    openssl = bed.tool("openssl", "openssl")
    path = f"{bench.processes.folder}/{name}"
    new = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    run = lambda *command: subprocess.run(command, check=True, capture_output=True, timeout=30)
    run(*new, "-subj", f"/CN={name} CA", "-keyout", f"{path}-ca.key", "-out", f"{path}-ca.pem")
    run(*new, "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE",
        "-CA", f"{path}-ca.pem", "-CAkey", f"{path}-ca.key", "-keyout", f"{path}.key", "-out", f"{path}.pem")
    return f"{path}-ca.pem", f"{path}.pem", f"{path}.key"


def start(bench, cases):
    """One gateway for each, in a fleet of its own."""
    fleets = [bench.fleet([url], ["closed"], prefix=f"scopegate:{index}-{len(cases)}:", max_age=1, fleet=settings)
              for index, (url, settings, *_) in enumerate(cases.values())]
    return {name: fleet.gateways[0] for name, fleet in zip(cases, fleets)}


def come_to_ready(bench, cases):
    for name, gateway in start(bench, cases).items():
        bed.wait_for(f"{name} to be ready", 10, lambda: gateway.is_ready() or None)
        took = time.monotonic() - gateway.started
        bench.check(f"connections: {name}: ready", True, gateway.has_logged("connected to Redis"), f"after {seconds(took)}")
        complaints = [line for line in gateway.messages() if "limits are not shared" in line["message"]]
        bench.check(f"connections: {name}: limits are shared", [], complaints)


def server_name(url):
    return url.partition("://")[2]


def say_what_is_wrong(bench, cases):
    for name, gateway in start(bench, cases).items():
        *_, expected = cases[name]
        failed = lambda: next((line["error"] for line in gateway.messages() if line["message"] == "connection to Redis failed"), None)
        error = bed.wait_for(f"{name} to be logged", 10, failed)
        bench.check(f"connections: {name}: not ready, and the log says why", (False, [True] * 2), (gateway.is_ready(), [part in error for part in [server_name(cases[name][0]), expected]]), error)
        bench.check(f"connections: {name}: no password in the log", False, "password" in gateway.log().replace("username-password pair", ""))
