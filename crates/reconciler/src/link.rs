//! Links that decide in an approver's name, or open the console.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use stablepin_rules::code::Code;
use stablepin_rules::records::{CodeHash, TokenHash};

/// 32 random bytes as 43 characters of base64url. Has no Debug: it cannot be printed by accident.
pub struct Secret(String);

impl Secret {
    pub fn mint() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(URL_SAFE_NO_PAD.encode(bytes)))
    }

    pub fn hash(&self) -> TokenHash {
        token_hash(&self.0)
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// For the mail, beside the link.
pub(crate) fn mint_code() -> Result<Code, getrandom::Error> {
    let mut bytes = [0; 6];
    getrandom::fill(&mut bytes)?;
    Ok(Code::new(bytes))
}

/// A code is short: its hash is worth nothing to whoever does not have the link.
pub fn code_hash(secret: &str, code: &Code) -> CodeHash {
    CodeHash(token_hash(&format!("{secret} {}", code.letters())).0)
}

/// The only form in which a link's secret is stored. It has 256 random bits: a plain hash is enough.
pub fn token_hash(secret: &str) -> TokenHash {
    let hash = Sha256::digest(secret.as_bytes());
    TokenHash(hash.iter().map(|byte| format!("{byte:02x}")).collect())
}
