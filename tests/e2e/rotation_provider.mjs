// An OpenID provider on loopback that rotates refresh tokens. Tests log the user alice in with
// `/ctl/login?client=ID`. It exits when its standard input ends.

import { createServer } from "node:http";
import { Browser, accounts, interact, redirectUris } from "./user_agent.mjs";

// Silences warnings about development settings: the test reads the address from standard output.
console.info = console.log = console.warn = () => {};
const { Provider } = await import("oidc-provider");

const SECRET = 'e2e secret:+/%&"';
const RESOURCE = "urn:orders";
let issuer, provider, callback;

function newProvider() {
  const client = (client_id, token_endpoint_auth_method, grant_types) => ({
    client_id,
    ...(token_endpoint_auth_method === "none" ? {} : { client_secret: SECRET }),
    token_endpoint_auth_method,
    grant_types,
    redirect_uris: grant_types.includes("authorization_code") ? redirectUris : [],
    response_types: grant_types.includes("authorization_code") ? ["code"] : [],
  });
  const login = ["authorization_code", "refresh_token"];
  return new Provider(issuer, {
    clients: [
      client("web", "client_secret_basic", login),
      client("desktop", "none", login),
      client("service", "client_secret_basic", ["client_credentials"]),
      client("post-service", "client_secret_post", ["client_credentials"]),
    ],
    ...accounts,
    rotateRefreshToken: true,
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_ctx, resource) => ({
          accessTokenFormat: "jwt",
          audience: resource,
          scope: "orders",
        }),
        useGrantedResource: () => true,
      },
    },
  });
}

/** Logs in at this client. Returns the response with the tokens. */
function logIn(clientId) {
  const scope = "openid offline_access orders";
  const params = { client_id: clientId, scope, prompt: "consent", resource: RESOURCE };
  if (clientId === "desktop") return new Browser().logIn(issuer, params);
  const pair = `${clientId}:${encodeURIComponent(SECRET)}`;
  return new Browser().logIn(issuer, params, { authorization: `Basic ${btoa(pair)}` });
}

const server = createServer((request, response) => {
  const url = new URL(request.url, issuer);
  const fail = (error) => response.writeHead(500).end(`${error.stack}`);
  if (url.pathname === "/ctl/login") {
    logIn(url.searchParams.get("client")).then((tokens) => response.end(tokens), fail);
  } else if (url.pathname.startsWith("/interaction/")) {
    interact(provider, request, response).catch(fail);
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
