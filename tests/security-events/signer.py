"""Signs tokens with PyPI's joserfc. Reads one JSON document from standard input, and prints another.

{"keys": {"NAME": [type, parameter, algorithm]}, "tokens": [[key, header, claims], ...]}
becomes {"jwks": {"keys": [...]}, "tokens": [...]}.
"""

import json
import sys

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

TYPES = {"EC": ECKey, "RSA": RSAKey, "OKP": OKPKey}


def main():
    asked = json.load(sys.stdin)
    keys = {}
    for name, (kind, parameter, algorithm) in asked["keys"].items():
        keys[name] = TYPES[kind].generate_key(parameter, {"kid": name, "use": "sig", "alg": algorithm}, private=True)
    tokens = []
    for name, header, claims in asked["tokens"]:
        algorithm = asked["keys"][name][2]
        header = {"alg": algorithm, "kid": name, **header}
        tokens.append(jwt.encode(header, claims, keys[name], algorithms=[algorithm], registry=registry(algorithm)))
    public = {"keys": [key.as_dict(private=False) for name, key in keys.items() if not name.startswith("stranger")]}
    json.dump({"jwks": public, "tokens": tokens}, sys.stdout)


def registry(algorithm):
    return JWSRegistry(algorithms=[algorithm])


if __name__ == "__main__":
    main()
