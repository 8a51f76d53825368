// An OpenID provider on loopback whose keys rotate when it is told to. It ends when its standard input does, so
// that a test that was killed leaves nothing behind.

import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";

// It warns that nothing here is fit for production. Standard output is for the address alone.
console.info = console.log = console.warn = () => {};
const { Provider } = await import("oidc-provider");

const TTL = 2 * 60 * 60; // the tests turn their clocks

// What is asked for as `resource`, and how the tokens for it are signed.
const RESOURCES = {
  "urn:rs256": "RS256",
  "urn:ps256": "PS256",
  "urn:es256": "ES256",
  "urn:es384": "ES384",
  "urn:eddsa": "EdDSA",
  "urn:ed25519": "Ed25519",
};

let generation = 0;

/** A key of each kind. None is given an `alg`: one signs both RS256 and PS256, another both EdDSA and Ed25519. */
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
  const provider = new Provider(issuer, {
    jwks: { keys },
    clients: [
      {
        client_id: "service",
        client_secret: "e2e-secret",
        grant_types: ["client_credentials"],
        redirect_uris: [],
        response_types: [],
      },
    ],
    scopes: ["read", "write"],
    ttl: { ClientCredentials: TTL },
    enabledJWA: { idTokenSigningAlgValues: Object.values(RESOURCES) },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
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
      // The first that fits is the one that signs.
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
