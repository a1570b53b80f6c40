//! The SNS client.

use aws_sdk_sns::Client;

use crate::session::Session;

/// A client of the topics of the session's account and region. The subscription of a mailbox
/// filters messages by the attribute `mail`, so that the mailbox receives only its own mails.
/// <https://docs.aws.amazon.com/sns/latest/dg/sns-message-filtering.html>
#[derive(Debug, Clone)]
pub struct Sns {
    pub(super) client: Client,
}

impl Sns {
    pub fn new(session: &Session) -> Self {
        Self { client: session.sns() }
    }
}
