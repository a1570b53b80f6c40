//! Splits lists into pages.

use serde_json::{Value, json};

use super::input::{Answer, Input, Refused};

/// The default page size and the maximum page size of a list.
pub(crate) struct PageLimits {
    pub(crate) default: u32,
    pub(crate) greatest: u32,
}

/// Returns a response that contains the requested page in the field `member`. A next token is valid
/// only for the same list.
pub(crate) fn page(input: &Input<'_>, member: &str, all: Vec<Value>, size: &PageLimits) -> Answer {
    let wanted = input.count("maxResults")?.unwrap_or(size.default);
    if wanted < 1 || wanted > size.greatest {
        return Err(Refused::parameter(format!("maxResults must be between 1 and {}.", size.greatest)));
    }
    let kind = format!("page-of-{member}-");
    let from = match input.text("nextToken")? {
        None => 0,
        Some(token) => {
            let from = token.strip_prefix(&kind).and_then(|from| from.parse::<usize>().ok());
            from.ok_or_else(|| Refused::parameter("Invalid token."))?
        }
    };
    let until = (from + wanted as usize).min(all.len());
    let mut answer = json!({ member: all.get(from..until).unwrap_or_default() });
    if until < all.len() {
        answer["nextToken"] = json!(format!("{kind}{until}"));
    }
    Ok(answer)
}
