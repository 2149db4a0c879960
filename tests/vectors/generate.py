"""Generates the tokens and key sets of this directory with another JOSE library than scopegate's.

Run once, and not by any test, with Python 3.11.7, jwcrypto 1.6.1 and cryptography 50.0.2:

    python -m venv venv && venv/bin/pip install jwcrypto==1.6.1
    venv/bin/python generate.py

The key `p521` and the ES512 token in the file were added later, with the crypto module of Node.js 22.

Each run generates new keys and discards the private ones. `now` is the time, in seconds since the epoch, at which a
test verifies the tokens.
"""

import base64
import json
import pathlib

from jwcrypto import jwk, jws

HERE = pathlib.Path(__file__).parent
NOW = 1_800_000_000
MOBILEFIRST_NOW = 1_452_513_200  # about the time of the example in IBM's documentation


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(key: jwk.JWK, header: dict, claims: dict) -> str:
    token = jws.JWS(json.dumps(claims, separators=(",", ":")))
    token.allowed_algs = [header["alg"]]
    token.add_signature(key, None, json.dumps(header, separators=(",", ":")))
    return token.serialize(compact=True)


def public(key: jwk.JWK, **more) -> dict:
    members = key.export_public(as_dict=True)
    members.pop("kid", None)
    return members | more


def with_leading_zero(members: dict) -> dict:
    """`n` with a leading zero byte, as Java's BigInteger.toByteArray writes it."""
    n = members["n"]
    return members | {"n": base64url(b"\0" + base64.urlsafe_b64decode(n + "=" * (-len(n) % 4)))}


def write(name: str, content: dict) -> None:
    (HERE / name).write_text(json.dumps(content, indent=1) + "\n")


def algorithms() -> dict:
    rsa = jwk.JWK.generate(kty="RSA", size=2048)
    p256 = jwk.JWK.generate(kty="EC", crv="P-256")
    p384 = jwk.JWK.generate(kty="EC", crv="P-384")
    p521 = jwk.JWK.generate(kty="EC", crv="P-521")
    ed25519 = jwk.JWK.generate(kty="OKP", crv="Ed25519")
    secret = jwk.JWK.generate(kty="oct", size=512)
    signers = {name: rsa for name in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]}
    signers |= {"ES256": p256, "ES384": p384, "ES512": p521, "EdDSA": ed25519}
    signers |= {name: secret for name in ["HS256", "HS384", "HS512"]}
    kids = {id(rsa): "rsa", id(p256): "p256", id(p384): "p384", id(p521): "p521", id(ed25519): "ed25519", id(secret): "secret"}
    claims = {
        "iss": "https://id.example.com",
        "sub": "alice",
        "aud": "https://api.example.com",
        "client_id": "shop",
        "scope": "messages.read messages.write",
        "iat": NOW - 10,
        "exp": NOW + 3600,
        "jti": "0",
    }

    def token(name: str, key: jwk.JWK) -> str:
        return sign(key, {"alg": name, "typ": "at+jwt", "kid": kids[id(key)]}, claims)

    # Key confusion: the public key used as the secret of an HMAC.
    confused = jwk.JWK(kty="oct", k=base64url(rsa.export_to_pem()))
    kids[id(confused)] = "rsa"
    return {
        "now": NOW,
        "jwks": {"keys": [public(key, kid=kids[id(key)]) for key in [rsa, p256, p384, ed25519, p521]]},
        "secret": secret.export(as_dict=True)["k"],
        "tokens": {name: token(name, key) for name, key in signers.items()},
        "confused": token("HS256", confused),
    }


