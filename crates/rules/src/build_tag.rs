//! The tags that Stablepin puts on images. Each kind of tag has its own form, so the text shows the
//! kind. Only the table knows whether Stablepin or another pusher put a tag.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::commit8::Commit8;
use crate::image::ImageTag;
use crate::name::{EnvironmentName, InvalidName};
use crate::pin_number::PinNumber;

/// The unique name of a build: `{environment}-{YYYYMMDD-HHMMSS}-{commit8}`, in UTC, such as
/// `production-20250717-143052-a1b2c3d4`. Sorting an environment's build tags as text sorts them by
/// time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BuildTag {
    environment: EnvironmentName,
    at: Second,
    commit8: Commit8,
}

impl BuildTag {
    /// Creates a build tag. The tag contains the time without fractions of a second.
    pub fn new(environment: EnvironmentName, at: Timestamp, commit8: Commit8) -> Self {
        Self { environment, at: Second::of(at), commit8 }
    }

    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let read = || {
            let (rest, commit8) = text.rsplit_once('-')?;
            let (environment, at) = environment_and_time(rest)?;
            Some(Self { environment, at, commit8: Commit8::parse(commit8).ok()? })
        };
        read().ok_or_else(|| InvalidName {
            what: "build tag",
            found: text.to_owned(),
            expected: "use {environment}-{YYYYMMDD-HHMMSS}-{commit8}, such as production-20250717-143052-a1b2c3d4",
        })
    }

    pub fn environment(&self) -> &EnvironmentName {
        &self.environment
    }

    /// Returns the time of the build's first push that Stablepin handled, in whole seconds. If
    /// other digests already had the tag, the time is some seconds later.
    pub fn at(&self) -> Timestamp {
        self.at.0
    }

    pub fn commit8(&self) -> &Commit8 {
        &self.commit8
    }

    pub fn tag(&self) -> ImageTag {
        always_a_tag(&self.to_string())
    }
}

impl fmt::Display for BuildTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.environment, self.at, self.commit8)
    }
}

/// The tag for the digest that was live when a rollback began:
/// `{environment}-rollback-{YYYYMMDD-HHMMSS}`, in UTC.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackupTag {
    environment: EnvironmentName,
    at: Second,
}

impl BackupTag {
    /// Creates a backup tag. The tag contains the time without fractions of a second.
    pub fn new(environment: EnvironmentName, at: Timestamp) -> Self {
        Self { environment, at: Second::of(at) }
    }

    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let read = || {
            let (before, at) = split_time(text)?;
            let environment = EnvironmentName::parse(before.strip_suffix("-rollback")?).ok()?;
            Some(Self { environment, at })
        };
        read().ok_or_else(|| InvalidName {
            what: "backup tag",
            found: text.to_owned(),
            expected: "use {environment}-rollback-{YYYYMMDD-HHMMSS}, such as production-rollback-20250717-143052",
        })
    }

    pub fn environment(&self) -> &EnvironmentName {
        &self.environment
    }

    /// Returns the time when the rollback began, to the second.
    pub fn at(&self) -> Timestamp {
        self.at.0
    }

    pub fn tag(&self) -> ImageTag {
        always_a_tag(&self.to_string())
    }
}

impl fmt::Display for BackupTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-rollback-{}", self.environment, self.at)
    }
}

/// Returns the tag of the digest that an environment currently runs: `{environment}-current`.
pub fn current(environment: &EnvironmentName) -> ImageTag {
    always_a_tag(&format!("{environment}-current"))
}

/// Returns the tag that Stablepin puts if the setting `latest` is on: `latest`.
pub fn latest() -> ImageTag {
    always_a_tag("latest")
}

/// Returns the tag of one pin, such as `prod-stable-000042`, for repositories in which the stable
/// tag is immutable. A stable tag that would make the result longer than 128 characters is
/// shortened. Application files do not allow such long stable tags.
pub fn numbered(stable_tag: &ImageTag, pin: PinNumber) -> ImageTag {
    let number = pin.padded();
    let room = 128 - 1 - number.len();
    let stable_tag = stable_tag.as_str();
    always_a_tag(&format!("{}-{number}", &stable_tag[..stable_tag.len().min(room)]))
}

/// Parses `{environment}-{YYYYMMDD-HHMMSS}`.
fn environment_and_time(text: &str) -> Option<(EnvironmentName, Second)> {
    let (environment, at) = split_time(text)?;
    Some((EnvironmentName::parse(environment).ok()?, at))
}

fn split_time(text: &str) -> Option<(&str, Second)> {
    let (rest, time) = text.rsplit_once('-')?;
    let (before, date) = rest.rsplit_once('-')?;
    Some((before, Second::parse(date, time)?))
}

fn always_a_tag(text: &str) -> ImageTag {
    ImageTag::parse(text).expect("names, digits and hyphens, 128 at most, make a tag")
}

/// A whole second in the years 1 to 9999. Its text, `YYYYMMDD-HHMMSS` in UTC, always has the same
/// width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Second(Timestamp);

