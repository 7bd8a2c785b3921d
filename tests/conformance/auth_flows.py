"""How the client under test signs in: a scenario and its context become an `auth=`.

Plays the person with the browser too: the address is fetched, and where it redirects to is the
answer.
"""

import json
import sys
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from mbxai.mcp.auth import AuthMethod, ClientCredentials, EnterpriseAuth, OAuth, PrivateKeyJWT

SECONDS = 10.0
REDIRECT_URI = "http://localhost:3000/callback"
CLIENT_METADATA_URL = "https://conformance-test.local/client-metadata.json"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"
ID_JAG = "urn:ietf:params:oauth:token-type:id-jag"


def auth_for(scenario: str, context: dict[str, Any]) -> AuthMethod | None:
    """What a scenario signs in with; None for one that is not about that."""
    if not scenario.startswith("auth/"):
        return None
    if scenario == "auth/client-credentials-basic":
        return ClientCredentials(
            client_id=context["client_id"], client_secret=context["client_secret"], method="basic"
        )
    if scenario == "auth/client-credentials-jwt":
        return PrivateKeyJWT(
            client_id=context["client_id"],
            key=context["private_key_pem"],
            algorithm=context.get("signing_algorithm", "ES256"),
        )
    if scenario == "auth/enterprise-managed-authorization":
        return _enterprise(context)
    given: dict[str, Any] = {"client_metadata_url": CLIENT_METADATA_URL}
    if scenario == "auth/pre-registration":
        given = {name: context[name] for name in ("client_id", "client_secret", "issuer")}
    return OAuth(redirect_uri=REDIRECT_URI, callback=sign_in, wait_seconds=SECONDS, **given)


async def sign_in(url: str) -> str:
    """A person who agrees at once: where the browser is sent back to."""
    import httpx2

    async with httpx2.AsyncClient(timeout=SECONDS) as browser:
        answer = await browser.get(url, follow_redirects=False)
    return answer.headers["location"]


def _enterprise(context: dict[str, Any]) -> EnterpriseAuth:
    def assertion(issuer: str, resource: str) -> str:
        form = {
            "grant_type": EXCHANGE,
            "requested_token_type": ID_JAG,
            "audience": issuer,
            "resource": resource,
            "subject_token": context["idp_id_token"],
            "subject_token_type": ID_TOKEN,
            "client_id": context["idp_client_id"],
        }
        body = urllib.parse.urlencode(form).encode()
        with urllib.request.urlopen(context["idp_token_endpoint"], body, SECONDS) as answer:
            return str(json.load(answer)["access_token"])

    return EnterpriseAuth(
        client_id=context["client_id"],
        client_secret=context["client_secret"],
        issuer=context.get("issuer") or _advertised_issuer(sys.argv[-1]),
        assertion=assertion,
    )


def _advertised_issuer(server_url: str) -> str:
    """The authorization server that the mock server names; an application would know it."""
    parts = urllib.parse.urlsplit(server_url)
    for path in (parts.path, ""):
        url = f"{parts.scheme}://{parts.netloc}/.well-known/oauth-protected-resource{path}"
        try:
            with urllib.request.urlopen(url, timeout=SECONDS) as answer:
                return str(json.load(answer)["authorization_servers"][0])
        except urllib.error.HTTPError:
            continue
    raise SystemExit("the mock server names no authorization server")
