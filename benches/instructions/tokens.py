"""Writes tokens.json: for each algorithm, a public key and a token that is valid until 2100.

    pip install pyjwt cryptography && python tokens.py > tokens.json

The tokens are fixed, because the cost of a verification depends on the signature: for ES256, by
several per cent. The private keys are not stored. The claims are those of `usual_claims` in
tests/support/src/token.rs, with other times.
"""

import json

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

CLAIMS = {
    "aud": "https://api.example",
    "client_id": "orders-web",
    "email": "alice@example.com",
    "exp": 4102444800,
    "iat": 1700000000,
    "iss": "https://issuer.example",
    "jti": "7f1cb1f5-3c0d-4e0e-9a0b-6a4f7be2f9d1",
    "name": "Alice Pleasance Liddell",
    "nbf": 1700000000,
    "roles": ["user"],
    "scope": "openid profile orders:read orders:write",
    "sub": "user-1",
}
KEYS = {
    "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}

tokens = {}
for algorithm, key in KEYS.items():
    jwk = get_default_algorithms()[algorithm].to_jwk(key.public_key(), as_dict=True)
    jwk = {k: v for k, v in jwk.items() if k != "key_ops"} | {"kid": "1", "alg": algorithm}
    tokens[algorithm] = {"jwk": jwk, "token": jwt.encode(CLAIMS, key, algorithm, {"kid": "1"})}
print(json.dumps(tokens, indent=2))
