// An OpenID provider on loopback whose tokens are bound to keys and certificates, with DPoP nonces,
// introspection and revocation. Tests log the user alice in with `/ctl/login?client=ID&jkt=JKT`. It
// exits when its standard input ends.

import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { accounts } from "./user_agent.mjs";

// Silences warnings about development settings: the test reads the address from standard output.
console.info = console.log = console.warn = () => {};
const { Provider } = await import("oidc-provider");

const SECRET = "e2e-secret";
const DPOP_ALGORITHMS = ["ES256", "ES384", "PS256", "RS256", "EdDSA", "Ed25519"];

// The format of the tokens for each `resource`.
const FORMATS = { "urn:jwt": "jwt", "urn:opaque": "opaque", "urn:other": "opaque" };

let issuer, provider, callback;

function newProvider() {
  const client = (client_id, settings) => ({
    client_id,
    client_secret: SECRET,
    grant_types: ["client_credentials"],
    redirect_uris: [],
    response_types: [],
    ...settings,
  });
  const login = {
    grant_types: ["authorization_code", "refresh_token"],
    redirect_uris: ["https://app.example/callback"],
    response_types: ["code"],
    dpop_bound_access_tokens: true,
  };
  return new Provider(issuer, {
    clients: [
      client("service"),
      client("dpop-service", { dpop_bound_access_tokens: true }),
      client("mtls-service", { tls_client_certificate_bound_access_tokens: true }),
      client("web", login),
      client("desktop", {
        ...login,
        client_secret: undefined,
        token_endpoint_auth_method: "none",
      }),
      // The service that introspects tokens.
      client("orders"),
    ],
    ...accounts,
    rotateRefreshToken: true,
    scopes: ["read", "write", "offline_access"],
    enabledJWA: { dPoPSigningAlgValues: DPOP_ALGORITHMS },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true },
      introspection: { enabled: true, allowedPolicy: (_ctx, client) => client.clientId === "orders" },
      revocation: { enabled: true },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        // From nginx, in front of the provider: `$ssl_client_escaped_cert`.
        getCertificate: (ctx) => decodeURIComponent(ctx.get("x-ssl-client-cert")),
      },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_ctx, resource) => ({
          accessTokenFormat: FORMATS[resource],
          audience: resource,
          jwt: { sign: { alg: "RS256" } },
          scope: "read write",
        }),
        useGrantedResource: () => true,
      },
    },
  });
}

/** Logs alice in without a browser. Returns a refresh token, which is bound to a key if `jkt` is. */
async function logIn(clientId, resource, jkt) {
  const client = await provider.Client.find(clientId);
  const grant = new provider.Grant({ accountId: "alice", clientId });
  grant.addOIDCScope("openid offline_access");
  grant.addResourceScope(resource, "read write");
  const token = new provider.RefreshToken({
    accountId: "alice",
    client,
    grantId: await grant.save(),
    gty: "authorization_code",
    resource,
    scope: "openid offline_access read write",
    rotations: 0,
  });
  if (jkt) token.jkt = jkt;
  return token.save();
}

const server = createServer((request, response) => {
  const url = new URL(request.url, issuer);
  const fail = (error) => response.writeHead(500).end(`${error.stack}`);
  if (url.pathname === "/ctl/login") {
    const [client, resource, jkt] = ["client", "resource", "jkt"].map((name) => url.searchParams.get(name));
    logIn(client, resource, jkt).then((token) => response.end(JSON.stringify(token)), fail);
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
