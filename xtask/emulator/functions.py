"""Repairs MiniStack's Lambda, so that each call does what AWS documents.

- `ListFunctions` returns every version on request.
- The limit of a queue's parallel batches becomes a number. A template's parameter is always text,
  and MiniStack would compare the text with a number.
"""

import json

from ministack.services import lambda_svc

# --- ListFunctions ---
# https://docs.aws.amazon.com/lambda/latest/api/API_ListFunctions.html

functions = lambda_svc._list_functions


def with_all_versions(query_params):
    status, headers, body = functions(query_params)
    if status != 200 or lambda_svc._qp_first(query_params, "FunctionVersion", "") != "ALL":
        return status, headers, body
    answer = json.loads(body)
    latest = answer["Functions"]
    for function in latest[:]:
        versions = lambda_svc._functions[function["FunctionName"]].get("versions", {})
        latest += [version["config"] for version in versions.values()]
    return lambda_svc.json_response(answer)


lambda_svc._list_functions = with_all_versions


# --- ScalingConfig ---
# https://docs.aws.amazon.com/lambda/latest/api/API_ScalingConfig.html

concurrency = lambda_svc._sqs_esm_concurrency


def with_a_number(esm, *others):
    scaling = esm.get("ScalingConfig") or {}
    if isinstance(scaling.get("MaximumConcurrency"), str):
        scaling["MaximumConcurrency"] = int(scaling["MaximumConcurrency"])
    return concurrency(esm, *others)


lambda_svc._sqs_esm_concurrency = with_a_number
