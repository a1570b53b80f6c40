//! Passes each call to the method that implements the call's operation.

use super::caller::EcrCaller;
use super::world::EcrWorld;
use crate::fake::input::{Answer, Input, Refused};

impl EcrWorld {
    pub(super) fn answer(&mut self, input: &Input<'_>, caller: &EcrCaller) -> Answer {
        self.goes_wrong(input.operation)?;
        match input.operation {
            "CreateRepository" => self.create_repository(input),
            "DeleteRepository" => self.delete_repository(input),
            "DescribeRepositories" => self.describe_repositories(input),
            "PutImageTagMutability" => self.put_image_tag_mutability(input),
            "GetRegistryPolicy" => self.get_registry_policy(input),
            "GetRepositoryPolicy" => self.get_repository_policy(input),
            "GetLifecyclePolicy" => self.get_lifecycle_policy(input),
            "PutImage" => self.put_image(input),
            "BatchGetImage" => self.batch_get_image(input, caller),
            "DescribeImages" => self.describe_images(input),
            "ListImages" => self.list_images(input),
            "ListImageReferrers" => self.list_image_referrers(input),
            "BatchDeleteImage" => self.batch_delete_image(input),
            "UpdateImageStorageClass" => self.update_image_storage_class(input),
            "BatchCheckLayerAvailability" => self.batch_check_layer_availability(input),
            "GetDownloadUrlForLayer" => self.get_download_url_for_layer(input, caller),
            "InitiateLayerUpload" => self.initiate_layer_upload(input),
            "UploadLayerPart" => self.upload_layer_part(input),
            "CompleteLayerUpload" => self.complete_layer_upload(input),
            "RegisterPullTimeUpdateExclusion" => self.register_pull_time_update_exclusion(input),
            "DeregisterPullTimeUpdateExclusion" => self.deregister_pull_time_update_exclusion(input),
            "ListPullTimeUpdateExclusions" => self.list_pull_time_update_exclusions(input),
            "GetAuthorizationToken" => self.get_authorization_token(input, caller),
            other => Err(Refused::unknown(format!("the fake does not know the call {other}"))),
        }
    }
}
