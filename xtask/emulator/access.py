"""Refuses requests that the local cloud must not serve.

Every page in a browser of this machine can reach the port, and MiniStack trusts too many callers.

- A request's `Host` must be loopback or `*.localhost`. A request with any other name is DNS
  rebinding.
- A request with an `Origin` comes from a page. Only a page of this cloud's API may send requests,
  and only to its own API.
- No other site may read a response: responses have no CORS headers, and preflights are refused.
- MiniStack treats a missing key, `test` and every account's number as root, and never checks root's
  signature. Here root has the one key of this process, and the cloud checks root's signature too.
- MiniStack derives the keys of a function's role from names that are the same in every cloud. Here
  the keys are random.
"""

import hashlib
import hmac
import ipaddress
import json
import logging
import os
import re
import secrets
from http.server import BaseHTTPRequestHandler

from ministack import app as application
from ministack.core import iam_evaluator, lambda_runtime
from ministack.services import lambda_svc, sts

logger = logging.getLogger("access")

# --- Host and Origin ---

PORT = r"(:[0-9]{1,5})?"
LOCALHOST = re.compile(r"([a-z0-9_-]+\.)*localhost" + PORT)
ADDRESS = re.compile(r"(\[(?P<v6>[0-9a-f:.]+)\]|(?P<v4>[0-9.]+))" + PORT)
API = re.compile(r"[a-z0-9]+\.execute-api\.localhost" + PORT)
# MiniStack serves these paths for any host, and without a signature.
NOT_OF_AN_API = ("/_", "/v2/")


def is_local(host):
    if LOCALHOST.fullmatch(host):
        return True
    address = ADDRESS.fullmatch(host)
    try:
        return bool(address) and ipaddress.ip_address(address["v6"] or address["v4"]).is_loopback
    except ValueError:
        return False


def refusal(headers, path):
    """Returns the reason to refuse a request, or None."""
    headers = [(name.lower(), value) for name, value in headers]
    hosts = [value.lower() for name, value in headers if name == "host"]
    if len(hosts) != 1 or not is_local(hosts[0]):
        return f"The local cloud answers on localhost only, not as {' and '.join(hosts)!a}."
    [host] = hosts
    origins = [value for name, value in headers if name == "origin"]
    if not origins:
        return None
    sites = [value for name, value in headers if name == "sec-fetch-site"]
    # A page with `Referrer-Policy: no-referrer` sends its own forms with the origin `null`. A frame
    # of another site sends `null` too, but no script can set Sec-Fetch-Site.
    own = [f"http://{host}"] == origins or (origins == ["null"] and sites == ["same-origin"])
    if own and API.fullmatch(host) and not path.startswith(NOT_OF_AN_API):
        return None
    return f"The local cloud answers no page of a browser: the request comes from {' and '.join(origins)!a}."


def without_cors(send):
    async def send_without_cors(message):
        if "headers" in message:
            kept = [one for one in message["headers"] if not bytes(one[0]).lower().startswith(b"access-control-")]
            message = {**message, "headers": kept}
        await send(message)

    return send_without_cors


def guarded(answer):
    async def guard(scope, receive, send):
        text = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope.get("headers", [])]
        reason = refusal(text, scope["path"]) if scope["type"] in ("http", "websocket") else None
        if reason is None:
            await answer(scope, receive, without_cors(send))
            return
        logger.warning("refused %s %a: %s", scope.get("method", "websocket"), scope["path"], reason)
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        body = json.dumps({"message": reason}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 403, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return guard


application.app = guarded(application.app)

# A Lambda function gets its events from its own port, Lambda's runtime API. MiniStack serves that
# port with this class.
parse_request = BaseHTTPRequestHandler.parse_request


def parse_guarded_request(self):
    if not parse_request(self):
        return False
    reason = refusal(self.headers.items(), self.path)
    if reason is not None:
        logger.warning("refused %s %a: %s", self.command, self.path, reason)
        self.send_error(403, explain=reason)
    return reason is None


BaseHTTPRequestHandler.parse_request = parse_guarded_request


# --- root's key ---


def is_root(key):
    return bool(key) and key == os.environ.get("AWS_ACCESS_KEY_ID")


iam_evaluator.is_root_access_key = is_root
sts.is_root_access_key = is_root
# MiniStack calls this Python function only to decide whose signature not to check.
iam_evaluator._is_root_key = lambda key: False

identity = iam_evaluator.resolve_caller_identity


def identity_or_root(key):
    if not is_root(key):
        return identity(key)
    account = iam_evaluator.resolve_credential(key).account_id
    arn = f"arn:aws:iam::{account}:root"
    return {
        "accessKey": key,
        "accountId": account,
        "userArn": arn,
        "userId": account,
        "principalOrgId": iam_evaluator._principal_org_id(account),
        "session": None,
    }


iam_evaluator.resolve_caller_identity = identity_or_root

# MiniStack also treats unsigned requests as root's. The links in SNS's messages have no signature
# on AWS either, so they stay allowed.

enforce = iam_evaluator.enforce


def enforced_but_for_links(access_key_id, iam_action, *others, **named):
    unsigned = not access_key_id and iam_evaluator._signed_request.get() is None
    if unsigned and iam_action in iam_evaluator._UNSIGNED_LINK_ACTIONS:
        return None
    return enforce(access_key_id, iam_action, *others, **named)


iam_evaluator.enforce = enforced_but_for_links

# A request for a path without a route gets 404, with or without a signature.

enforce_api = application._enforce_execute_api


def enforced_on_routes(api, stage, method, path, *others, iam_action="execute-api:Invoke"):
    is_invoked = iam_action == "execute-api:Invoke"
    if is_invoked and application._execute_api_authorization_type(api, stage, method, path) is None:
        return None
    return enforce_api(api, stage, method, path, *others, iam_action=iam_action)


application._enforce_execute_api = enforced_on_routes


# --- the keys of a Lambda function's role ---

seed = secrets.token_bytes(32)


def execution_credentials(config):
    """Returns keys that stay the same for a function and its role while this cloud runs."""
    account, _ = lambda_runtime._account_region_from_function_config(config)
    role, function = config.get("Role", ""), config["FunctionArn"]

    def derived(word):
        return hmac.new(seed, f"{word}\n{function}\n{role}".encode(), hashlib.sha256).hexdigest()

    name, session = role.rsplit("/", 1)[-1], config.get("FunctionName", "")[:64]
    key, secret, token = f"ASIA{derived('key')[:16].upper()}", derived("secret"), derived("token")
    arn = f"arn:aws:sts::{account}:assumed-role/{name}/{session}"
    sts.register_session(key, {"Arn": arn, "UserId": f"{name}:{session}", "SecretAccessKey": secret, "SessionToken": token})
    return {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token}


lambda_runtime.execution_credentials = execution_credentials
lambda_svc.execution_credentials = execution_credentials
