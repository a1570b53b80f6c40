//! Mounts: a layer of one repository becomes a layer of another repository of the same registry,
//! and nothing is sent. ECR's API has no call for this, so the client uses the registry protocol.
//! <https://docs.aws.amazon.com/AmazonECR/latest/userguide/blob-mounting.html>

use stablepin_rules::image::{ImageDigest, RepositoryName};

use super::client::Ecr;
use super::error::EcrError;
use crate::call::Call;

/// The access to a registry by the registry protocol. The token is a secret, so the type has no
/// `Debug`.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html>
pub struct RegistryAccess {
    endpoint: String,
    token: String,
}

impl Ecr {
    pub async fn registry_access(&self) -> Result<RegistryAccess, EcrError> {
        let call = Call::new("GetAuthorizationToken", "get access to the registry");
        let answer =
            self.client.get_authorization_token().send().await.map_err(|error| call.failed(error))?;
        let data = answer.authorization_data().first().ok_or_else(|| call.lacks("authorizationData"))?;
        let endpoint = data.proxy_endpoint().ok_or_else(|| call.lacks("proxyEndpoint"))?;
        let token = data.authorization_token().ok_or_else(|| call.lacks("authorizationToken"))?;
        Ok(RegistryAccess { endpoint: endpoint.trim_end_matches('/').to_owned(), token: token.to_owned() })
    }

    /// Mounts a layer of the repository `from` in the repository `to`. Returns false if ECR does
    /// not mount the layer: the account has not enabled mounts, or the repositories have different
    /// encryption keys. ECR then begins an upload, which nobody continues.
    pub async fn mount(
        &self,
        access: &RegistryAccess,
        from: &RepositoryName,
        to: &RepositoryName,
        layer: &ImageDigest,
    ) -> Result<bool, EcrError> {
        let call = Call::new("POST", format!("mount the layer {layer} of {from} in {to}"));
        let path = format!("/v2/{to}/blobs/uploads/?mount={layer}&from={from}");
        let authorization = format!("Basic {}", access.token);
        let status = self.http.post(&access.endpoint, &path, &authorization).await;
        Ok(status.map_err(|why| call.failed(why))? == 201)
    }
}
