"""Tests what end-to-end tests of `access` cannot reach: ports of functions, and WebSockets."""

import asyncio
import http.client
import http.server
import threading
import unittest

import access

API = "abc123.execute-api.localhost:4566"


class Access(unittest.TestCase):
    def test_page_of_an_api_reaches_only_its_own_api(self):
        def answered(host, path, *headers):
            return access.refusal([("Host", host), *headers], path) is None

        own, null, site = ("Origin", f"http://{API}"), ("Origin", "null"), "Sec-Fetch-Site"
        self.assertTrue(answered(API, "/approve/1", own))
        self.assertTrue(answered(API, "/approve/1", null, (site, "same-origin")))
        for headers in ([null], [null, (site, "cross-site")], [null, (site, "same-origin"), (site, "none")]):
            self.assertFalse(answered(API, "/approve/1", *headers), headers)
        for host, path in (("localhost:4566", "/"), (f"x.{API}", "/"), (API, "/_ministack/reset"), (API, "/v2/web")):
            self.assertFalse(answered(host, path, ("Origin", f"http://{host}")), f"{host} {path}")
        self.assertFalse(access.refusal([("Host", "localhost"), ("host", "localhost")], "/") is None, "two hosts")

    def test_port_of_a_function_refuses_pages(self):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)

        def status(**headers):
            connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1])
            connection.request("GET", "/2018-06-01/runtime/invocation/next", headers=headers)
            answer = connection.getresponse()
            connection.close()
            return answer.status

        self.assertEqual(status(), 200)
        for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
            self.assertEqual(status(**headers), 403, headers)

    def test_page_of_another_site_cannot_open_a_websocket(self):
        sent = []

        async def answer(scope, receive, send):
            await send({"type": "websocket.accept"})

        async def receive():
            return {"type": "websocket.connect"}

        async def send(message):
            sent.append(message["type"])

        scope = {"type": "websocket", "path": "/", "headers": [(b"host", b"localhost")]}
        asyncio.run(access.guarded(answer)(scope, receive, send))
        scope["headers"].append((b"origin", b"https://evil.example"))
        asyncio.run(access.guarded(answer)(scope, receive, send))
        self.assertEqual(sent, ["websocket.accept", "websocket.close"])


if __name__ == "__main__":
    unittest.main()
