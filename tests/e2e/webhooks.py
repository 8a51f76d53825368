"""Signs and verifies webhooks with libraries of their senders.

`POST /verify/FORMAT` verifies the request with the secret in `x-secret`: 200, or 401 with the error. `POST /send`
sends a webhook and returns its status. Its body is a JSON object: `format`, `secret`, `id`, `body` (what is signed),
`sent` (what is sent) and `to` (the URL).
"""

import base64
import hashlib
import hmac
import json
import time
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests
import stripe
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from standardwebhooks import Webhook


def sign_standard(secret, id, body):
    now = datetime.now(timezone.utc)
    signature = Webhook(secret).sign(msg_id=id, timestamp=now, data=body)
    return {"webhook-id": id, "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}


def verify_standard(secret, headers, body):
    Webhook(secret).verify(body, headers)


def raw(text):
    return base64.b64decode(text.split("_", 1)[1])


# The library has no v1a, so this is what the specification says.
def sign_v1a(secret, id, body):
    timestamp = str(int(time.time()))
    key = Ed25519PrivateKey.from_private_bytes(raw(secret)[:32])
    signature = base64.b64encode(key.sign(f"{id}.{timestamp}.{body}".encode())).decode()
    return {"webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": f"v1a,{signature}"}


def verify_v1a(secret, headers, body):
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    entries = [entry.split(",") for entry in headers["webhook-signature"].split(" ")]
    signatures = [base64.b64decode(signature) for version, signature in entries if version == "v1a"]
    key = Ed25519PublicKey.from_public_bytes(raw(secret))
    if not any(is_valid(key, signature, content) for signature in signatures):
        raise ValueError("no signature matches")


def is_valid(key, signature, content):
    try:
        key.verify(signature, content)
        return True
    except InvalidSignature:
        return False


# As in GitHub's documentation.
def sign_github(secret, id, body):
    digest = hmac.new(secret.encode(), msg=body.encode(), digestmod=hashlib.sha256).hexdigest()
    return {"x-hub-signature-256": f"sha256={digest}"}


def verify_github(secret, headers, body):
    expected = sign_github(secret, None, body.decode())["x-hub-signature-256"]
    if not hmac.compare_digest(expected, headers["x-hub-signature-256"]):
        raise ValueError("no signature matches")


# The library has no public function that creates the header.
def sign_stripe(secret, id, body):
    timestamp = int(time.time())
    signature = stripe.WebhookSignature._compute_signature(f"{timestamp}.{body}", secret)
    return {"stripe-signature": f"t={timestamp},v1={signature}"}


def verify_stripe(secret, headers, body):
    stripe.Webhook.construct_event(body, headers["stripe-signature"], secret)


client = requests.Session()
client.trust_env = False


def send(format, secret, id, body, sent, to):
    headers = globals()[f"sign_{format}"](secret, id, body)
    return str(client.post(to, headers=headers, data=sent.encode(), timeout=20).status_code)


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        status, text = 200, "verified"
        try:
            if self.path == "/send":
                text = send(**json.loads(body))
            else:
                verify = globals()["verify_" + self.path.removeprefix("/verify/")]
                verify(self.headers["x-secret"], self.headers, body)
        except Exception as error:
            status, text = 401, repr(error)
        self.send_response(status)
        self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *arguments):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
