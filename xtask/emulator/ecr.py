"""Repairs MiniStack's ECR, so that each call does what AWS documents.

- The addresses of the registry and of an image's blob. On AWS the blob's address is a signed URL of
  S3, which anyone who has the URL can read. MiniStack returns the registry's host name, which cannot
  be reached from here. The repaired calls return the port of this cloud, which serves the same blob.
- The calls with which retention reads and changes ECR. MiniStack deletes the whole
  image if a call deletes one of its tags, and lists images without pages, filters and states.
  MiniStack has no archive, and no exclusions from pull times.
- The calls that copy an image. MiniStack discards uploaded layers, and has no list of referrers.
- Events at the moment of a change. MiniStack sends no events.
"""

import base64
import json
import os
import time

import bus
from ministack.services import ecr

MOST_IDS = 100


def refused(code, message, **more):
    return ecr.error_response_json(code, message, 400, more)


def our_address():
    return f"http://localhost:{os.environ['GATEWAY_PORT']}"


# --- GetAuthorizationToken, GetDownloadUrlForLayer ---

token, address = ecr._get_authorization_token, ecr._get_download_url_for_layer


def token_with_an_address_of_ours(data):
    answer = json.loads(token(data)[2])
    answer["authorizationData"][0]["proxyEndpoint"] = our_address()
    return ecr.json_response(answer)


def with_an_address_of_ours(data):
    status, headers, body = address(data)
    if status == 200:
        answer = json.loads(body)
        answer["downloadUrl"] = f"{our_address()}/{answer['downloadUrl'].split('/', 3)[3]}"
        body = json.dumps(answer).encode()
    return status, headers, body


ecr._get_authorization_token = token_with_an_address_of_ours
ecr._get_download_url_for_layer = with_an_address_of_ours


# --- BatchCheckLayerAvailability: MiniStack calls every layer unavailable ---
# https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchCheckLayerAvailability.html


def layers_that_were_pushed(data):
    name, digests = data.get("repositoryName", ""), data.get("layerDigests", [])
    if name not in ecr._repositories:
        return no_repository(data)
    if not 1 <= len(digests) <= MOST_IDS:
        return refused("InvalidParameterException", "layerDigests: 1 to 100")
    blobs = ecr._layer_blobs.get(name, {})
    layers = []
    for digest in digests:
        layer = {"layerDigest": digest, "layerAvailability": "UNAVAILABLE"}
        if digest in blobs:
            layer |= {"layerAvailability": "AVAILABLE", "layerSize": len(blobs[digest])}
        layers.append(layer)
    return ecr.json_response({"layers": layers, "failures": []})


ecr._batch_check_layer_availability = layers_that_were_pushed


# --- layer uploads: MiniStack accepts every call, and keeps nothing ---
# https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CompleteLayerUpload.html
# https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_UploadLayerPart.html
# https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html

LEAST_PART_BYTES, MOST_PART_BYTES, MOST_PARTS = 5 * 1024 * 1024, 10 * 1024 * 1024, 4200

# The parts of each unfinished upload, by repository and upload id.
uploads = {}


def about_upload(data, **more):
    about = {"repositoryName": data["repositoryName"], "uploadId": data["uploadId"]}
    return {"registryId": ecr.get_account_id(), **about, **more}


def initiate_layer_upload(data):
    upload = ecr.new_uuid()
    uploads[data["repositoryName"], upload] = []
    return ecr.json_response({"uploadId": upload, "partSize": MOST_PART_BYTES})


def upload_layer_part(data):
    parts = uploads.get((data["repositoryName"], data["uploadId"]))
    if parts is None:
        return refused("UploadNotFoundException", "The repository has no such upload")
    first, last, part = data["partFirstByte"], data["partLastByte"], base64.b64decode(data["layerPartBlob"])
    received = sum(len(one) for one in parts)
    if first != received or last - first + 1 != len(part) or not 1 <= len(part) <= MOST_PART_BYTES:
        about = about_upload(data, **({"lastValidByteReceived": received - 1} if received else {}))
        return refused("InvalidLayerPartException", f"The part must begin at byte {received}", **about)
    if len(parts) == MOST_PARTS:
        return refused("LimitExceededException", f"The layer has {MOST_PARTS} parts already")
    parts.append(part)
    return ecr.json_response(about_upload(data, lastByteReceived=last))


