"""Sends the deployment events of a service, which MiniStack's ECS does not send.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_service_deployment_events.html
"""

import threading
import time

import bus
from ministack.core.concurrency import resource_lock
from ministack.services import ecs

# The deployments of each service when its events were last sent: service ARN -> deployment id ->
# (rollout state, is primary).
sent = {}
sending = threading.Lock()


def changes(before, after):
    """Returns the changes of deployments as tuples.

    A tuple has the event's name, the deployment's id, and whether the deployment is a rollback. The
    tuples have the order of ECS: deployments that begin, deployments that fail, older deployments
    to which the circuit breaker rolls back, and deployments that complete. A superseded deployment
    has no event, as on AWS.
    """
    begun, failed, back, completed = [], [], [], []
    for name, (state, is_primary) in after.items():
        was_state, was_primary = before.get(name, (None, None))
        is_new = was_state is None
        again = was_state in ("COMPLETED", "FAILED") and state == "IN_PROGRESS"
        returns = not is_new and (again or (is_primary and not was_primary))
        if is_new:
            begun.append(("IN_PROGRESS", name, False))
        if returns:
            back.append(("IN_PROGRESS", name, True))
        if state != was_state or returns:
            if state == "FAILED":
                failed.append(("FAILED", name, False))
            elif state == "COMPLETED":
                completed.append(("COMPLETED", name, False))
    return begun + failed + back + completed


def detail_of(cluster, event, deployment, is_rollback):
    """Returns the detail of an event. AWS sends `clusterArn`, but does not document it."""
    reasons = {
        "IN_PROGRESS": f"ECS deployment {deployment} in progress.",
        "COMPLETED": f"ECS deployment {deployment} completed.",
        "FAILED": "ECS deployment circuit breaker: task failed to start.",
    }
    rollback = f"ECS deployment circuit breaker: rolling back to deploymentId {deployment}."
    return {
        "eventType": "ERROR" if event == "FAILED" else "INFO",
        "eventName": f"SERVICE_DEPLOYMENT_{event}",
        "clusterArn": cluster,
        "deploymentId": deployment,
        "updatedAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "reason": rollback if is_rollback else reasons[event],
    }


def send(key):
    """Sends the events of a service's changes since the last call."""
    with sending:
        with resource_lock("ecs-service", key):
            service = ecs._services.get(key)
            if service is None:
                return
            after = {
                one["id"]: (one["rolloutState"], one["status"] == "PRIMARY") for one in service["deployments"]
            }
        arn = service["serviceArn"]
        before, sent[arn] = sent.get(arn, {}), after
        for change in changes(before, after):
            detail = detail_of(service["clusterArn"], *change)
            bus.put("aws.ecs", "ECS Deployment State Change", [arn], detail)


# MiniStack calls this Python function after each change of a service or its tasks, and before it
# waits for a container to stop.
refresh = ecs._refresh_service_state


def refresh_with_events(cluster_name, group):
    if group and group.startswith("service:"):
        send(f"{cluster_name}/{group.removeprefix('service:')}")
    refresh(cluster_name, group)


ecs._refresh_service_state = refresh_with_events
