"""An authorization server as one writes it with Authlib. It prints its address once it listens.

The beginning of a client's ID is the format of its tokens: `opaque-`, or the algorithm of JWTs (RFC 9068).
"""

import os
import time

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, TokenMixin, grants
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from flask import Flask, jsonify
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey
from joserfc.jws import default_registry
from werkzeug.serving import make_server

API = "https://api.example.com"
OTHER_API = "https://other.example.com"
SCOPES = ["orders.read", "orders.write", "push.application.*"]


class Client(ClientMixin):
    def __init__(self, client_id, secret, api=API, lifetime=600):
        self.client_id, self.secret, self.api, self.lifetime = client_id, secret, api, lifetime

    def get_client_id(self):
        return self.client_id

    def get_allowed_scope(self, scope):
        return " ".join(one for one in (scope or "").split() if one in SCOPES)

    def check_client_secret(self, secret):
        return secret == self.secret

    def check_endpoint_auth_method(self, method, endpoint):
        return method == "client_secret_basic"

    def check_grant_type(self, grant_type):
        return grant_type == "client_credentials"


class Token(TokenMixin):
    def __init__(self, client, token):
        self.client, self.token = client, token
        self.expires_at = int(time.time()) + token["expires_in"]
        self.revoked = False

    def check_client(self, client):
        return client is self.client

    def get_scope(self):
        return self.token.get("scope", "")

    def get_expires_in(self):
        return self.token["expires_in"]

    def is_expired(self):
        return self.expires_at < time.time()

    def is_revoked(self):
        return self.revoked


class Introspection(IntrospectionEndpoint):
    def check_permission(self, token, client, request):
        return client.client_id == "gateway"

    def query_token(self, token_string, token_type_hint):
        return tokens.get(token_string)

    def introspect_token(self, token):
        return {
            "active": True,
            "client_id": token.client.client_id,
            "token_type": "Bearer",
            "scope": token.get_scope(),
            "sub": token.client.client_id,
            "aud": token.client.api,
            "iss": address,
            "exp": token.expires_at,
        }


class Revocation(RevocationEndpoint):
    def query_token(self, token_string, token_type_hint):
        return tokens.get(token_string)

    def revoke_token(self, token, request):
        token.revoked = True


class JwtGenerator(JWTBearerTokenGenerator):
    def get_jwks(self):
        return KeySet(keys[self.alg][-1:])

    def get_audiences(self, client, user, scope):
        return client.api


def expires_in(client, grant_type):
    return client.lifetime


NEW_KEY = {
    "RS256": lambda: RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True),
    "ES384": lambda: ECKey.generate_key("P-384", {"use": "sig"}, auto_kid=True),
    "ES512": lambda: ECKey.generate_key("P-521", {"use": "sig"}, auto_kid=True),
    "EdDSA": lambda: OKPKey.generate_key("Ed25519", {"use": "sig"}, auto_kid=True),
    "Ed25519": lambda: OKPKey.generate_key("Ed25519", {"use": "sig", "alg": "Ed25519"}, auto_kid=True),
}
# By default it signs with few of them.
default_registry.allowed = list(NEW_KEY)


def add_keys():
    for algorithm, new_key in NEW_KEY.items():
        keys.setdefault(algorithm, []).append(new_key())


clients = {"gateway": Client("gateway", os.environ["GATEWAY_SECRET"])}
for form in ["opaque", *NEW_KEY]:
    for name, more in [("app", {}), ("hasty", {"lifetime": 2}), ("foreign", {"api": OTHER_API})]:
        clients[f"{form}-{name}"] = Client(f"{form}-{name}", "app-secret", **more)
tokens = {}
keys = {}
add_keys()

app = Flask(__name__)
http = make_server("127.0.0.1", 0, app, threaded=True)
address = f"http://127.0.0.1:{http.server_port}"

generators = {alg: JwtGenerator(issuer=address, alg=alg, expires_generator=expires_in) for alg in NEW_KEY}
generators["opaque"] = BearerTokenGenerator(
    lambda client, grant_type, user, scope: os.urandom(24).hex(), expires_generator=expires_in
)


def generator(client, **more):
    return generators[client.client_id.split("-")[0]](client=client, **more)


def save_token(token, request):
    tokens[token["access_token"]] = Token(request.client, token)


server = AuthorizationServer(app, query_client=clients.get, save_token=save_token)
server.register_token_generator("default", generator)
server.register_grant(grants.ClientCredentialsGrant)
server.register_endpoint(Introspection)
server.register_endpoint(Revocation)


@app.post("/oauth/token")
def token():
    return server.create_token_response()


@app.post("/oauth/introspect")
def introspect():
    return server.create_endpoint_response(Introspection.ENDPOINT_NAME)


@app.post("/oauth/revoke")
def revoke():
    return server.create_endpoint_response(Revocation.ENDPOINT_NAME)


@app.get("/oauth/jwks")
def jwks():
    return jsonify(KeySet(sum(keys.values(), [])).as_dict(private=False))


@app.post("/rotate")
def rotate():
    add_keys()
    return ""


print(address, flush=True)
http.serve_forever()
