"""Whether libraries for Python accept tokens: the document's function, with PyJWT, and three others. Reads and writes as
admitted.mjs does."""

import json
import sys
import urllib.request

from authlib.jose import JsonWebToken
from from_document import admitted
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import KeySet
from jose import jwt as python_jose

asked = json.load(sys.stdin)
url, event, algorithms = asked["url"], asked["event"], asked["algorithms"]
with urllib.request.urlopen(f"{url}/.well-known/jwks.json") as answer:
    KEYS = json.load(answer)


def by_joserfc(token):
    keys = KeySet.import_key_set(KEYS)
    found = joserfc_jwt.decode(token, keys, algorithms=algorithms)
    assert found.header["typ"] == "admission+jwt"
    joserfc_jwt.JWTClaimsRegistry(
        leeway=5,
        iss={"essential": True, "value": url},
        aud={"essential": True, "value": event},
        exp={"essential": True},
    ).validate(found.claims)


def by_authlib(token):
    options = {"iss": {"essential": True, "value": url}, "aud": {"essential": True, "value": event}}
    claims = JsonWebToken(algorithms).decode(token, KEYS, claims_options=options)
    assert claims.header["typ"] == "admission+jwt" and "crit" not in claims.header
    claims.validate(leeway=5)


def by_python_jose(token):
    header = python_jose.get_unverified_header(token)
    assert header["typ"] == "admission+jwt" and "crit" not in header
    python_jose.decode(token, KEYS, algorithms=algorithms, issuer=url, audience=event)


def accepts(verify, token):
    try:
        verify(token)
        return True
    except Exception:
        return False


libraries = {
    "PyJWT": admitted,
    "joserfc": by_joserfc,
    "Authlib": by_authlib,
    "python-jose": by_python_jose,
}
print(
    json.dumps(
        {
            name: [accepts(verify, token) for token in asked["tokens"]]
            for name, verify in libraries.items()
        }
    )
)
