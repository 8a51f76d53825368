// Runs on a page of an attacker. Sends requests that would change something if the service accepted
// them, each named in its query, and waits for those that a page can wait for.
async (service) => {
  const url = (name) => `${service}/notes?${name}`;

  /** Creates a form in a document. It is sent to the frame or window with the name `target`. */
  const form = (document, name, target) => {
    const form = document.createElement("form");
    Object.assign(form, { method: "post", action: url(name), enctype: "text/plain", target });
    form.append(Object.assign(document.createElement("input"), { name: "note", value: name }));
    document.body.append(form);
    return form;
  };

  for (const mode of ["no-cors", "cors"]) {
    const name = `fetch-${mode}`;
    await fetch(url(name), { method: "POST", mode, credentials: "include", body: name }).catch(() => {});
  }

  await new Promise((done) => {
    const request = new XMLHttpRequest();
    request.open("POST", url("xhr"));
    request.withCredentials = true;
    request.onloadend = done;
    request.send("xhr");
  });

  navigator.sendBeacon(url("beacon"), "beacon");

  await new Promise((done) => {
    const image = new Image();
    image.onload = image.onerror = done;
    image.src = url("image");
  });

  const frame = document.createElement("iframe");
  frame.name = "frame";
  document.body.append(frame);
  form(document, "form-to-frame", "frame").submit();
  const inner = document.createElement("iframe");
  document.body.append(inner);
  form(inner.contentDocument, "form-in-frame", "_self").submit();

  // Sends `Origin: null`.
  const sandbox = document.createElement("iframe");
  sandbox.sandbox = "allow-forms allow-scripts";
  sandbox.srcdoc = `<form method=post action="${url("form-in-sandbox")}" enctype=text/plain><input name=a></form>
    <script>document.forms[0].submit()</script>`;
  document.body.append(sandbox);

  await new Promise((done) => {
    const socket = new WebSocket(`${service.replace("http", "ws")}/socket?websocket`);
    socket.onopen = () => socket.send("websocket");
    socket.onmessage = socket.onclose = done;
  });

  // Opens another page in a new window, so that this page can be used again.
  form(document, "form", "_blank").submit();
}