def complete_layer_upload(data):
    parts = uploads.get((data["repositoryName"], data["uploadId"]))
    if parts is None:
        return refused("UploadNotFoundException", "The repository has no such upload")
    content = b"".join(parts)
    digest, layers = ecr._content_digest(content), ecr._layer_blobs.setdefault(data["repositoryName"], {})
    problems = {
        "EmptyUploadException": not parts,
        "LayerPartTooSmallException": any(len(part) < LEAST_PART_BYTES for part in parts[:-1]),
        "InvalidLayerException": data["layerDigests"] != [digest],
        "LayerAlreadyExistsException": digest in layers,
    }
    if code := next((code for code, applies in problems.items() if applies), None):
        return refused(code, f"The upload of {digest} cannot be completed: {code}")
    layers[digest] = content
    del uploads[data["repositoryName"], data["uploadId"]]
    return ecr.json_response(about_upload(data, layerDigest=digest))


# --- images, and their manifests ---


def manifest_of(image):
    try:
        manifest = json.loads(image.get("imageManifest") or "{}")
    except json.JSONDecodeError:
        return {}
    return manifest if isinstance(manifest, dict) else {}


def artifact_type_of(manifest):
    config = manifest.get("config")
    return manifest.get("artifactType") or (config.get("mediaType") if isinstance(config, dict) else None)


def subject_of(manifest):
    subject = manifest.get("subject")
    return subject.get("digest") if isinstance(subject, dict) else None


def status_of(image):
    return image.get("imageStatus", "ACTIVE")


def no_repository(data):
    name = data.get("repositoryName", "")
    if name in ecr._repositories:
        return None
    return refused("RepositoryNotFoundException", f"The repository with name '{name}' does not exist")


def page_of(data, member, everything, default, most=1000):
    """Returns a page of a list, with the limits of `maxResults`.

    https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImages.html
    """
    size = data.get("maxResults", default)
    if not 1 <= size <= most:
        return refused("InvalidParameterException", f"maxResults must be between 1 and {most}")
    start = int(data.get("nextToken") or 0)
    answer = {member: everything[start : start + size]}
    if start + size < len(everything):
        answer["nextToken"] = str(start + size)
    return ecr.json_response(answer)


# --- DescribeImages ---
# https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImages.html

describe = ecr._describe_images


def described_with_states(data):
    name, ids = data.get("repositoryName", ""), data.get("imageIds")
    if name not in ecr._repositories:
        return describe(data)
    if ids and (len(ids) > MOST_IDS or "maxResults" in data or "nextToken" in data):
        return refused("InvalidParameterException", "imageIds: at most 100, and no pages of them")
    for asked in ids or []:
        if ecr._find_image(name, asked) is None:
            return refused("ImageNotFoundException", f"The image with imageId {asked} does not exist")
    status, _, body = describe(data)
    if status != 200:
        return status, _, body
    wanted = data.get("filter") or {}
    shown = []
    for detail in json.loads(body)["imageDetails"]:
        image = ecr._find_image(name, {"imageDigest": detail["imageDigest"]})
        detail["imageStatus"] = status_of(image)
        for member in ("lastArchivedAt", "lastActivatedAt"):
            if member in image:
                detail[member] = image[member]
        subject = subject_of(manifest_of(image))
        if subject:
            detail["subjectManifestDigest"] = subject
        # "If not specified, only images with ACTIVE status are returned."
        of_status = wanted.get("imageStatus", "ACTIVE") in ("ANY", detail["imageStatus"])
        of_tags = wanted.get("tagStatus", "ANY") in ("ANY", "TAGGED" if detail["imageTags"] else "UNTAGGED")
        if not detail["imageTags"]:
            del detail["imageTags"]
        if of_status and of_tags:
            shown.append(detail)
    return page_of({} if ids else data, "imageDetails", shown, 1000 if ids else 100)


ecr._describe_images = described_with_states


# --- BatchGetImage: an archived image cannot be pulled ---
# https://docs.aws.amazon.com/AmazonECR/latest/userguide/archive_restore_image.html

get = ecr._batch_get_image


def got_unless_archived(data):
    status, headers, body = get(data)
    if status != 200:
        return status, headers, body
    answer = json.loads(body)
    kept = []
    for image in answer["images"]:
        stored = ecr._find_image(data["repositoryName"], {"imageDigest": image["imageId"]["imageDigest"]})
        if status_of(stored) == "ACTIVE":
            kept.append(image)
        else:
            failure = {"failureCode": "ImageNotFound", "failureReason": "Requested image not found"}
            answer["failures"].append({"imageId": image["imageId"], **failure})
    return ecr.json_response({"images": kept, "failures": answer["failures"]})


ecr._batch_get_image = got_unless_archived


# --- events ---
# https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-eventbridge.html


def detail_of(action, name, digest, tag, **more):
    """Returns the detail of an event about one tag. An untagged image has an empty tag, as on AWS."""
    detail = {"result": "SUCCESS", "repository-name": name, "image-digest": digest, "action-type": action}
    return {**detail, "image-tag": tag, **more}


