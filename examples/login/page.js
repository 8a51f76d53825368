// The access token is only in a variable of this script. The refresh token is in a cookie that no
// script can read. After a reload, or in another tab, the page gets an access token with the cookie.

const $ = (id) => document.getElementById(id);
const tabs = new BroadcastChannel("login");
let token;
let timer;
let running;

const post = (path, options) => fetch(path, { method: "POST", signal: AbortSignal.timeout(10_000), ...options });

/**
 * Runs a request that can set the cookie. Several tabs refresh at the same time ("shared"), but a
 * login and a logout wait until no refresh is running ("exclusive"). Otherwise, the late response to
 * a refresh could replace the cookie of a newer login.
 */
const withCookie = (mode, request) => navigator.locks.request("cookie", { mode }, request);

/** Gets a new access token. Ends the login of this tab only if the service says that it has ended. */
function refresh() {
  running ??= withCookie("shared", exchange).finally(() => (running = undefined));
  return running;
}

async function exchange() {
  const response = await post("/page/token/refresh").catch(() => undefined);
  if (response?.ok) {
    await accept(response);
  } else if (response?.status === 400) {
    forget();
  } else {
    // During an outage, the user stays logged in.
    report(response);
    schedule(Number(response?.headers.get("retry-after")) || 5);
  }
}

/** Keeps a new access token, and replaces it shortly before it expires. */
async function accept(response) {
  const { access_token, expires_in } = await response.json();
  token = access_token;
  schedule(expires_in - Math.min(30, expires_in / 3));
  $("expiry").textContent = new Date(Date.now() + 1000 * expires_in).toLocaleTimeString();
  $("status").textContent = "";
}

function forget() {
  token = undefined;
  clearTimeout(timer);
  $("status").textContent = "";
  show(false);
}

function schedule(seconds) {
  clearTimeout(timer);
  timer = setTimeout(load, 1000 * seconds);
}

const bearer = () => ({ authorization: `Bearer ${token}` });

/** Sends a request with the access token. */
async function call(path) {
  const send = () => fetch(path, { headers: bearer() });
  const response = await send();
  if (response.status !== 401) return response;
  // The token has expired, for example while the computer was asleep, or the user has logged out.
  await refresh();
  return token ? send() : response;
}

/** Refreshes, then shows the user or the login form. */
async function load() {
  await refresh();
  await showUser();
}

async function showUser() {
  if (!token) return;
  const me = await call("/me").catch(() => undefined);
  if (me?.ok) {
    $("name").textContent = (await me.json()).subject;
    show(true);
  } else if (me?.status === 401) {
    forget();
  } else {
    report(me);
  }
}

function show(isLoggedIn) {
  $("login").hidden = isLoggedIn;
  $("user").hidden = !isLoggedIn;
}

function report(response) {
  const texts = { 401: "wrong user or password", 429: "too many attempts", 503: "not available now" };
  const text = texts[response?.status] ?? (response ? `error ${response.status}` : "no connection");
  const wait = response?.headers.get("retry-after");
  $("status").textContent = wait ? `${text}; try again in ${wait} s` : text;
}

/** Runs a login or a logout, and tells the other tabs. */
async function change(request, succeeded) {
  const response = await withCookie("exclusive", async () => {
    const response = await request().catch(() => undefined);
    if (response?.ok) await succeeded(response);
    return response;
  });
  if (response?.ok) tabs.postMessage("changed");
  else report(response);
  return response;
}

$("login").onsubmit = async (event) => {
  event.preventDefault();
  const body = JSON.stringify(Object.fromEntries(new FormData(event.target)));
  await change(() => post("/page/login", { headers: { "content-type": "application/json" }, body }), accept);
  if (token) event.target.reset();
  await showUser();
};
$("refresh").onclick = load;
$("logout").onclick = () => change(() => post("/page/logout"), forget);
$("logout-all").onclick = async () => {
  // The access token may have expired.
  await refresh();
  if (!token) return;
  const response = await change(() => post("/page/logout/all", { headers: bearer() }), forget);
  if (response?.status === 401) await load();
};

// Another tab has logged in or out.
tabs.onmessage = load;
// The page was left, and the browser shows it again as it was.
window.onpageshow = ({ persisted }) => persisted && load();
load();