impl Second {
    /// Drops the fraction of a second. A time before the year 1 becomes the first second of the
    /// year 1.
    fn of(at: Timestamp) -> Self {
        let whole = at.as_second() - i64::from(at.subsec_nanosecond() < 0);
        let first = Timestamp::constant(-62_135_596_800, 0);
        Self(Timestamp::from_second(whole).map_or(first, |second| second.max(first)))
    }

    fn parse(date: &str, time: &str) -> Option<Self> {
        let digits = |text: &str, width| text.len() == width && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(date, 8) || !digits(time, 6) {
            return None;
        }
        let part = |text: &str| text.parse::<i8>().ok();
        let at = DateTime::new(
            date[..4].parse().ok().filter(|year| *year > 0)?,
            part(&date[4..6])?,
            part(&date[6..])?,
            part(&time[..2])?,
            part(&time[2..4])?,
            part(&time[4..])?,
            0,
        );
        Some(Self(TimeZone::UTC.to_timestamp(at.ok()?).ok()?))
    }
}

impl fmt::Display for Second {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = TimeZone::UTC.to_datetime(self.0);
        write!(
            f,
            "{:04}{:02}{:02}-{:02}{:02}{:02}",
            at.year(),
            at.month(),
            at.day(),
            at.hour(),
            at.minute(),
            at.second()
        )
    }
}

