"""Verifies access tokens with PyJWT and joserfc.

Arguments: the URL of the JWK set, the issuer, the audience, the algorithm, and the tokens. Prints a line
of JSON for each library and token: the claims, or the name of the error.
"""

import json
import sys

import jwt
import requests
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import KeySet

url, issuer, audience, algorithm, *tokens = sys.argv[1:]
required = ["iss", "aud", "exp", "iat", "sub", "jti", "client_id"]


def with_pyjwt(token):
    if jwt.get_unverified_header(token)["typ"] != "at+jwt":
        raise jwt.InvalidTokenError("not an access token")
    key = client.get_signing_key_from_jwt(token)
    return jwt.decode(
        token, key, algorithms=[algorithm], issuer=issuer, audience=audience, options={"require": required}
    )


def with_joserfc(token):
    decoded = joserfc_jwt.decode(token, keys, algorithms=[algorithm])
    if decoded.header["typ"] != "at+jwt":
        raise ValueError("not an access token")
    expected = {name: {"essential": True} for name in required}
    expected["iss"]["value"] = issuer
    expected["aud"]["value"] = audience
    joserfc_jwt.JWTClaimsRegistry(**expected).validate(decoded.claims)
    return decoded.claims


client = jwt.PyJWKClient(url)
session = requests.Session()
session.trust_env = False
keys = KeySet.import_key_set(session.get(url, timeout=20).json())
for verify in [with_pyjwt, with_joserfc]:
    for token in tokens:
        try:
            result = verify(token)
        except Exception as error:
            result = type(error).__name__
        print(json.dumps(result))
