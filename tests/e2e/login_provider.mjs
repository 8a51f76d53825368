// An OpenID provider on loopback with a login form, for the example `oidc_login` and its tests.
//
// Arguments: `--app URL` registers the clients `app`, `app-post`, `app-eddsa`, `spa` and, with
// `--key FILE`, `app-key` for an application at this URL. `--port PORT` sets the port. The provider
// exits when its standard input ends.
//
// Tests control it at `/ctl/`:
//   clients?app=URL&suffix=TEXT&key=FILE   registers the clients, with the suffix in their names; an
//                                          application that runs several times has several URLs
//   logout?user=NAME                       ends the sessions of a user, and notifies the clients
//   age?user=NAME&seconds=N                moves the logins of a user into the past
//   outage?on=1                            returns 503 for every path of the protocol

import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { parseArgs } from "node:util";
import { interact } from "./user_agent.mjs";

// Silences warnings about development settings: the test reads the address from standard output.
console.info = console.log = console.warn = () => {};
const { Provider, interactionPolicy } = await import("oidc-provider");
const { createMemoryAdapter } = await import("oidc-provider/lib/adapters/memory_adapter.js");

const { app, key, port } = parseArgs({
  options: { app: { type: "string" }, key: { type: "string" }, port: { type: "string", default: "0" } },
}).values;

const SECRET = "app-secret";
/** Authentication contexts. A login has the first one, unless the application asks for the other. */
const ACR_VALUES = ["urn:example:password", "urn:example:strong"];

const jwk = (kid, ...kind) => ({
  ...generateKeyPairSync(...kind).privateKey.export({ format: "jwk" }),
  kid,
  use: "sig",
});
const keys = [jwk("rsa", "rsa", { modulusLength: 2048 }), jwk("ed25519", "ed25519")];
const clients = new Map();
/** The ids of the sessions of each user. */
const sessions = new Map();
let issuer, provider, callback;
let outage = false;

/**
 * Registers the clients of an application at these URLs. It receives logout tokens at the first one.
 * The key file can have a public or a private key.
 */
function addClients(apps, suffix = "", keyFile) {
  const add = (name, token_endpoint_auth_method, settings) =>
    clients.set(`${name}${suffix}`, {
      client_id: `${name}${suffix}`,
      ...(token_endpoint_auth_method.startsWith("client_secret") && { client_secret: SECRET }),
      token_endpoint_auth_method,
      redirect_uris: apps.map((app) => `${app}/callback`),
      post_logout_redirect_uris: apps.map((app) => `${app}/`),
      backchannel_logout_uri: `${apps[0]}/backchannel-logout`,
      backchannel_logout_session_required: true,
      require_auth_time: true,
      ...settings,
    });
  add("app", "client_secret_basic");
  add("app-post", "client_secret_post");
  add("app-eddsa", "client_secret_basic", { id_token_signed_response_alg: "EdDSA" });
  add("spa", "none");
  if (keyFile) {
    const jwk = createPublicKey(readFileSync(keyFile)).export({ format: "jwk" });
    add("app-key", "private_key_jwt", { jwks: { keys: [jwk] } });
  }
}

/** Asks for a new login if the session is weaker than the application requests. */
function loginPolicy() {
  const { Check, base } = interactionPolicy;
  const policy = base();
  policy.get("login").checks.add(
    new Check("acr_values", "a stronger login is required", ({ oidc }) => {
      const requested = oidc.params.acr_values?.split(" ");
      return requested !== undefined && !requested.includes(oidc.acr) && !oidc.result?.login;
    }),
  );
  return policy;
}

