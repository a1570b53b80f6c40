"""Compares the events of ECR and ECS with AWS's samples: every key, type and fixed word."""

import json
import pathlib
import unittest

import ecr as ecr_repairs  # noqa: F401
import ecs as ecs_repairs
from ministack.services import ecr, ecs, eventbridge

SAMPLES = pathlib.Path(__file__).parent.parent / "samples"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"


def shape(value):
    if isinstance(value, dict):
        return {name: shape(one) for name, one in value.items()}
    if isinstance(value, list):
        return [shape(one) for one in value]
    return type(value).__name__


class Case(unittest.TestCase):
    def setUp(self):
        self.events = []
        dispatch = eventbridge._dispatch_event
        self.addCleanup(setattr, eventbridge, "_dispatch_event", dispatch)
        # `events` gets each event as the target of an EventBridge rule gets it.
        eventbridge._dispatch_event = lambda event, view: self.events.append(view.event_with_detail())

    def assert_like(self, event, sample, *fixed):
        sample = json.loads((SAMPLES / sample).read_text())
        self.assertEqual(shape(event), shape(sample))
        for name in ("version", "source", "detail-type"):
            self.assertEqual(event[name], sample[name])
        for name in fixed:
            self.assertEqual(event["detail"][name], sample["detail"][name], name)


class EcrEvents(Case):
    def setUp(self):
        super().setUp()
        ecr.reset()
        ecr._create_repository({"repositoryName": "web"})

    def push(self, tag, manifest, by_api=False):
        text = json.dumps(manifest)
        digest = ecr._image_digest(text)
        if by_api:
            data = {"repositoryName": "web", "imageManifest": text, "imageManifestMediaType": MANIFEST}
            ecr._put_image({**data, **({"imageTag": tag} if tag else {})})
        else:
            ecr._v2_put_manifest("web", tag or digest, {"content-type": MANIFEST}, text.encode())
        return digest

    def take_events(self):
        details = [event["detail"] for event in self.events]
        self.events.clear()
        return [(one["action-type"], one["image-digest"], one["image-tag"]) for one in details]

    def test_events_have_the_fields_of_aws(self):
        digest = self.push("main", {"config": {"mediaType": CONFIG}})
        self.push("", {"config": {"mediaType": CONFIG}, "layers": []})
        ecr._batch_delete_image({"repositoryName": "web", "imageIds": [{"imageDigest": digest}]})
        push, child, delete = self.events
        fixed = ("result", "action-type")
        self.assert_like(push, "ecr-image-push.json", *fixed, "manifest-media-type", "artifact-media-type")
        self.assert_like(child, "ecr-image-push-untagged.json", *fixed, "image-tag", "artifact-media-type")
        self.assert_like(delete, "ecr-image-delete.json", *fixed)

    def test_push_by_registry_or_by_api_sends_one_event(self):
        for by_api in (False, True):
            digest = self.push(f"v{by_api}", {"by": by_api}, by_api)
            self.assertEqual(self.take_events(), [("PUSH", digest, f"v{by_api}")])
            self.push(f"v{by_api}", {"by": by_api})
            self.assertEqual(self.take_events(), [], "a push that changes nothing")
            self.push("", {"by": by_api})
            self.assertEqual(self.take_events(), [], "a push by digest of an existing image")

    def test_each_move_of_a_tag_sends_one_event(self):
        one, other = self.push("main", {"n": 1}), self.push("v2", {"n": 2})
        self.take_events()
        for number in (2, 1, 2):
            self.push("main", {"n": number}, by_api=number == 1)
        self.assertEqual(self.take_events(), [("PUSH", other, "main"), ("PUSH", one, "main"), ("PUSH", other, "main")])

    def test_untagging_and_deleting_send_delete_events(self):
        a, child, b = self.push("main", {"n": 1}), self.push("", {"n": 2}), self.push("v1", {"n": 3})
        self.push("v2", {"n": 3})
        self.take_events()
        ids = [{"imageTag": "main"}, {"imageDigest": child}, {"imageDigest": b}, {"imageTag": "missing"}]
        ecr._batch_delete_image({"repositoryName": "web", "imageIds": ids})
        wanted = [("DELETE", a, "main"), ("DELETE", child, ""), ("DELETE", b, "v1"), ("DELETE", b, "v2")]
        self.assertEqual(self.take_events(), wanted)
        c = self.push("v3", {"n": 4})
        self.take_events()
        ecr._v2_delete_manifest("web", c)
        self.assertEqual(self.take_events(), [("DELETE", c, "v3")])

    def test_refused_push_sends_no_event(self):
        ecr._put_image_tag_mutability({"repositoryName": "web", "imageTagMutability": "IMMUTABLE"})
        self.push("v1", {"n": 1})
        self.take_events()
        for by_api in (False, True):
            self.push("v1", {"n": 2}, by_api)
        ecr._put_image({"repositoryName": "missing", "imageManifest": "{}"})
        self.assertEqual(self.take_events(), [])

    def test_referrer_sends_a_referrer_event(self):
        self.push("", {"artifactType": "application/vnd.example", "subject": {"digest": "sha256:cd"}})
        [event] = self.events
        self.assertEqual(event["detail-type"], "ECR Referrer Action")
        self.assertEqual(event["detail"]["artifact-media-type"], "application/vnd.example")

    def test_push_of_an_invalid_manifest_sends_an_event(self):
        for body in (b"no JSON", b"[]", b'{"config": []}', b'{"subject": 1}'):
            ecr._v2_put_manifest("web", "odd", {"content-type": MANIFEST}, body)
            self.assertEqual(self.take_events(), [("PUSH", ecr._image_digest(body), "odd")])


