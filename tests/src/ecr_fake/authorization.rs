//! GetAuthorizationToken returns a token for the registry protocol.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::SignedDuration;
use serde_json::json;

use super::caller::EcrCaller;
use super::world::EcrWorld;
use crate::fake::clock::epoch;
use crate::fake::input::{Answer, Input};

/// The lifetime of an authorization token.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html>
const TOKEN_LASTS: SignedDuration = SignedDuration::from_hours(12);

impl EcrWorld {
    /// Returns a token. The registry's URL in the response is the fake's own URL, without TLS.
    pub(super) fn get_authorization_token(&mut self, input: &Input<'_>, caller: &EcrCaller) -> Answer {
        input.knows(&[])?;
        let token = BASE64_STANDARD.encode(format!("AWS:{}", self.clock.hex()));
        Ok(json!({ "authorizationData": [{
            "authorizationToken": token,
            "expiresAt": epoch(self.clock.now() + TOKEN_LASTS),
            "proxyEndpoint": format!("http://{}", caller.host),
        }] }))
    }
}
