// An OpenID provider on loopback. Tests control its keys and outages at `/ctl/`. It exits when its
// standard input ends, so that a killed test leaves no process behind.

import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";

// Silences warnings about development settings: the test reads the address from standard output.
console.info = console.log = console.warn = () => {};
const { Provider } = await import("oidc-provider");

const TTL = 2 * 60 * 60; // seconds; the mock clocks of the tests run ahead

// The algorithm of the tokens for each `resource`.
const RESOURCES = {
  "urn:rs256": "RS256",
  "urn:ps256": "PS256",
  "urn:es256": "ES256",
  "urn:es384": "ES384",
  "urn:eddsa": "EdDSA",
  "urn:ed25519": "Ed25519",
};

let generation = 0;

/**
 * Creates a key of each kind. The keys have no `alg`, because the RSA key signs RS256 and PS256,
 * and the Ed25519 key signs EdDSA and Ed25519.
 */
function newKeys() {
  const of = (kid, ...kind) => {
    const { privateKey } = generateKeyPairSync(...kind);
    return { ...privateKey.export({ format: "jwk" }), kid: `${kid}-${generation}`, use: "sig" };
  };
  generation += 1;
  return [
    of("rsa", "rsa", { modulusLength: 2048 }),
    of("p256", "ec", { namedCurve: "P-256" }),
    of("p384", "ec", { namedCurve: "P-384" }),
    of("ed25519", "ed25519"),
  ];
}

function callbackWith(keys) {
  const client = (client_id, settings) => ({
    client_id,
    client_secret: "e2e-secret",
    grant_types: ["client_credentials"],
    redirect_uris: [],
    response_types: [],
    ...settings,
  });
  const provider = new Provider(issuer, {
    jwks: { keys },
    clients: [
      client("service"),
      client("dpop-service", { dpop_bound_access_tokens: true }),
      client("mtls-service", { tls_client_certificate_bound_access_tokens: true }),
    ],
    scopes: ["read", "write"],
    ttl: { ClientCredentials: TTL },
    enabledJWA: { idTokenSigningAlgValues: Object.values(RESOURCES) },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      dPoP: { enabled: true },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        // From nginx, in front of the provider: `$ssl_client_escaped_cert`.
        getCertificate: (ctx) => decodeURIComponent(ctx.get("x-ssl-client-cert")),
      },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_, resource) => ({
          accessTokenFormat: "jwt",
          audience: resource,
          jwt: { sign: { alg: RESOURCES[resource] } },
          scope: "read write",
        }),
      },
    },
  });
  return provider.callback();
}

const hits = { discovery: 0, jwks: 0 };
let issuer, newest, callback;
let outage = false;

function control(url) {
  switch (url.pathname) {
    case "/ctl/rotate": {
      // The provider signs with the first suitable key.
      const old = newest;
      newest = newKeys();
      callback = callbackWith([...newest, ...old]);
      return "";
    }
    case "/ctl/retire":
      callback = callbackWith(newest);
      return "";
    case "/ctl/outage":
      outage = url.searchParams.get("on") === "1";
      return "";
    case "/ctl/hits":
      return JSON.stringify(hits);
  }
}

const server = createServer((request, response) => {
  const url = new URL(request.url, issuer);
  if (url.pathname.startsWith("/ctl/")) {
    const answer = control(url);
    response.writeHead(answer === undefined ? 404 : 200).end(answer);
    return;
  }
  if (url.pathname.startsWith("/.well-known/")) hits.discovery += 1;
  if (url.pathname === "/jwks") hits.jwks += 1;
  if (outage) {
    response.writeHead(500).end();
    return;
  }
  callback(request, response);
});

server.listen(0, "127.0.0.1", () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  newest = newKeys();
  callback = callbackWith(newest);
  process.stdout.write(`listening on ${issuer}\n`);
});
process.stdin.on("end", () => process.exit()).resume();