text_conversions!(BuildTag);
text_conversions!(BackupTag);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn environment(name: &str) -> EnvironmentName {
        EnvironmentName::parse(name).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn build_tag_contains_environment_time_and_commit() {
        let commit8 = Commit8::parse("a1b2c3d4").unwrap();
        let build = BuildTag::new(environment("production"), at("2025-07-17T14:30:52.999Z"), commit8.clone());
        assert_eq!(build.to_string(), "production-20250717-143052-a1b2c3d4");
        assert_eq!(build.tag().as_str(), build.to_string());
        assert_eq!(serde_json::to_string(&build).unwrap(), r#""production-20250717-143052-a1b2c3d4""#);

        let read = BuildTag::parse("production-20250717-143052-a1b2c3d4").unwrap();
        assert_eq!(read.environment().as_str(), "production");
        assert_eq!(read.at(), at("2025-07-17T14:30:52Z"));
        assert_eq!(read.commit8(), &commit8);
    }

    #[test]
    fn environment_name_may_look_like_part_of_a_build_tag() {
        let tag = "eu-1-20250717-143052-20240101-000000-1234567";
        let build = BuildTag::parse(tag).unwrap();
        assert_eq!(build.environment().as_str(), "eu-1-20250717-143052");
        assert_eq!(build.at(), at("2024-01-01T00:00:00Z"));
        assert_eq!(build.to_string(), tag);

        let backup = BackupTag::parse("prod-rollback-rollback-20250717-143052").unwrap();
        assert_eq!(backup.environment().as_str(), "prod-rollback");
        assert_eq!(backup.to_string(), "prod-rollback-rollback-20250717-143052");
    }

    #[test]
    fn parser_refuses_invalid_build_and_backup_tags() {
        for bad in [
            "",
            "production",
            "production-20250717-143052",
            "-20250717-143052-a1b2c3d4",
            "1st-20250717-143052-a1b2c3d4",
            "Production-20250717-143052-a1b2c3d4",
            "production--20250717-143052-a1b2c3d4",
            "production-20250717143052-a1b2c3d4",
            "production-2025717-143052-a1b2c3d4",
            "production-20250230-143052-a1b2c3d4",
            "production-20251301-143052-a1b2c3d4",
            "production-20250717-243052-a1b2c3d4",
            "production-20250717-146052-a1b2c3d4",
            "production-20250717-143060-a1b2c3d4",
            "production-00000717-143052-a1b2c3d4",
            "production-+2250717-143052-a1b2c3d4",
            "production-20250717-143052-a1b2c3",
            "production-20250717-143052-a1b2c3d4e",
            "production-20250717-143052-A1B2C3D4",
            "production-20250717-143052-a1b2c3d4-",
            "production-20250717-143052-a1b2c3d4\n",
            "production-２０２５0717-143052-a1b2c3d4",
        ] {
            assert!(BuildTag::parse(bad).is_err(), "{bad:?}");
            assert!(BackupTag::parse(bad).is_err(), "{bad:?}");
        }
        for bad in ["rollback-20250717-143052", "prod-20250717-143052", "prod-backup-20250717-143052"] {
            assert!(BackupTag::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn build_tags_are_valid_for_extreme_times() {
        for (time, text) in [
            (Timestamp::MIN, "a-00010101-000000-1234567"),
            (at("1969-12-31T23:59:58.5Z"), "a-19691231-235958-1234567"),
            (Timestamp::MAX, "a-99991230-220000-1234567"),
        ] {
            let build = BuildTag::new(environment("a"), time, Commit8::parse("1234567").unwrap());
            assert_eq!(build.to_string(), text);
            assert_eq!(BuildTag::parse(text).unwrap(), build);
        }
    }

    #[test]
    fn numbered_stable_tag_ends_with_the_pin_number() {
        let stable = ImageTag::parse("prod-stable").unwrap();
        let tag = |number| numbered(&stable, PinNumber::new(number).unwrap()).to_string();
        assert_eq!(tag(42), "prod-stable-000042");
        assert_eq!(tag(1_234_567), "prod-stable-1234567");
        let longest = ImageTag::parse(&"a".repeat(128)).unwrap();
        assert_eq!(numbered(&longest, PinNumber::FIRST).as_str().len(), 128);
    }

    fn any_environment() -> impl Strategy<Value = EnvironmentName> {
        let name = "[a-z][a-z0-9]{0,9}(-[a-z0-9]{1,9}){0,3}|[a-z]-[0-9]{8}-[0-9]{6}|[a-z]{1,4}-rollback";
        name.prop_map(|name| environment(&name[..name.len().min(40)]))
            .prop_filter("a slug", |name| !name.as_str().ends_with('-'))
    }

    fn any_time() -> impl Strategy<Value = Timestamp> {
        (-62_135_596_800_i64..=253_402_207_200, 0..1_000_000_000_i32)
            .prop_map(|(second, nanosecond)| Timestamp::new(second, nanosecond).unwrap_or(Timestamp::MAX))
    }

    proptest! {
        #[test]
        fn any_build_tag_round_trips_through_its_text(environment in any_environment(), at in any_time(), commit8 in "[0-9a-f]{7,8}") {
            let build = BuildTag::new(environment.clone(), at, Commit8::parse(&commit8).unwrap());
            let text = build.to_string();
            prop_assert_eq!(BuildTag::parse(&text), Ok(build.clone()));
            prop_assert_eq!(ImageTag::parse(&text), Ok(build.tag()));
            prop_assert!(BackupTag::parse(&text).is_err());
            let json = serde_json::to_string(&build).unwrap();
            prop_assert_eq!(serde_json::from_str::<BuildTag>(&json).unwrap(), build);
        }

        #[test]
        fn any_backup_tag_round_trips_through_its_text(environment in any_environment(), at in any_time()) {
            let backup = BackupTag::new(environment, at);
            let text = backup.to_string();
            prop_assert_eq!(BackupTag::parse(&text), Ok(backup.clone()));
            prop_assert_eq!(ImageTag::parse(&text), Ok(backup.tag()));
            prop_assert!(BuildTag::parse(&text).is_err());
        }

        /// Replaces or removes one character of a build tag. The result is invalid, or prints as it
        /// was parsed.
        #[test]
        fn parser_refuses_or_preserves_a_damaged_build_tag(
            environment in any_environment(),
            at in any_time(),
            commit8 in "[0-9a-f]{7,8}",
            place in any::<proptest::sample::Index>(),
            put in proptest::option::of("[a-zA-Z0-9_.+ -]|é|\n"),
        ) {
            let tag = BuildTag::new(environment, at, Commit8::parse(&commit8).unwrap()).to_string();
            let place = place.index(tag.len());
            let changed = format!("{}{}{}", &tag[..place], put.unwrap_or_default(), &tag[place + 1..]);
            if let Ok(read) = BuildTag::parse(&changed) {
                prop_assert_eq!(read.to_string(), changed.clone());
            }
            if let Ok(read) = BackupTag::parse(&changed) {
                prop_assert_eq!(read.to_string(), changed);
            }
        }

        #[test]
        fn any_text_that_is_a_valid_tag_is_printed_unchanged(text in "[a-z-]{0,8}-?[0-9-]{8,9}-[0-9-]{6,7}(-[0-9a-f]{6,9})?|\\PC{0,60}") {
            if let Ok(read) = BuildTag::parse(&text) {
                prop_assert_eq!(read.to_string(), text.clone());
            }
            if let Ok(read) = BackupTag::parse(&text) {
                prop_assert_eq!(read.to_string(), text);
            }
        }

        #[test]
        fn build_tags_of_an_environment_sort_by_time(
            name in any_environment(),
            (earlier, later) in (any_time(), any_time()),
            (one, other) in ("[0-9a-f]{7,8}", "[0-9a-f]{7,8}"),
        ) {
            let one = BuildTag::new(name.clone(), earlier, Commit8::parse(&one).unwrap());
            let other = BuildTag::new(name.clone(), later, Commit8::parse(&other).unwrap());
            prop_assert_eq!(one.cmp(&other), one.to_string().cmp(&other.to_string()));
            if one.at() != other.at() {
                prop_assert_eq!(one.cmp(&other), one.at().cmp(&other.at()));
            }
            let (one, other) = (BackupTag::new(name.clone(), earlier), BackupTag::new(name, later));
            prop_assert_eq!(one.at().cmp(&other.at()), one.to_string().cmp(&other.to_string()));
        }
    }
}
