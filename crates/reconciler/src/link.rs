//! The secrets of the links that vote in an approver's name or open the console.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use stablepin_rules::code::Code;
use stablepin_rules::records::{CodeHash, TokenHash};

/// A secret of 32 random bytes, as 43 characters of base64url. The type does not implement `Debug`,
/// so that nothing prints a secret by accident.
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

/// Mints the code that the mail shows next to the link.
pub(crate) fn mint_code() -> Result<Code, getrandom::Error> {
    let mut bytes = [0; 6];
    getrandom::fill(&mut bytes)?;
    Ok(Code::new(bytes))
}

/// Returns the hash of a code. A code is short, so the hash includes the link's secret.
pub fn code_hash(secret: &str, code: &Code) -> CodeHash {
    CodeHash(token_hash(&format!("{secret} {}", code.letters())).0)
}

/// Returns the hash of a link's secret. Stablepin stores the secret only as this hash. A plain hash
/// is enough, since the secret has 256 random bits.
pub fn token_hash(secret: &str) -> TokenHash {
    let hash = Sha256::digest(secret.as_bytes());
    TokenHash(hash.iter().map(|byte| format!("{byte:02x}")).collect())
}
