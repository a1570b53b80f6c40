//! The settings whose value is a text: durations, sizes, addresses, ARNs, ECS services.
//!
//! Each error of these parsers continues a sentence that begins with the quoted text. Example: `"2
//! weeks" is not a duration: …`.

use std::ops::RangeInclusive;

use jiff::SignedDuration;

use crate::application::Source;
use crate::image::{ImageTag, RepositoryName};
use crate::name::InvalidName;
use crate::pattern::Pattern;

/// Reads a value with the parser of its type.
pub(super) fn parsed<T>(parse: fn(&str) -> Result<T, InvalidName>) -> impl Fn(&str) -> Result<T, String> {
    move |text| parse(text).map_err(|error| format!("is not a valid {}: {}", error.what, error.expected))
}

/// Reads a value that must be one of a few words.
pub(super) fn one_of<T: Copy>(words: &[(&str, T)]) -> impl Fn(&str) -> Result<T, String> {
    move |text| match words.iter().find(|(word, _)| *word == text) {
        Some((_, value)) => Ok(*value),
        None => {
            let words: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
            Err(format!("is not known here: write {}", words.join(" or ")))
        }
    }
}

/// Reads a duration in one unit, such as `72h`. The units are s, m, h and d (24 hours).
pub(super) fn duration(
    range: RangeInclusive<SignedDuration>,
) -> impl Fn(&str) -> Result<SignedDuration, String> {
    move |text| {
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(split);
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 60 * 60,
            "d" => 24 * 60 * 60,
            _ => 0,
        };
        if digits.is_empty() || seconds == 0 {
            return Err(
                "is not a duration: write a whole number and s, m, h or d, such as \"30m\"".to_owned()
            );
        }
        let seconds = digits.parse::<i64>().ok().and_then(|number| number.checked_mul(seconds));
        seconds.map(SignedDuration::from_secs).filter(|duration| range.contains(duration)).ok_or_else(|| {
            format!(
                "is out of range: write from \"{}\" to \"{}\"",
                short(*range.start()),
                short(*range.end())
            )
        })
    }
}

/// Formats a duration as a whole number in the largest possible unit.
fn short(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    let units = [(24 * 60 * 60, "d"), (60 * 60, "h"), (60, "m")];
    match units.iter().find(|(unit, _)| seconds != 0 && seconds % unit == 0) {
        Some((unit, name)) => format!("{}{name}", seconds / unit),
        None => format!("{seconds}s"),
    }
}