class EcsEvents(Case):
    def setUp(self):
        super().setUp()
        ecs.reset()
        ecs_repairs.sent.clear()
        self.addCleanup(setattr, ecs, "_get_docker", ecs._get_docker)
        ecs._get_docker = lambda: None  # tasks are simulated
        ecs._create_cluster({"clusterName": "prod"})
        ecs._register_task_definition({"family": "web", "containerDefinitions": [{"name": "web", "image": "web"}]})
        breaker = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}
        service = {"cluster": "prod", "serviceName": "web", "taskDefinition": "web", "desiredCount": 1}
        ecs._create_service({**service, "deploymentConfiguration": breaker})

    def take_events(self):
        details = [event["detail"] for event in self.events]
        self.events.clear()
        names = [one["eventName"].removeprefix("SERVICE_DEPLOYMENT_") for one in details]
        back = [" back" if "rolling back" in one["reason"] else "" for one in details]
        return [f"{name}{suffix}" for name, suffix in zip(names, back)]

    def update(self):
        ecs._update_service({"cluster": "prod", "service": "web", "forceNewDeployment": True})

    def fail(self):
        """Fails the newest deployment's tasks until the circuit breaker rolls back."""
        complete = ecs._complete_service_deployment
        ecs._complete_service_deployment = lambda *_, **__: None
        self.addCleanup(setattr, ecs, "_complete_service_deployment", complete)
        self.update()
        newest = ecs._services["prod/web"]["deployments"][0]["id"]
        for _ in range(3):
            tasks = [one for one in ecs._tasks.values() if one.get("_deployment_id") == newest]
            running = [one for one in tasks if one["lastStatus"] == "RUNNING"]
            ecs._mark_task_stopped(running[0]["taskArn"], running[0], "it ended", "EssentialContainerExited", 1)

    def test_events_have_the_fields_of_aws(self):
        self.fail()
        samples = ["in-progress", "completed", "in-progress", "failed", "in-progress"]
        self.assertEqual(len(self.events), len(samples))
        for event, sample in zip(self.events, samples):
            self.assert_like(event, f"ecs-{sample}.json", "eventType", "eventName")
            self.assertEqual(event["resources"], [ecs._services["prod/web"]["serviceArn"]])

    def test_deployment_sends_its_begin_and_its_end(self):
        self.assertEqual(self.take_events(), ["IN_PROGRESS", "COMPLETED"])
        self.update()
        self.assertEqual(self.take_events(), ["IN_PROGRESS", "COMPLETED"])
        ecs._update_service({"cluster": "prod", "service": "web", "desiredCount": 2})
        self.assertEqual(self.take_events(), [], "scaling is no deployment")

    def test_circuit_breaker_sends_a_failure_and_a_rollback(self):
        self.take_events()
        self.fail()
        self.assertEqual(self.take_events(), ["IN_PROGRESS", "FAILED", "IN_PROGRESS back"])

    def test_events_are_in_the_order_of_ecs(self):
        during = {"b": ("IN_PROGRESS", True), "a": ("COMPLETED", False)}
        back = {"b": ("FAILED", False), "a": ("IN_PROGRESS", True)}
        after = {"b": ("FAILED", False), "a": ("COMPLETED", True)}
        failed, returns, completed = ("FAILED", "b", False), ("IN_PROGRESS", "a", True), ("COMPLETED", "a", False)
        self.assertEqual(ecs_repairs.changes(during, back), [failed, returns])
        self.assertEqual(ecs_repairs.changes(back, after), [completed])
        self.assertEqual(ecs_repairs.changes(during, after), [failed, returns, completed])
        superseded = {"c": ("IN_PROGRESS", True), "b": ("IN_PROGRESS", False)}
        self.assertEqual(ecs_repairs.changes(during, superseded), [("IN_PROGRESS", "c", False)])


if __name__ == "__main__":
    unittest.main()
