// Acts as the browser of the user alice, without a browser: logs in at an OpenID provider with the
// authorization code flow, and grants every request.

import { createHash, randomBytes } from "node:crypto";

const REDIRECT_URI = "https://app.example/callback";

/** The settings of a provider and its clients that this script needs. */
export const redirectUris = [REDIRECT_URI];
export const accounts = {
  findAccount: (_ctx, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
  interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
};

/** Logs in and grants consent in place of a user. */
export async function interact(provider, request, response) {
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
export class Browser {
  cookies = new Map();

  async visit(url, options = {}) {
    const { origin } = new URL(url);
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
      if (url.origin !== origin) return url;
      options = {};
    }
  }

  /**
   * Logs in with an authorization code and PKCE. `headers` authenticate the client, unless it is
   * public. Returns the response with the tokens.
   */
  async logIn(issuer, params, headers) {
    const verifier = randomBytes(32).toString("base64url");
    const { client_id, resource } = params;
    const query = new URLSearchParams({
      ...params,
      redirect_uri: REDIRECT_URI,
      response_type: "code",
      code_challenge: createHash("sha256").update(verifier).digest("base64url"),
      code_challenge_method: "S256",
    });
    const callback = await this.visit(new URL(`/auth?${query}`, issuer));
    const response = await fetch(new URL("/token", issuer), {
      method: "POST",
      headers,
      body: new URLSearchParams({
        grant_type: "authorization_code",
        code: callback.searchParams.get("code"),
        redirect_uri: REDIRECT_URI,
        code_verifier: verifier,
        resource,
        ...(headers ? {} : { client_id }),
      }),
    });
    return response.text();
  }
}