/// Reads a size in decimal units, such as `1GB` for 1,000,000,000 bytes.
pub(super) fn bytes(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<u64, String> {
    move |text| {
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(split);
        let factor: u64 = match unit {
            "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            _ => 0,
        };
        if digits.is_empty() || factor == 0 {
            return Err("is not a size: write a whole number and KB, MB or GB, such as \"500MB\"".to_owned());
        }
        let bytes = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
        bytes.filter(|bytes| range.contains(bytes)).ok_or_else(|| {
            let (least, most) = (range.start() / 1_000_000, range.end() / 1_000_000_000);
            format!("is out of range: write from \"{least}MB\" to \"{most}GB\"")
        })
    }
}

/// Reads a repository's name. Refuses ARNs, because this version does not support repositories of
/// other accounts.
pub(super) fn repository(text: &str) -> Result<RepositoryName, String> {
    if text.starts_with("arn:") {
        let message = "is another repository's ARN, which is not available in this version: \
                       write the name of a repository of this stack's account and region";
        return Err(message.to_owned());
    }
    parsed(RepositoryName::parse)(text)
}

/// Reads a stable tag. ECR allows 128 characters, and Stablepin reserves 28 of them for a suffix
/// such as a pin number.
pub(super) fn stable_tag(text: &str) -> Result<ImageTag, String> {
    if text.len() > 100 {
        return Err("is too long: use 100 characters at most".to_owned());
    }
    parsed(ImageTag::parse)(text)
}

/// An entry of `builds`: a pattern for tags. An entry that begins with `!` excludes the matching
/// tags.
pub(super) enum BuildPattern {
    Include(Pattern),
    Exclude(Pattern),
}

pub(super) fn build_pattern(text: &str) -> Result<BuildPattern, String> {
    match text.strip_prefix('!') {
        None => tag_pattern(text).map(BuildPattern::Include),
        Some(rest) => tag_pattern(rest)
            .map(BuildPattern::Exclude)
            .map_err(|error| format!("leaves tags out, and what follows the ! {error}")),
    }
}

/// Reads a pattern for tags. Refuses an empty text, a text of more than 128 characters, and
/// characters that are neither wildcards nor allowed in tags.
pub(super) fn tag_pattern(text: &str) -> Result<Pattern, String> {
    let possible = |b: u8| b.is_ascii_alphanumeric() || b"_.-*?".contains(&b);
    if !(1..=128).contains(&text.len()) || !text.bytes().all(possible) {
        return Err("is not a pattern for tags: use 1 to 128 letters, digits, underscores, periods and \
                    hyphens; * stands for any run of characters, ? for one"
            .to_owned());
    }
    parsed(Pattern::parse)(text)
}

text_type!(
    /// A mail address such as `lead@example.com`. It has only ASCII characters and no display name,
    /// so a mail header may contain it.
    MailAddress,
    "mail address",
    "write it as name@example.com",
    Self::is_valid
);

impl MailAddress {
    /// Returns the address in lower case, for comparisons. Practically all mail servers ignore
    /// case.
    pub fn lower(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    fn is_valid(text: &str) -> bool {
        let character = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`{|}~.-".contains(&b);
        let local = |part: &str| {
            (1..=64).contains(&part.len())
                && part.bytes().all(character)
                && part.split('.').all(|atom| !atom.is_empty())
        };
        let domain = |part: &str| part.contains('.') && is_host(part);
        text.len() <= 254
            && text.split_once('@').is_some_and(|(before, after)| local(before) && domain(after))
    }
}

/// Reads a mail address. If an invalid address has a character with a special meaning in a shell,
/// the error names that character.
pub(super) fn mail_address(text: &str) -> Result<MailAddress, String> {
    parsed(MailAddress::parse)(text).map_err(|error| shell_sign(text).unwrap_or(error))
}

/// Returns an error if the address has a character with a special meaning in a shell. RFC 5322
/// allows some of these characters, but no mailbox needs them.
pub(super) fn shell_sign(mail: &str) -> Option<String> {
    let sign = mail.chars().find(|sign| "!#$&*?^`{|}~;<>()\"\\".contains(*sign))?;
    Some(format!("has a {sign}, which a shell may read as a command: write an address without it"))
}

/// The prefix of the names of roles that IAM Identity Center creates. No other principal can create
/// a role with this prefix.
const RESERVED: &str = "AWSReservedSSO_";

text_type!(
    /// A signer of IAM requests: the ARN of a role, a user, or a session of an `AWSReservedSSO_*`
    /// role. AWS assigns the session names of such roles. Sessions of other roles are refused,
    /// because the caller chooses the session name and could choose the name of another person.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html>
    Principal,
    "principal",
    "write the ARN of an IAM role or user, such as arn:aws:iam::111122223333:role/lead, without wildcards; \
     sessions count only under AWSReservedSSO_* roles",
    Self::is_valid
);

impl Principal {
    fn is_valid(text: &str) -> bool {
        match iam_resource(text) {
            Some(("iam", "role" | "user", _)) => true,
            Some(("sts", "assumed-role", name)) => name
                .split_once('/')
                .is_some_and(|(role, session)| role.starts_with(RESERVED) && !session.contains('/')),
            _ => false,
        }
    }

    /// Returns whether this principal signed a request. A role signs as a session: the ARN of the
    /// session has the role's name without its path, and a session name. The session name is
    /// ignored, because the caller chose it. A user, and a session of an `AWSReservedSSO_*` role,
    /// must have exactly the signer's ARN.
    pub fn is(&self, signer: &str) -> bool {
        if self.as_str() == signer {
            return true;
        }
        let role = |arn: &str| Some(arn.split_once(":role/")?.1.rsplit('/').next()?.to_owned());
        let account = |arn: &str| arn.split(':').nth(4).map(str::to_owned);
        let session = |arn: &str| match iam_resource(arn)? {
            ("sts", "assumed-role", name) => Some(name.split_once('/')?.0.to_owned()),
            _ => None,
        };
        let (own, theirs) = (role(self.as_str()), session(signer));
        own.is_some() && own == theirs && account(self.as_str()) == account(signer)
    }

    /// Returns whether one signer may match both this principal and the given ARN. This check
    /// matches more ARNs than [`Principal::is`], because a match never gives a permission. A match
    /// only prevents that one person votes twice or approves the person's own request.
    pub fn may_be(&self, arn: &str) -> bool {
        may_be_one(self.as_str(), arn)
    }
}

/// Returns whether two ARNs may belong to one person. AWS names a session of an `AWSReservedSSO_*`
/// role after its person. So equal session names mean one person, even with different permission
/// sets or accounts.
pub(crate) fn may_be_one(arn: &str, other: &str) -> bool {
    let (Some(one), Some(other)) = (Identity::of(arn), Identity::of(other)) else { return false };
    if let (Some(one), Some(other)) = (one.person, other.person) {
        return one.eq_ignore_ascii_case(other);
    }
    // Only a user can request a federation token, and the user can choose any name for the token.
    let is_token = |kind: &str| kind == FEDERATED;
    let is_user = |kind: &str| kind == "user" || is_token(kind);
    let any_name = (is_token(one.kind) || is_token(other.kind)) && is_user(one.kind) && is_user(other.kind);
    let same = one.kind == other.kind && one.name.eq_ignore_ascii_case(other.name);
    one.account == other.account && (same || any_name)
}

/// Returns whether an ARN identifies its signer. An ARN of the root user or a federated user may
/// belong to any person.
pub(crate) fn is_identified(arn: &str) -> bool {
    Identity::of(arn).is_some_and(|identity| identity.kind != FEDERATED)
}

/// The resource kind in the ARN of a federated user.
/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetFederationToken.html>
const FEDERATED: &str = "federated-user";

/// The role or user in an ARN. Two roles or two users of an account never have the same name, even
/// with another path or letter case. The ARN of a role's session has no path.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
struct Identity<'a> {
    account: &'a str,
    kind: &'a str,
    name: &'a str,
    /// The session's name if AWS assigned it. None if the caller chose it.
    person: Option<&'a str>,
}

impl<'a> Identity<'a> {
    fn of(arn: &'a str) -> Option<Self> {
        let mut parts = arn.splitn(6, ':');
        let (service, account, resource) = (parts.nth(2)?, parts.nth(1)?, parts.next()?);
        let (kind, path) = resource.split_once('/')?;
        let (kind, name, person) = match (service, kind) {
            ("iam", "role" | "user") => (kind, path.rsplit('/').next()?, None),
            ("sts", FEDERATED) => (kind, path, None),
            ("sts", "assumed-role") => {
                let (role, session) = path.split_once('/')?;
                ("role", role, role.starts_with(RESERVED).then_some(session))
            }
            _ => return None,
        };
        Some(Self { account, kind, name, person })
    }
}

text_type!(
    /// The ARN of an IAM role.
    RoleArn,
    "role",
    "write the ARN of an IAM role, such as arn:aws:iam::111122223333:role/stablepin-spoke",
    Self::is_valid
);

impl RoleArn {
    fn is_valid(text: &str) -> bool {
        matches!(iam_resource(text), Some(("iam", "role", _)))
    }
}

/// Returns the AWS service, the resource kind and the resource name in
/// `arn:{partition}:{service}::{account}:{kind}/{name}`.
fn iam_resource(text: &str) -> Option<(&str, &str, &str)> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", partition, service, "", account, resource] = parts[..] else { return None };
    let (kind, name) = resource.split_once('/')?;
    let valid = text.len() <= 2048
        && (partition == "aws" || partition.starts_with("aws-"))
        && partition.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
        && account.len() == 12
        && account.bytes().all(|b| b.is_ascii_digit())
        && name.split('/').all(|part| !part.is_empty())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+=,.@-/".contains(&b));
    valid.then_some((service, kind, name))
}

