"""Renames images for the machine's own engine, Docker or Podman.

The machine's engine is not configured for a local cloud, so it would look for ECR's host on the
internet. Instead the engine gets the name `localhost:{port}/…`. Docker then needs no TLS, and Podman
needs no TLS if the pull says so.
"""

import os

from docker.models.containers import ContainerCollection
from docker.models.images import ImageCollection

ECR = "000000000000.dkr.ecr.us-east-1.amazonaws.com/"
LOCAL = f"localhost:{os.environ['GATEWAY_PORT']}/"


def reachable(image):
    return LOCAL + image.removeprefix(ECR) if image.startswith(ECR) else image


def with_reachable_name(call):
    return lambda self, image, *others, **named: call(self, reachable(image), *others, **named)


for name in ("get", "get_registry_data", "pull"):
    setattr(ImageCollection, name, with_reachable_name(getattr(ImageCollection, name)))
ContainerCollection.run = with_reachable_name(ContainerCollection.run)
