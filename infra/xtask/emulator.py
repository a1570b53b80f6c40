"""Starts MiniStack with one repair: the address from which it gives an image's blobs.

On AWS that address is a signed one of S3's, which anyone who has it can read. MiniStack names the registry's own
host name, which leads nowhere from here; the same blob is on the port that it listens on.
"""

import json
import os
import sys

from ministack.app import main
from ministack.services import ecr

answer = ecr._get_download_url_for_layer


def with_an_address_of_ours(data):
    status, headers, body = answer(data)
    if status == 200:
        told = json.loads(body)
        path = told["downloadUrl"].split("/", 3)[3]
        told["downloadUrl"] = f"http://localhost:{os.environ['GATEWAY_PORT']}/{path}"
        body = json.dumps(told).encode()
    return status, headers, body


ecr._get_download_url_for_layer = with_an_address_of_ours
sys.exit(main())