text_type!(
    /// A URL that Stablepin probes to check the application's health. The scheme is http or https,
    /// the host is a DNS name or an IPv4 address, and the URL has no user and no fragment.
    Endpoint,
    "endpoint",
    "write a URL of http:// or https://, a host name and a path, without user, password or fragment",
    is_url
);

/// Returns whether the text is an HTTP or HTTPS URL without credentials, so that it is safe to show
/// and to open.
pub(crate) fn is_url(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else {
        return false;
    };
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    let (host, port) = authority.split_once(':').unwrap_or((authority, "443"));
    text.len() <= 2048
        && text.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(&b))
        && is_host(host)
        && port.bytes().all(|b| b.is_ascii_digit())
        && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Returns whether the text is a DNS name or an IPv4 address.
fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

text_type!(
    /// The name of a check that a pipeline reports, such as `staging-tests`.
    CheckName,
    "check name",
    "use 1 to 64 letters, digits, hyphens, underscores and periods",
    Self::is_valid
);

impl CheckName {
    fn is_valid(text: &str) -> bool {
        (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
    }
}

text_type!(
    /// The key of an image label, such as `org.opencontainers.image.revision`.
    LabelName,
    "label",
    "use 1 to 255 characters without spaces, such as org.opencontainers.image.revision",
    Self::is_valid
);

impl LabelName {
    fn is_valid(text: &str) -> bool {
        (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
    }
}

text_type!(
    /// A platform that an image supports: `linux/amd64`, `linux/arm64/v8`.
    /// <https://github.com/opencontainers/image-spec/blob/main/image-index.md>
    Platform,
    "platform",
    "write system and architecture, such as linux/amd64",
    Self::is_valid
);

impl Platform {
    fn is_valid(text: &str) -> bool {
        let character = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.-".contains(&b);
        let part = |part: &str| (1..=32).contains(&part.len()) && part.bytes().all(character);
        (2..=3).contains(&text.split('/').count()) && text.split('/').all(part)
    }

