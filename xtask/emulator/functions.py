"""Repairs of MiniStack's Lambda, each as AWS documents the call.

- The list of functions has all their versions, when it is asked for them.
- How many batches of a queue a function takes at once. A template's parameter is text, also where it is a number, and
  MiniStack compares it with one.
"""

import json

from ministack.services import lambda_svc

# --- ListFunctions: https://docs.aws.amazon.com/lambda/latest/api/API_ListFunctions.html ---

functions = lambda_svc._list_functions


def with_all_versions(query_params):
    status, headers, body = functions(query_params)
    if status != 200 or lambda_svc._qp_first(query_params, "FunctionVersion", "") != "ALL":
        return status, headers, body
    told = json.loads(body)
    latest = told["Functions"]
    for function in latest[:]:
        versions = lambda_svc._functions[function["FunctionName"]].get("versions", {})
        latest += [version["config"] for version in versions.values()]
    return lambda_svc.json_response(told)


lambda_svc._list_functions = with_all_versions


# --- ScalingConfig: https://docs.aws.amazon.com/lambda/latest/api/API_ScalingConfig.html ---

concurrency = lambda_svc._sqs_esm_concurrency


def with_a_number(esm, *others):
    scaling = esm.get("ScalingConfig") or {}
    if isinstance(scaling.get("MaximumConcurrency"), str):
        scaling["MaximumConcurrency"] = int(scaling["MaximumConcurrency"])
    return concurrency(esm, *others)


lambda_svc._sqs_esm_concurrency = with_a_number
