"""An authorization server written with PyPI's `authlib`."""

import os

import bed
from mission import Kind

HERE = os.path.dirname(os.path.abspath(__file__))


def _algorithm(name):
    return lambda text: bed.replaced(text, "[issuers.authlib]\n", f'[issuers.authlib]\nalgorithms = ["{name}"]\n')


class Server:
    title = "Authlib (PyPI)"
    process = "authlib"
    lesser_scope = None
    can_rotate = True
    keeps_old_key = True
    kinds = [
        Kind("RS256", "JWT, RS256", "authlib", _algorithm("RS256"), True, True, False),
        Kind("ES384", "JWT, ES384", "authlib", _algorithm("ES384"), False, True, False),
        Kind("ES512", "JWT, ES512", "authlib", _algorithm("ES512"), False, True, False),
        Kind("EdDSA", "JWT, EdDSA", "authlib", _algorithm("EdDSA"), False, True, False),
        Kind("Ed25519", "JWT, Ed25519", "authlib", _algorithm("Ed25519"), False, True, False),
        Kind("opaque", "opaque", "authlib", lambda text: text, True, False, True),
    ]

    def install(self, folder):
        self.python = bed.python_environment(folder, os.path.join(HERE, "requirements.txt"))

    def version(self):
        return bed.python_version(self.python, "authlib")

    def start(self, processes):
        environment = {"GATEWAY_SECRET": bed.GATEWAY_SECRET}
        processes.start(self.process, [self.python, os.path.join(HERE, "server.py")], environment)
        self.url = processes.printed_address(self.process)

    def has_audiences(self, _kind):
        return True

    def _client(self, kind, client):
        return f"{kind.name}-{client}", "app-secret"

    def token(self, kind, client, scope, api):
        name = client if api == bed.API else "foreign"
        form = {} if scope is None else {"scope": scope}
        return bed.access_token(f"{self.url}/oauth/token", self._client(kind, name), form)

    def revoke(self, kind, token):
        response = bed.call("POST", f"{self.url}/oauth/revoke", form={"token": token}, basic=self._client(kind, "app"))
        assert response.status == 200, f"expected 200, but found {response}"

    def rotate(self):
        assert bed.call("POST", f"{self.url}/rotate").status == 200
