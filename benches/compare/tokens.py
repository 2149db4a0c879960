"""Access tokens for measurements, signed with new keys in each run.

Python's standard library has no asymmetric signatures, and the `openssl` command takes ten milliseconds per token. So
this module calls OpenSSL's library, which `hashlib` uses anyway.
"""

import base64
import ctypes
import ctypes.util
import json
import pathlib
import subprocess
import sys
import time

ISSUER = "https://issuer.test"
AUDIENCE = "https://api.test"
SCOPE = "messages.read"

_library = ctypes.util.find_library("crypto")
if not _library:
    sys.exit("expected OpenSSL's libcrypto, but found none")
_crypto = ctypes.CDLL(_library)
_POINTER, _SIZE = ctypes.c_void_p, ctypes.c_size_t
for _name, _result, _arguments in [
    ("BIO_new_mem_buf", _POINTER, [ctypes.c_char_p, ctypes.c_int]),
    ("BIO_free", ctypes.c_int, [_POINTER]),
    ("PEM_read_bio_PrivateKey", _POINTER, [_POINTER, _POINTER, _POINTER, _POINTER]),
    ("EVP_sha256", _POINTER, []),
    ("EVP_MD_CTX_new", _POINTER, []),
    ("EVP_MD_CTX_free", None, [_POINTER]),
    ("EVP_DigestSignInit", ctypes.c_int, [_POINTER, _POINTER, _POINTER, _POINTER, _POINTER]),
    ("EVP_DigestSign", ctypes.c_int, [_POINTER, ctypes.c_char_p, ctypes.POINTER(_SIZE), ctypes.c_char_p, _SIZE]),
]:
    getattr(_crypto, _name).restype, getattr(_crypto, _name).argtypes = _result, _arguments


class Signer:
    """A key pair in KID.pem and KID.pub.pem, from which the gateways read it."""

    def __init__(self, algorithm, folder):
        self.algorithm, self.kid = algorithm, algorithm.lower()
        self.private, self.public = (pathlib.Path(folder, self.kid + end) for end in (".pem", ".pub.pem"))
        kind = ["RSA", "rsa_keygen_bits:2048"] if algorithm == "RS256" else ["EC", "ec_paramgen_curve:P-256"]
        _openssl("genpkey", "-algorithm", kind[0], "-pkeyopt", kind[1], "-out", self.private)
        _openssl("pkey", "-in", self.private, "-pubout", "-out", self.public)
        pem = self.private.read_bytes()
        source = _crypto.BIO_new_mem_buf(pem, len(pem))
        self._key = _crypto.PEM_read_bio_PrivateKey(source, None, None, None)
        _crypto.BIO_free(source)
        assert self._key, "openssl reads the key that it made"

    def jwk(self):
        """The public key as a JWK (RFC 7517)."""
        common = {"kid": self.kid, "use": "sig", "alg": self.algorithm}
        der = _openssl("pkey", "-pubin", "-in", self.public, "-outform", "DER")
        if self.algorithm == "RS256":
            modulus = _openssl("rsa", "-pubin", "-in", self.public, "-noout", "-modulus").split(b"=")[1].strip()
            return {"kty": "RSA", "n": _base64url(bytes.fromhex(modulus.decode())), "e": "AQAB", **common}
        # A SubjectPublicKeyInfo of P-256 ends with the point's two coordinates.
        return {"kty": "EC", "crv": "P-256", "x": _base64url(der[-64:-32]), "y": _base64url(der[-32:]), **common}

    def token(self, number=0, scope=SCOPE):
        """The access token of this number, valid for a day."""
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": f"client-{number}",
            "client_id": f"client-{number}",
            "scope": scope,
            "iat": now,
            "exp": now + 86400,
            "jti": str(number),
        }
        header = {"alg": self.algorithm, "typ": "at+jwt", "kid": self.kid}
        parts = (_base64url(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
        signed = ".".join(parts)
        return signed + "." + _base64url(self._sign(signed.encode()))

    def _sign(self, text):
        context, length = _crypto.EVP_MD_CTX_new(), _SIZE(512)
        signature = ctypes.create_string_buffer(length.value)
        ok = _crypto.EVP_DigestSignInit(context, None, _crypto.EVP_sha256(), None, self._key)
        ok = ok == 1 and _crypto.EVP_DigestSign(context, signature, ctypes.byref(length), text, len(text))
        _crypto.EVP_MD_CTX_free(context)
        assert ok == 1, "openssl signs with the key that it read"
        signature = signature.raw[: length.value]
        return signature if self.algorithm == "RS256" else _to_jws(signature)


def _to_jws(signature):
    # From two DER integers to two numbers of 32 bytes (RFC 7518 section 3.4).
    first = 4 + signature[3]
    numbers = signature[4:first], signature[first + 2 : first + 2 + signature[first + 1]]
    return b"".join(number.lstrip(b"\0").rjust(32, b"\0") for number in numbers)


def _base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _openssl(*arguments):
    command = ["openssl", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, timeout=30).stdout