def deleted(name, digest, tag):
    bus.put("aws.ecr", "ECR Image Action", [], detail_of("DELETE", name, digest, tag))


def pushed(name, digest, tag):
    image = ecr._find_image(name, {"imageDigest": digest})
    manifest = manifest_of(image)
    more = {"manifest-media-type": image["imageManifestMediaType"]}
    artifact = artifact_type_of(manifest)
    # An image index usually has no artifact type and no config. No published example shows what AWS
    # sends for an image index, so the event does not have the field.
    if artifact:
        more["artifact-media-type"] = artifact
    # A signature, an SBOM or an attestation has its own kind of event.
    kind = "ECR Referrer Action" if isinstance(manifest.get("subject"), dict) else "ECR Image Action"
    bus.put("aws.ecr", kind, [], detail_of("PUSH", name, digest, tag, **more))


def has(name, digest, tag):
    image = ecr._find_image(name, {"imageDigest": digest})
    return image is not None and (not tag or tag in image["imageTags"])


# A push that changes nothing sends no event. A tag that moves sends one event, for its new image.

put_image = ecr._put_image


def put_image_with_event(data):
    name, tag = data.get("repositoryName", ""), data.get("imageTag") or ""
    digest = data.get("imageDigest") or ecr._image_digest(data.get("imageManifest", ""))
    known = has(name, digest, tag)
    answer = put_image(data)
    if answer[0] == 200 and not known:
        # The registry serves a manifest by its digest only if it has the manifest's bytes.
        ecr._manifest_blobs.setdefault(name, {}).setdefault(digest, data.get("imageManifest", "").encode())
        pushed(name, digest, tag)
    return answer


ecr._put_image = put_image_with_event

put_manifest = ecr._v2_put_manifest


def put_manifest_with_event(name, reference, headers, body):
    digest, tag = ecr._image_digest(body or b""), "" if reference.startswith("sha256:") else reference
    known = has(name, digest, tag)
    answer = put_manifest(name, reference, headers, body)
    if answer[0] == 201 and not known:
        pushed(name, digest, tag)
    return answer


ecr._v2_put_manifest = put_manifest_with_event

delete_manifest = ecr._v2_delete_manifest


def delete_manifest_with_events(name, reference):
    image = ecr._find_image(name, {"imageDigest": reference})
    tags = list(image["imageTags"]) if image else []
    answer = delete_manifest(name, reference)
    if answer[0] == 202 and image:
        for tag in tags or [""]:
            deleted(name, reference, tag)
    return answer


ecr._v2_delete_manifest = delete_manifest_with_events


# --- BatchDeleteImage ---
# https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchDeleteImage.html


def deleted_or_untagged(data):
    missing = no_repository(data)
    if missing:
        return missing
    name, ids = data["repositoryName"], data.get("imageIds") or []
    if not 1 <= len(ids) <= MOST_IDS:
        return refused("InvalidParameterException", "imageIds must be 1 to 100")
    images = ecr._images[name]
    # The images of each image index that exists at the time of the call.
    held = {child.get("digest") for image in images for child in manifest_of(image).get("manifests") or []}
    gone, failures = [], []
    for asked in ids:
        digest, tag = asked.get("imageDigest"), asked.get("imageTag")
        image = ecr._find_image(name, {"imageDigest": digest} if digest else {"imageTag": tag})
        code = None
        if not digest and not tag:
            code = "MissingDigestAndTag"
        elif image is None:
            code = "ImageNotFound"
        elif digest and tag and tag not in image["imageTags"]:
            code = "ImageTagDoesNotMatchDigest"
        elif image["imageDigest"] in held and (digest or image["imageTags"] == [tag]):
            code = "ImageReferencedByManifestList"
        if code:
            failures.append({"imageId": asked, "failureCode": code, "failureReason": code})
            continue
        tags = [tag] if tag and not digest else list(image["imageTags"])
        gone += [{"imageDigest": image["imageDigest"], "imageTag": one} for one in tags]
        if not tags:
            gone.append({"imageDigest": image["imageDigest"]})
        image["imageTags"] = [one for one in image["imageTags"] if one not in tags]
        if digest or not image["imageTags"]:
            images.remove(image)
            # The registry would serve the manifest as long as the registry has the manifest's
            # bytes.
            ecr._manifest_blobs.get(name, {}).pop(image["imageDigest"], None)
        elif image["imageId"].get("imageTag") not in image["imageTags"]:
            image["imageId"]["imageTag"] = image["imageTags"][-1]
    for one in gone:
        deleted(name, one["imageDigest"], one.get("imageTag", ""))
    return ecr.json_response({"imageIds": gone, "failures": failures})


ecr._batch_delete_image = deleted_or_untagged


# --- calls that MiniStack lacks or does not carry out ---

excluded = {}


