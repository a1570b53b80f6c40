"""The default bus, to which AWS services send their events.

`PutEvents` refuses `aws.` sources here, as on AWS.
"""

import json
import logging

from ministack.core import iam_evaluator
from ministack.services import eventbridge

logger = logging.getLogger("events")


def put(source, detail_type, resources, detail):
    """Puts one event of a service on the bus, which adds the id, account, region and time."""
    text = json.dumps(detail)
    put_entries([{"Source": source, "DetailType": detail_type, "Resources": resources, "Detail": text}])
    logger.info("%s: %s %s", detail_type, " ".join(resources), text)


def put_entries(entries):
    eventbridge._ensure_default_bus()
    return eventbridge._put_events({"Entries": entries}, allow_aws_source=True)


def put_service_events(data):
    """Puts events of services that MiniStack lacks, such as CloudTrail. Only root may call this."""
    if not iam_evaluator.caller_arn().endswith(":root"):
        return eventbridge.error_response_json("AccessDeniedException", "PutServiceEvents is for root only", 400)
    return put_entries(data.get("Entries", []))


calls = eventbridge.handle_request


async def with_service_events(method, path, headers, body, query_params):
    if headers.get("x-amz-target", "") == "AWSEvents.PutServiceEvents":
        return put_service_events(json.loads(body or "{}"))
    return await calls(method, path, headers, body, query_params)


eventbridge.handle_request = with_service_events