function newProvider() {
  const memory = createMemoryAdapter();
  provider = new Provider(issuer, {
    jwks: { keys },
    // Clients can be added while the provider runs.
    adapter: (model) => {
      const adapter = memory(model);
      return model === "Client" ? Object.assign(adapter, { find: async (id) => clients.get(id) }) : adapter;
    },
    acrValues: ACR_VALUES,
    claims: { openid: ["sub"], profile: ["name", "groups"] },
    enabledJWA: { idTokenSigningAlgValues: ["RS256", "EdDSA"] },
    findAccount: (_ctx, accountId) => ({
      accountId,
      claims: () => ({
        sub: accountId,
        name: accountId[0].toUpperCase() + accountId.slice(1),
        groups: accountId.startsWith("admin") ? ["admin"] : [],
      }),
    }),
    interactions: { url: (_ctx, { uid }) => `/interaction/${uid}`, policy: loginPolicy() },
    // The service is on loopback, which the provider does not send requests to by default.
    fetch: (url, { dispatcher, ...options }) => fetch(url, options),
    features: {
      backchannelLogout: { enabled: true },
      devInteractions: { enabled: false },
      rpInitiatedLogout: {
        logoutSource: (ctx, form) => {
          const button = '<button form="op.logoutForm" name="logout" value="yes" id="confirm">Log out</button>';
          ctx.body = page(`<h1>Log out at the provider?</h1>${form}${button}`);
        },
      },
    },
  });
  provider.on("authorization.success", ({ oidc: { session } }) => {
    const ids = sessions.get(session.accountId) ?? new Set();
    sessions.set(session.accountId, ids.add(session.uid));
  });
  callback = provider.callback();
}

const page = (content) => `<!doctype html><html lang="en"><meta charset="utf-8"><title>Provider</title>${content}</html>`;

/** Shows the login form, and handles it. Consent is granted without a question. */
async function interaction(request, response) {
  const { prompt, params } = await provider.interactionDetails(request, response);
  if (prompt.name !== "login") return interact(provider, request, response);
  if (request.method !== "POST") {
    response.setHeader("content-type", "text/html");
    const hint = /^[a-z0-9-]+$/.exec(params.login_hint ?? "") ?? "";
    return response.end(
      page(`<h1>Log in at the provider</h1><form method="post">
        <input name="user" placeholder="alice" value="${hint}" autofocus>
        <button name="action" value="login" id="login">Log in</button>
        <button name="action" value="cancel" id="cancel">Cancel</button></form>`),
    );
  }
  const form = new URLSearchParams(await new Response(request).text());
  if (form.get("action") === "cancel") {
    const result = { error: "access_denied", error_description: "the user cancelled the login" };
    return provider.interactionFinished(request, response, result);
  }
  const acr = params.acr_values?.split(" ").find((acr) => ACR_VALUES.includes(acr)) ?? ACR_VALUES[0];
  const login = { accountId: form.get("user") || "alice", acr };
  return provider.interactionFinished(request, response, { login }, { mergeWithLastSubmission: false });
}

async function sessionsOf(user) {
  const found = await Promise.all([...(sessions.get(user) ?? [])].map((id) => provider.Session.findByUid(id)));
  return found.filter((session) => session?.accountId === user);
}

/** Ends the sessions of a user. Returns the results of the requests to the clients. */
async function logOut(user) {
  const results = [];
  for (const session of await sessionsOf(user)) {
    for (const clientId of Object.keys(session.authorizations ?? {})) {
      const client = await provider.Client.find(clientId);
      const sent = client.backchannelLogout(user, session.sidFor(clientId));
      results.push(await sent.then(() => "ok", (error) => `${error.message} ${error.cause ?? ""}`));
    }
    await session.destroy();
  }
  return JSON.stringify(results);
}

async function setBack(user, seconds) {
  for (const session of await sessionsOf(user)) {
    session.loginTs -= seconds;
    await session.persist();
  }
  return "";
}

async function control(url) {
  const param = (name) => url.searchParams.get(name) ?? undefined;
  switch (url.pathname) {
    case "/ctl/clients":
      addClients(url.searchParams.getAll("app"), param("suffix"), param("key"));
      return "";
    case "/ctl/logout":
      return logOut(param("user"));
    case "/ctl/age":
      return setBack(param("user"), Number(param("seconds")));
    case "/ctl/outage":
      outage = param("on") === "1";
      return "";
  }
}

const server = createServer((request, response) => {
  const url = new URL(request.url, issuer);
  const fail = (error) => response.writeHead(500).end(`${error.stack}`);
  if (url.pathname.startsWith("/ctl/")) {
    control(url).then((answer) => response.writeHead(answer === undefined ? 404 : 200).end(answer), fail);
  } else if (outage) {
    response.writeHead(503).end();
  } else if (url.pathname.startsWith("/interaction/")) {
    interaction(request, response).catch(fail);
  } else {
    callback(request, response);
  }
});

server.listen(Number(port), "127.0.0.1", () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  newProvider();
  if (app) addClients([app], "", key);
  process.stdout.write(`listening on ${issuer}\n`);
});
process.stdin.on("end", () => process.exit()).resume();
