// Runs on a page of the service. Sends the requests that the service must accept.
async () => {
  const sent = await fetch("/notes?fetch", { method: "POST", body: "fetch" });

  const frame = document.createElement("iframe");
  frame.name = "frame";
  document.body.append(frame);
  const form = document.createElement("form");
  Object.assign(form, { method: "post", action: "/notes?form", enctype: "text/plain", target: "frame" });
  document.body.append(form);
  await new Promise((done) => {
    frame.onload = done;
    form.submit();
  });

  const message = await new Promise((done) => {
    const socket = new WebSocket(`${location.origin.replace("http", "ws")}/socket?websocket`);
    socket.onopen = () => socket.send("websocket");
    socket.onmessage = ({ data }) => done(data);
    socket.onclose = ({ code }) => done(code);
  });
  return [sent.status, message];
}
