//! The links that are mailed or minted, each stored by the hash of its token.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::code::MOST_WRONG_CODES;
use crate::image::ImageDigest;
use crate::name::{ApplicationName, ApproverName, EnvironmentName};
use crate::operation_id::OperationId;

/// The SHA-256 of a link's token, in lower-case hexadecimal. No record contains the token itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenHash(pub String);

/// The SHA-256 of a link's token and its mailed code, in lower-case hexadecimal. The token is part
/// of it, so a reader of the table cannot guess codes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CodeHash(pub String);

/// A mailed link. It opens one promotion's page for one approver, and decides once.
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
    /// The number of wrong codes that were tried with this link.
    #[serde(default)]
    pub wrong_codes: u8,
}

/// A link to the console's pages that a principal minted. It is valid until it expires, and changes
/// nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleLink {
    pub hash: TokenHash,
    /// The principal that minted the link.
    pub by: String,
    pub expires_at: Timestamp,
}

impl Token {
    /// Returns whether too many wrong codes were tried. A burnt link still opens the page, but
    /// cannot decide.
    pub fn is_burnt(&self) -> bool {
        self.wrong_codes >= MOST_WRONG_CODES
    }
}
