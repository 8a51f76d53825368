"""Uses an MCP server with the official Python SDK, and prints each event as a line of JSON.

The SDK discovers the issuer, registers, logs in and steps up. This script replaces the browser and
calls tools.
"""

import asyncio
import json
import sys
from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientMetadata

# No server listens here: the browser stops before it would request this URL.
REDIRECT_URI = "http://127.0.0.1/callback"


def say(event, **facts):
    print(json.dumps({"event": event, **facts}), flush=True)


class Storage:
    """Stores the tokens and the client registration of the SDK."""

    tokens = client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens
        say("token", scope=tokens.scope, token=tokens.access_token)

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client
        say("registered", id=client.client_id)


class Browser:
    """Follows redirects, with cookies, until the redirect URI of the client."""

    def __init__(self):
        self.http = httpx2.AsyncClient(trust_env=False)
        self.arrived = None

    async def open(self, url):
        say("login", scope=parse_qs(urlsplit(url).query)["scope"][0])
        while not url.startswith(REDIRECT_URI):
            response = await self.http.get(url)
            assert response.is_redirect, f"{response.status_code} of {url}: {response.text}"
            url = str(response.url.join(response.headers["location"]))
        self.arrived = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}

    async def answer(self):
        assert "code" in self.arrived, self.arrived
        return AuthorizationCodeResult(
            code=self.arrived["code"], state=self.arrived["state"], iss=self.arrived.get("iss")
        )


async def report(response):
    """Prints a request of the SDK and its response."""
    request = response.request
    say(
        "response",
        method=request.method,
        url=str(request.url),
        status=response.status_code,
        challenge=response.headers.get("www-authenticate"),
    )


async def main(url, mode):
    browser = Browser()
    oauth = OAuthClientProvider(
        url,
        OAuthClientMetadata(
            client_name="e2e", redirect_uris=[REDIRECT_URI], token_endpoint_auth_method="none"
        ),
        Storage(),
        redirect_handler=browser.open,
        callback_handler=browser.answer,
    )
    http = httpx2.AsyncClient(auth=oauth, trust_env=False, event_hooks={"response": [report]})
    async with http, Client(streamable_http_client(url, http_client=http), mode=mode) as client:
        say("tools", names=[tool.name for tool in (await client.list_tools()).tools])
        for tool, arguments in [("list_notes", {}), ("add_note", {"text": "milk"}), ("list_notes", {})]:
            result = await client.call_tool(tool, arguments)
            assert not result.is_error, result
            say("result", tool=tool, text=result.content[0].text)


asyncio.run(asyncio.wait_for(main(*sys.argv[1:]), timeout=60))
