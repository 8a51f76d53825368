// An OpenID provider on loopback that sends logout tokens to a service. Tests start it with
// `/ctl/service?uri=URL`, log the user alice in with `/ctl/login?client=ID&browser=NAME`, and out
// with `/ctl/logout?browser=NAME`. It exits when its standard input ends.

import { createHash, randomBytes } from "node:crypto";
import { createServer } from "node:http";

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
    redirect_uris: ["https://app.example/callback"],
    backchannel_logout_uri: uri,
    backchannel_logout_session_required: sessionRequired,
  });
  const provider = new Provider(issuer, {
    clients: [client("with-sid", true), client("with-sub", false)],
    findAccount: (_ctx, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
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

/** Logs in and grants consent in place of a user. */
async function interact(request, response) {
  const { prompt, params, session, grantId } = await provider.interactionDetails(request, response);
  if (prompt.name === "login") {
    return provider.interactionFinished(request, response, { login: { accountId: "alice" } });
  }
  const grant =
    (grantId && (await provider.Grant.find(grantId))) ||
    new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  const { missingOIDCScope = [], missingResourceScopes = {} } = prompt.details;
  grant.addOIDCScope(missingOIDCScope.join(" "));
  for (const [resource, scopes] of Object.entries(missingResourceScopes)) {
    grant.addResourceScope(resource, scopes.join(" "));
  }
  return provider.interactionFinished(request, response, { consent: { grantId: await grant.save() } });
}

/** Keeps cookies and follows redirects within the provider. */
class Browser {
  cookies = new Map();

  async visit(url, options = {}) {
    for (;;) {
      const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join("; ");
      const headers = { ...options.headers, cookie };
      const response = await fetch(url, { ...options, headers, redirect: "manual" });
      for (const line of response.headers.getSetCookie()) {
        const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
        if (value === "") this.cookies.delete(name);
        else this.cookies.set(name, value);
      }
      const location = response.headers.get("location");
      if (location === null) return response;
      url = new URL(location, url);
      if (url.origin !== issuer) return url;
      options = {};
    }
  }
}

const browsers = new Map();

function browser(name) {
  if (!browsers.has(name)) browsers.set(name, new Browser());
  return browsers.get(name);
}

/** Logs in with an authorization code and PKCE. Returns the response with the tokens. */
async function logIn(clientId, browserName) {
  const verifier = randomBytes(32).toString("base64url");
  const params = new URLSearchParams({
    client_id: clientId,
    redirect_uri: "https://app.example/callback",
    response_type: "code",
    scope: "openid orders",
    resource: RESOURCE,
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
  });
  const callback = await browser(browserName).visit(new URL(`/auth?${params}`, issuer));
  const response = await fetch(new URL("/token", issuer), {
    method: "POST",
    headers: { authorization: `Basic ${btoa(`${clientId}:${SECRET}`)}` },
    body: new URLSearchParams({
      grant_type: "authorization_code",
      code: callback.searchParams.get("code"),
      redirect_uri: "https://app.example/callback",
      code_verifier: verifier,
      resource: RESOURCE,
    }),
  });
  return response.text();
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
    interact(request, response).catch(fail);
  } else {
    callback(request, response);
  }
});

server.listen(0, "127.0.0.1", () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  process.stdout.write(`listening on ${issuer}\n`);
});
process.stdin.on("end", () => process.exit()).resume();
