// The script never sees the token: the cookie is HttpOnly, and the browser sends it.

const $ = (id) => document.getElementById(id);
let socket;

/** Shows the login form or the notes. */
async function load() {
  const me = await fetch("/me");
  if (me.ok) {
    $("user").textContent = await me.text();
    $("list").textContent = await (await fetch("/notes")).text();
    connect();
  } else if (me.status !== 401) {
    // An outage says nothing about the cookie, so the user stays logged in.
    return report(me);
  }
  $("status").textContent = "";
  $("login").hidden = me.ok;
  $("notes").hidden = !me.ok;
}

async function report(response) {
  const wait = response.headers.get("retry-after");
  const text = (await response.text()) || `error ${response.status}`;
  $("status").textContent = wait ? `${text}; try again in ${wait} s` : text;
}

function connect() {
  if (socket && socket.readyState <= WebSocket.OPEN) return;
  socket = new WebSocket(`${location.origin.replace("http", "ws")}/socket`);
  socket.onopen = () => ($("connection").textContent = "Connected.");
  socket.onmessage = ({ data }) => ($("list").textContent += `${data}\n`);
  socket.onclose = ({ code, reason }) => {
    $("connection").textContent = `Disconnected: ${reason || code}.`;
    // The login has expired.
    if (code === 4401) load();
  };
}

/** Sends a form with fetch, so that an error is shown on this page. */
async function submit(event) {
  event.preventDefault();
  const { action, method } = event.target;
  const body = new URLSearchParams(new FormData(event.target));
  const response = await fetch(action, { method, body });
  if (!response.ok) return report(response);
  event.target.reset();
  await load();
}

$("login").onsubmit = submit;
$("logout").onsubmit = async (event) => {
  await submit(event);
  socket?.close();
};
$("note").onsubmit = async (event) => {
  event.preventDefault();
  const response = await fetch("/notes", { method: "POST", body: event.target.text.value });
  if (!response.ok) return report(response);
  event.target.reset();
  await load();
};
$("send").onclick = () => {
  socket.send($("note").text.value);
  $("note").reset();
};
load();
