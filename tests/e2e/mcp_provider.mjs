// An OpenID provider on loopback for MCP clients. Clients register dynamically, log in with an
// authorization code and PKCE, and receive JWTs for the requested resource. The user is always
// alice, who grants every scope. The provider exits when its standard input ends.

import { createServer } from "node:http";
import { accounts, interact } from "./user_agent.mjs";

// Silences warnings about development settings: the test reads the address from standard output.
console.info = console.log = console.warn = () => {};
const { Provider } = await import("oidc-provider");

/** Registrations and issued tokens, which the test compares with the output of the client. */
const log = { registered: [], issued: [] };
let issuer, provider, callback;

function newProvider() {
  const provider = new Provider(issuer, {
    // Clients register with the scopes of their first challenge. The provider drops this scope list
    // (RFC 7591 §3.2.1 allows it), so that clients can request more scopes later.
    extraClientMetadata: {
      properties: ["scope"],
      validator: (_ctx, _name, _value, metadata) => void delete metadata.scope,
    },
    ...accounts,
    features: {
      devInteractions: { enabled: false },
      registration: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_ctx, resource) => ({
          accessTokenFormat: "jwt",
          audience: resource,
          scope: "notes:read notes:write",
        }),
      },
    },
  });
  provider.on("registration_create.success", (_ctx, client) => log.registered.push(client.clientId));
  provider.on("access_token.issued", ({ accountId, aud, scope, clientId }) => {
    log.issued.push({ accountId, aud, scope, clientId });
  });
  return provider;
}

const server = createServer((request, response) => {
  if (request.url === "/ctl/log") {
    response.end(JSON.stringify(log));
  } else if (request.url.startsWith("/interaction/")) {
    interact(provider, request, response).catch((error) => response.writeHead(500).end(`${error.stack}`));
  } else {
    callback(request, response);
  }
});

server.listen(0, "127.0.0.1", () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  provider = newProvider();
  callback = provider.callback();
  process.stdout.write(`listening on ${issuer}\n`);
});
process.stdin.on("end", () => process.exit()).resume();
