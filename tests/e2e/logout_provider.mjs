// An OpenID provider on loopback that sends logout tokens to a service. Tests start it with
// `/ctl/service?uri=URL`, log the user alice in with `/ctl/login?client=ID&browser=NAME`, and out
// with `/ctl/logout?browser=NAME`. It exits when its standard input ends.

import { createServer } from "node:http";
import { Browser, accounts, interact, redirectUris } from "./user_agent.mjs";

// Silences warnings about development settings: the test reads the address from standard output.
console.info = console.log = console.warn = () => {};
const { Provider } = await import("oidc-provider");

const SECRET = "e2e-secret";
const RESOURCE = "urn:orders";

/** The results of back-channel logout requests, as the provider saw them. */
let results = [];
let issuer, provider, callback;

function newProvider(uri) {
  const client = (client_id, sessionRequired) => ({
    client_id,
    client_secret: SECRET,
    redirect_uris: redirectUris,
    backchannel_logout_uri: uri,
    backchannel_logout_session_required: sessionRequired,
  });
  const provider = new Provider(issuer, {
    clients: [client("with-sid", true), client("with-sub", false)],
    ...accounts,
    // The service is on loopback, which the provider does not send requests to by default.
    fetch: (url, { dispatcher, ...options }) => fetch(url, options),
    features: {
      backchannelLogout: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_ctx, resource) => ({
          accessTokenFormat: "jwt",
          audience: resource,
          scope: "orders",
        }),
      },
    },
  });
  provider.on("backchannel.success", (_ctx, client) => results.push(`${client.clientId}: ok`));
  provider.on("backchannel.error", (_ctx, error, client) => {
    results.push(`${client.clientId}: ${error.message} ${error.cause ?? ""}`);
  });
  return provider;
}

const browsers = new Map();

function browser(name) {
  if (!browsers.has(name)) browsers.set(name, new Browser());
  return browsers.get(name);
}

/** Logs in. Returns the response with the tokens. */
function logIn(clientId, browserName) {
  const params = { client_id: clientId, scope: "openid orders", resource: RESOURCE };
  const headers = { authorization: `Basic ${btoa(`${clientId}:${SECRET}`)}` };
  return browser(browserName).logIn(issuer, params, headers);
}

/** Ends the session of a browser at the provider. Returns the results of the logout requests. */
async function logOut(browserName) {
  results = [];
  const page = await browser(browserName).visit(new URL("/session/end", issuer));
  const [, xsrf] = /name="xsrf" value="([^"]+)"/.exec(await page.text());
  await browser(browserName).visit(new URL("/session/end/confirm", issuer), {
    method: "POST",
    body: new URLSearchParams({ xsrf, logout: "yes" }),
  });
  return JSON.stringify(results);
}

async function control(url) {
  const param = (name) => url.searchParams.get(name);
  switch (url.pathname) {
    case "/ctl/service":
      provider = newProvider(param("uri"));
      callback = provider.callback();
      return "";
    case "/ctl/login":
      return logIn(param("client"), param("browser"));
    case "/ctl/logout":
      return logOut(param("browser"));
  }
}

const server = createServer((request, response) => {
  const url = new URL(request.url, issuer);
  const fail = (error) => response.writeHead(500).end(`${error.stack}`);
  if (url.pathname.startsWith("/ctl/")) {
    control(url).then((answer) => response.writeHead(answer === undefined ? 404 : 200).end(answer), fail);
  } else if (url.pathname.startsWith("/interaction/")) {
    interact(provider, request, response).catch(fail);
  } else {
    callback(request, response);
  }
});

server.listen(0, "127.0.0.1", () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  process.stdout.write(`listening on ${issuer}\n`);
});
process.stdin.on("end", () => process.exit()).resume();
