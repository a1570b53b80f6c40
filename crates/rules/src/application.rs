//! An application, as its file describes it: names, approvers, environments, retention. The table
//! stores the file's text, and each reader parses the text with this module.
//!
//! [`Application::parse`] reports the mistakes of a file together, each with its line, column and
//! key.

mod checks;
mod difference;
mod document;
mod errors;
mod file;
mod resources;
mod settings;
mod source;
mod supported;
mod values;

use toml::de::DeTable;

pub use self::difference::{Difference, difference};
pub use self::errors::{ConfigError, MAX_FILE_BYTES};
pub use self::resources::{Allowed, Claim, Outside, Resources};
pub use self::settings::{
    Application, Approval, Approver, Deploy, EnvironmentPolicy, FourEyes, Latest, Retention, RetentionMode,
    Signature, Step, Validate, Verify,
};
pub use self::source::Source;
pub use self::values::{
    AccountId, CheckName, ContainerName, Endpoint, LabelName, MailAddress, Platform, Principal, RoleArn,
    ServiceName, Waived,
};
pub(crate) use self::values::{is_identified, is_url, may_be_one};

use self::errors::Problems;

impl Application {
    /// Parses an application file (TOML). With `allowed`, the file counts as new: the stack's
    /// parameters must allow its resources, and the checks for new files apply. Without `allowed`,
    /// the file counts as stored, and the checks for new files do not apply.
    ///
    /// Returns the errors in the file's order: up to 50, and the number of the others. A file that
    /// is too long or is not TOML gives only one error.
    pub fn parse(text: &str, allowed: Option<&Allowed>) -> Result<Self, Vec<ConfigError>> {
        if text.len() > MAX_FILE_BYTES {
            return Err(vec![ConfigError::too_long(text.len())]);
        }
        // An editor may add a byte order mark. It does not count as a column.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut problems = Problems::in_text(text);
        let document = DeTable::parse(text).map_err(|error| vec![ConfigError::not_toml(text, &error)])?;
        let application = file::read(document.get_ref(), &mut problems);
        if let Some(application) = &application {
            checks::check(application, &mut problems);
            supported::unsupported(application, &mut problems);
            if allowed.is_some() {
                checks::check_new(application, &mut problems);
            }
            for outside in allowed.iter().flat_map(|allowed| application.outside(allowed)) {
                problems.add(&outside.key, &outside.to_string());
            }
        }
        problems.or(application)
    }

    /// Returns an error that the caller found after parsing the text, with the position of the
    /// setting `key`. Empty if the text is not TOML.
    pub fn error_at(text: &str, key: &str, message: &str) -> Vec<ConfigError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut problems = Problems::in_text(text);
        let Ok(document) = DeTable::parse(text) else { return Vec::new() };
        let application = file::read(document.get_ref(), &mut problems);
        problems.add(key, message);
        problems.or(application).err().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