    /// Returns whether an image of the platform `found` meets this required platform. A required
    /// platform without a variant accepts every variant.
    pub fn is_met_by(&self, found: &str) -> bool {
        found.strip_prefix(self.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

text_type!(
    /// The name of a container in a task definition, such as `app`.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html>
    ContainerName,
    "container",
    "use 1 to 255 letters, digits, hyphens and underscores, as the task definition names it",
    Self::is_valid
);

impl ContainerName {
    fn is_valid(text: &str) -> bool {
        (1..=255).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
    }
}

text_type!(
    /// An AWS account. `*` represents every principal that a repository's policy allows without
    /// naming its account.
    AccountId,
    "account",
    "write the 12 digits of an AWS account, or * for everybody whom the policy lets in without naming an account",
    Self::is_valid
);

impl AccountId {
    fn is_valid(text: &str) -> bool {
        text == "*" || (text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()))
    }
}

/// An account or AWS service that retention does not read, because the application's file waives
/// it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waived {
    /// An account that may pull images.
    Account(AccountId),
    /// An AWS service that starts tasks or jobs from a named definition or image.
    Source(Source),
}

impl Waived {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Some(source) = Source::parse(text) {
            return Ok(Self::Source(source));
        }
        let names = Source::ALL.map(Source::as_str).join(", ");
        let account = parsed(AccountId::parse)(text).map(Self::Account);
        account.map_err(|problem| format!("{problem}; or a source that you look after: {names}"))
    }
}

text_type!(
    /// An ECS service, written as the cluster's name and the service's name: `prod/web`.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CreateService.html>
    ServiceName,
    "service",
    "write the cluster's name, a slash and the service's name, such as prod/web; each has letters, digits, \
     hyphens and underscores",
    Self::is_valid
);

impl ServiceName {
    fn is_valid(text: &str) -> bool {
        let name = |name: &str| {
            (1..=255).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
        };
        text.split_once('/').is_some_and(|(cluster, service)| name(cluster) && name(service))
    }

    fn parts(&self) -> (&str, &str) {
        self.0.split_once('/').expect("a service has a slash")
    }

    /// Returns the cluster's name.
    pub fn cluster(&self) -> &str {
        self.parts().0
    }

    /// Returns the service's name without the cluster.
    pub fn service(&self) -> &str {
        self.parts().1
    }
}