def update_image_storage_class(data):
    """Archives an image, or restores it at once.

    https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_UpdateImageStorageClass.html
    """
    name = data["repositoryName"]
    image = ecr._find_image(name, data.get("imageId") or {})
    if image is None:
        return refused("ImageNotFoundException", "The image does not exist")
    target = data.get("targetStorageClass")
    if target not in ("STANDARD", "ARCHIVE"):
        return refused("InvalidParameterException", f"targetStorageClass {target} is none of STANDARD, ARCHIVE")
    archived = target == "ARCHIVE"
    if archived == (status_of(image) == "ARCHIVED"):
        return refused("ImageStorageClassUpdateNotSupportedException", f"The image is {status_of(image)} already")
    image["imageStatus"] = "ARCHIVED" if archived else "ACTIVE"
    image["lastArchivedAt" if archived else "lastActivatedAt"] = int(time.time())
    answer = {"repositoryName": name, "imageId": image["imageId"]}
    return ecr.json_response({**answer, "imageStatus": "ARCHIVED" if archived else "ACTIVATING"})


def list_image_referrers(data):
    """Lists the images whose manifests have the subject.

    https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ListImageReferrers.html
    """
    subject, wanted = data["subjectId"]["imageDigest"], data.get("filter") or {}
    shown = []
    for image in ecr._images[data["repositoryName"]]:
        manifest = manifest_of(image)
        artifact, status = artifact_type_of(manifest), status_of(image)
        of_type = artifact in (wanted.get("artifactTypes") or [artifact])
        of_status = wanted.get("artifactStatus", "ACTIVE") in ("ANY", status)
        if subject_of(manifest) == subject and of_type and of_status:
            blobs = [manifest.get("config") or {}, *(manifest.get("layers") or [])]
            referrer = {
                "digest": image["imageDigest"],
                "mediaType": image["imageManifestMediaType"],
                "artifactType": artifact,
                "size": sum(blob.get("size", 0) for blob in blobs),
                "annotations": manifest.get("annotations"),
                "artifactStatus": status,
            }
            shown.append({member: value for member, value in referrer.items() if value is not None})
    return page_of(data, "referrers", shown, 20, 50)


def list_pull_time_update_exclusions(data):
    """Lists the principals whose pulls do not count.

    https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ListPullTimeUpdateExclusions.html
    """
    of_account = sorted(excluded.setdefault(ecr.get_account_id(), set()))
    return page_of(data, "pullTimeUpdateExclusions", of_account, 100)


def register_pull_time_update_exclusion(data):
    """Adds a principal whose pulls do not count.

    https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_RegisterPullTimeUpdateExclusion.html
    """
    of_account, principal = excluded.setdefault(ecr.get_account_id(), set()), data.get("principalArn", "")
    if not principal.startswith("arn:"):
        return refused("InvalidParameterException", "principalArn is no ARN")
    if principal in of_account:
        return refused("ExclusionAlreadyExistsException", f"There is an exclusion of {principal}")
    of_account.add(principal)
    return ecr.json_response({"principalArn": principal, "createdAt": int(time.time())})


def deregister_pull_time_update_exclusion(data):
    """Removes a principal from the exclusions.

    https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DeregisterPullTimeUpdateExclusion.html
    """
    of_account, principal = excluded.setdefault(ecr.get_account_id(), set()), data.get("principalArn", "")
    if principal not in of_account:
        return refused("ExclusionNotFoundException", f"There is no exclusion of {principal}")
    of_account.remove(principal)
    return ecr.json_response({"principalArn": principal})


def get_registry_policy(data):
    """Returns the error that the registry has no policy.

    https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetRegistryPolicy.html
    """
    return refused("RegistryPolicyNotFoundException", "Registry policy does not exist")


MORE = {
    "CompleteLayerUpload": complete_layer_upload,
    "GetRegistryPolicy": get_registry_policy,
    "InitiateLayerUpload": initiate_layer_upload,
    "ListImageReferrers": list_image_referrers,
    "UpdateImageStorageClass": update_image_storage_class,
    "ListPullTimeUpdateExclusions": list_pull_time_update_exclusions,
    "RegisterPullTimeUpdateExclusion": register_pull_time_update_exclusion,
    "DeregisterPullTimeUpdateExclusion": deregister_pull_time_update_exclusion,
    "UploadLayerPart": upload_layer_part,
}

calls = ecr.handle_request


async def with_more_calls(method, path, headers, body, query_params):
    call = MORE.get(headers.get("x-amz-target", "").split(".")[-1])
    if call is None:
        return await calls(method, path, headers, body, query_params)
    data = json.loads(body or "{}")
    return ("repositoryName" in data and no_repository(data)) or call(data)


ecr.handle_request = with_more_calls
