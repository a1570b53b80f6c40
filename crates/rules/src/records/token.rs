//! Links to pages. The table stores each link by the hash of its token.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::code::MOST_WRONG_CODES;
use crate::image::ImageDigest;
use crate::name::{ApplicationName, ApproverName, EnvironmentName};
use crate::operation_id::OperationId;

/// The SHA-256 of a link's token, in lower-case hexadecimal. The table contains only the hash,
/// never the token.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenHash(pub String);

/// The SHA-256 of a link's token together with its mailed code, in lower-case hexadecimal. A person
/// who reads the table cannot test guessed codes against the hash, because the token is unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CodeHash(pub String);

/// A mailed link. It opens the page of one promotion for one approver, and allows one vote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    pub hash: TokenHash,
    pub application: ApplicationName,
    pub environment: EnvironmentName,
    pub promotion: OperationId,
    pub digest: ImageDigest,
    pub approver: ApproverName,
    pub expires_at: Timestamp,
    pub used_at: Option<Timestamp>,
    #[serde(default)]
    pub code: CodeHash,
    /// The number of wrong codes that people tried with this link.
    #[serde(default)]
    pub wrong_codes: u8,
}

/// A link to the console's pages, created by a principal. The link works until it expires, and
/// allows only reading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleLink {
    pub hash: TokenHash,
    /// The ARN of the principal that created the link.
    pub by: String,
    pub expires_at: Timestamp,
}

impl Token {
    /// Returns whether a person tried too many wrong codes with this link. Such a link still opens
    /// the page, but Stablepin does not accept a vote with it.
    pub fn is_burnt(&self) -> bool {
        self.wrong_codes >= MOST_WRONG_CODES
    }
}