def authorization_servers() -> list:
    mobilefirst = jwk.JWK.generate(kty="RSA", size=2048)
    mobilefirst_jwk = with_leading_zero(public(mobilefirst, kid="test"))
    mallory = jwk.JWK.generate(kty="RSA", size=2048)
    curity = jwk.JWK.generate(kty="RSA", size=2048)
    aidbox = jwk.JWK.generate(kty="RSA", size=2048)
    wso2 = jwk.JWK.generate(kty="RSA", size=2048)
    wso2_kid = "MWQ5YzgyNjQ3YjJlNDI4ZGE4ZjA5YmQ1NmVhYzIwM2M0ZWM5NDM2Yw_RS256"
    forgerock = jwk.JWK.generate(kty="RSA", size=2048)
    forgerock_kid = "Fo+Ap2m8COtNootf1xMh4/g70YA="

    mobilefirst_claims = {
        "iss": "com.ibm.mfp",
        "sub": "test",
        "aud": "com.ibm.mfp",
        "exp": 1452516738005,
        "scope": "messages.write push.application.*",
    }
    curity_header = {"kid": "-1725417167", "x5t": "8bnnp2UGc0YLIZ6jvdUuaxJmvJw", "alg": "PS256"}
    curity_claims = {
        "jti": "8d1e1c4a-2f0c-4a3e-8a52-0c9c2b7d2c55",
        "delegationId": "b7a9d7a2-6b9d-4c6e-9f5c-3f6f7f2b8f0e",
        "exp": NOW + 300,
        "nbf": NOW,
        "scope": "openid profile orders",
        "iss": "http://localhost:8443/oauth/v2/oauth-anonymous",
        "sub": "janedoe",
        "aud": "api.example.com",
        "iat": NOW,
        "purpose": "access_token",
    }
    aidbox_header = {"alg": "RS256", "typ": "JWT"}
    aidbox_claims = {
        "iss": "http://localhost:8081",
        "sub": "auth-client",
        "iat": NOW,
        "jti": "4cb4ad8a-e4b3-4ea4-a3a5-4a1c9c5f3c6f",
        "aud": "http://resource.server.com",
        "exp": NOW + 3000,
    }
    wso2_header = {"x5t": "MWQ5YzgyNjQ3YjJlNDI4ZGE4ZjA5YmQ1NmVhYzIwM2M0ZWM5NDM2Yw", "kid": wso2_kid, "typ": "at+jwt", "alg": "RS256"}
    wso2_claims = {
        "sub": "UpYmlA9NZ3ARH0RfXdkcfpGCNcIa",
        "aut": "APPLICATION",
        "iss": "https://localhost:9443/oauth2/token",
        "client_id": "UpYmlA9NZ3ARH0RfXdkcfpGCNcIa",
        "aud": "UpYmlA9NZ3ARH0RfXdkcfpGCNcIa",
        "nbf": NOW,
        "azp": "UpYmlA9NZ3ARH0RfXdkcfpGCNcIa",
        "scope": "am_application_scope default",
        "exp": 9223372036854775807,
        "iat": NOW,
        "jti": "e3e0a1de-5d0c-4f8e-9b13-3b1c0f2a6f44",
    }
    forgerock_header = {"typ": "JWT", "zip": "NONE", "kid": forgerock_kid, "alg": "RS256"}
    forgerock_claims = {
        "sub": "MedicationsClient",
        "cts": "OAUTH2_STATELESS_GRANT",
        "auditTrackingId": "f20f5c2c-7b5e-4e43-9e8e-6f0d2d1d0f5a-1",
        "iss": "http://localhost:8081/openam/oauth2/realms/root/realms/test",
        "tokenName": "access_token",
        "token_type": "Bearer",
        "aud": "MedicationsClient",
        "nbf": NOW,
        "grant_type": "client_credentials",
        "scope": ["user/Medication.write", "user/Medication.read"],
        "realm": "/test",
        "exp": NOW + 3600,
        "iat": NOW,
        "expires_in": 3600,
        "jti": "KgN4tWIkUV0ZWNW0m0dGmVx0Nyg",
    }

    return [
        {
            "name": "MobileFirst",
            "now": MOBILEFIRST_NOW,
            "jwks": {"keys": [mobilefirst_jwk]},
            "issuer": "com.ibm.mfp",
            "audience": "com.ibm.mfp",
            "milliseconds": True,
            "token": sign(mobilefirst, {"alg": "RS256", "jwk": mobilefirst_jwk}, mobilefirst_claims),
            "scopes": "messages.write push.application.*",
            "client_id": None,
            "expires_at": 1452516738,
            "refused": {
                # Signed with a foreign key, which the header contains.
                "unknown_key": sign(mallory, {"alg": "RS256", "jwk": public(mallory, kid="test")}, mobilefirst_claims),
            },
        },
        {
            "name": "Curity",
            "now": NOW,
            "jwks": {"keys": [public(curity, kid="-1725417167", use="sig", alg="PS256", x5t="8bnnp2UGc0YLIZ6jvdUuaxJmvJw")]},
            "issuer": "http://localhost:8443/oauth/v2/oauth-anonymous",
            "audience": "api.example.com",
            "token": sign(curity, curity_header, curity_claims),
            "scopes": "openid profile orders",
            "client_id": None,
            "expires_at": NOW + 300,
            "refused": {
                "other_kind_of_token": sign(curity, curity_header, curity_claims | {"purpose": "id"}),
                "algorithm_not_allowed": sign(curity, curity_header | {"alg": "RS256"}, curity_claims),
                "not_yet_valid": sign(curity, curity_header, curity_claims | {"nbf": NOW + 31}),
            },
        },
        {
            "name": "Aidbox",
            "now": NOW,
            "jwks": {"keys": [public(aidbox, use="sig", alg="RS256")]},
            "issuer": "http://localhost:8081",
            "audience": "http://resource.server.com",
            "token": sign(aidbox, aidbox_header, aidbox_claims),
            "scopes": "",
            "client_id": None,
            "expires_at": NOW + 3000,
            "refused": {
                "other_kind_of_token": sign(aidbox, aidbox_header, aidbox_claims | {"typ": "refresh"}),
                "missing_claim": sign(aidbox, aidbox_header, {k: v for k, v in aidbox_claims.items() if k != "exp"}),
                "wrong_audience": sign(aidbox, aidbox_header, aidbox_claims | {"aud": "http://other.server.com"}),
                "unknown_key": sign(mallory, aidbox_header, aidbox_claims),
            },
        },
        {
            "name": "WSO2",
            "now": NOW,
            "jwks": {"keys": [public(wso2, kid=wso2_kid, use="sig", alg="RS256")]},
            "issuer": "https://localhost:9443/oauth2/token",
            "audience": "UpYmlA9NZ3ARH0RfXdkcfpGCNcIa",
            "unbounded": True,
            "token": sign(wso2, wso2_header, wso2_claims),
            "scopes": "am_application_scope default",
            "client_id": "UpYmlA9NZ3ARH0RfXdkcfpGCNcIa",
            "expires_at": None,
            "refused": {
                "wrong_type": sign(wso2, wso2_header | {"typ": "rt+jwt"}, wso2_claims),
                "sender_constrained": sign(wso2, wso2_header, wso2_claims | {"cnf": {"x5t#S256": "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"}}),
                "bad_signature": sign(mallory, wso2_header, wso2_claims),
                "unsigned": base64url(b'{"alg":"none","typ":"at+jwt"}') + "." + base64url(json.dumps(wso2_claims).encode()) + ".",
            },
        },
        {
            "name": "ForgeRock",
            "now": NOW,
            "jwks": {"keys": [public(forgerock, kid=forgerock_kid, use="sig", alg="RS256", x5t="Ow")]},
            "issuer": "http://localhost:8081/openam/oauth2/realms/root/realms/test",
            "audience": "MedicationsClient",
            "token": sign(forgerock, forgerock_header, forgerock_claims),
            "scopes": "user/Medication.write user/Medication.read",
            "client_id": None,
            "expires_at": NOW + 3600,
            "refused": {
                "other_kind_of_token": sign(forgerock, forgerock_header, forgerock_claims | {"tokenName": "refresh_token"}),
                "unsupported_parameter": sign(forgerock, forgerock_header | {"zip": "DEF"}, forgerock_claims),
                "unknown_key": sign(forgerock, forgerock_header | {"kid": "../../etc/passwd"}, forgerock_claims),
                "wrong_issuer": sign(forgerock, forgerock_header, forgerock_claims | {"iss": "http://localhost:8081/openam/oauth2/realms/root/realms/Test"}),
                "expired": sign(forgerock, forgerock_header, forgerock_claims | {"exp": NOW - 30}),
            },
        },
    ]


write("algorithms.json", algorithms())
write("authorization_servers.json", authorization_servers())
