//! The checks of an application file that compare several settings, or that apply only to new
//! files.

use std::collections::{BTreeMap, BTreeSet};

use super::errors::{Problems, quoted};
use super::settings::{Application, EnvironmentPolicy, FourEyes, Latest};
use super::values::{Principal, shell_sign};
use crate::build_tag;
use crate::name::{ApproverName, EnvironmentName};
use crate::records::MOST_CHECKS;

pub(super) fn check(application: &Application, problems: &mut Problems<'_>) {
    check_approvers_differ(application, problems);
    check_environments_differ(application, problems);
    if application.environment(&application.build_environment).is_none() {
        let message = format!(
            "\"{}\" is not an environment of this file: write {}",
            application.build_environment,
            names(application)
        );
        problems.add("build_environment", &message);
    }
    for (index, environment) in application.environments.iter().enumerate() {
        approval(application, environment, &format!("environment[{index}].approval"), problems);
        four_eyes(application, environment, &format!("environment[{index}].approval"), problems);
        order(application, environment, &format!("environment[{index}].after"), problems);
        soak(environment, &format!("environment[{index}].soak"), problems);
    }
    required_checks(application, problems);
    latest(application, problems);
    stable_tags(application, problems);
    services(application, problems);
    containers(application, problems);
    size(application, problems);
}

/// Runs the checks that apply only to new files. A stored file may be older than these checks.
pub(super) fn check_new(application: &Application, problems: &mut Problems<'_>) {
    check_signers_differ(application, problems);
    lists(application, problems);
    service_names(application, problems);
    for (index, approver) in application.approvers.iter().enumerate() {
        if let Some(message) = shell_sign(approver.mail.as_str()) {
            problems.add(&format!("approver[{index}].mail"), &message);
        }
    }
}

/// The most patterns in one list. Stablepin compares every pushed tag and every tag of a repository
/// with all patterns of a list.
const MOST_PATTERNS: usize = 50;

/// The most principals of an approver. Stablepin compares the signer of each request with all of
/// them.
const MOST_PRINCIPALS: usize = 20;

/// The most endpoints of an environment. Stablepin probes all endpoints at the same time, each up
/// to five times. Other work waits until the probes have ended.
const MOST_ENDPOINTS: usize = 20;

/// The most waived accounts and AWS services. Retention compares each account in a repository's
/// policy with all of them.
const MOST_WAIVED: usize = 50;

fn lists(application: &Application, problems: &mut Problems<'_>) {
    let mut check = |key: String, count: usize, most: usize| {
        if count > most {
            problems.add(&key, &format!("has {count} entries, and may have {most}"));
        }
    };
    check(
        "builds".to_owned(),
        application.builds.include.len() + application.builds.exclude.len(),
        MOST_PATTERNS,
    );
    check("retention.protect".to_owned(), application.retention.protect.len(), MOST_PATTERNS);
    check("retention.waive".to_owned(), application.retention.waive.len(), MOST_WAIVED);
    for (index, approver) in application.approvers.iter().enumerate() {
        check(format!("approver[{index}].principals"), approver.principals.len(), MOST_PRINCIPALS);
    }
    for (index, environment) in application.environments.iter().enumerate() {
        check(
            format!("environment[{index}].verify.endpoints"),
            environment.verify.endpoints.len(),
            MOST_ENDPOINTS,
        );
    }
}

/// Checks that the approvers' names, mail addresses and principals are distinct. A person with two
/// names would have two votes.
fn check_approvers_differ(application: &Application, problems: &mut Problems<'_>) {
    let mut names = BTreeMap::new();
    let mut mails = BTreeMap::new();
    for (index, approver) in application.approvers.iter().enumerate() {
        let key = format!("approver[{index}]");
        if let Some(first) = names.insert(&approver.name, index) {
            let message = format!("\"{}\" is approver[{first}]'s name already", approver.name);
            problems.add(&format!("{key}.name"), &message);
        }
        if let Some(first) = mails.insert(approver.mail.as_str().to_lowercase(), index) {
            let message = format!(
                "{} is approver[{first}]'s address already: votes count names, and one person would have two",
                quoted(approver.mail.as_str())
            );
            problems.add(&format!("{key}.mail"), &message);
        }
    }
    let principals = principals(application);
    for (index, (key, principal)) in principals.iter().enumerate() {
        if let Some((first, _)) = principals[..index].iter().find(|(_, other)| other == principal) {
            let message =
                format!("{} is {first} already: write each principal once", quoted(principal.as_str()));
            problems.add(key, &message);
        }
    }
}

/// Returns every principal of every approver, with the principal's key in the file.
fn principals(application: &Application) -> Vec<(String, &Principal)> {
    let mut principals = Vec::new();
    for (index, approver) in application.approvers.iter().enumerate() {
        for (position, principal) in approver.principals.iter().enumerate() {
            principals.push((format!("approver[{index}].principals[{position}]"), principal));
        }
    }
    principals
}

/// Checks that no two principals can be the same signer, because such a signer could vote as two
/// approvers. The roles of two permission sets are accepted, although one person may use both:
/// Stablepin compares the session names of the signers at each request.
fn check_signers_differ(application: &Application, problems: &mut Problems<'_>) {
    let principals = principals(application);
    for (index, (key, principal)) in principals.iter().enumerate() {
        let same = |(_, other): &&(String, &Principal)| other.may_be(principal.as_str());
        if let Some((first, other)) = principals[..index].iter().find(same) {
            let message = format!(
                "\"{principal}\" can be the same signer as {first}, \"{other}\": a role signs as its sessions, and names \
                 differ neither by path nor by case; leave one of the two out"
            );
            problems.add(key, &message);
        }
    }
}

fn check_environments_differ(application: &Application, problems: &mut Problems<'_>) {
    let mut names = BTreeMap::new();
    for (index, environment) in application.environments.iter().enumerate() {
        if let Some(first) = names.insert(&environment.name, index) {
            let message = format!("\"{}\" is environment[{first}]'s name already", environment.name);
            problems.add(&format!("environment[{index}].name"), &message);
        }
    }
}

fn approval(
    application: &Application,
    environment: &EnvironmentPolicy,
    key: &str,
    problems: &mut Problems<'_>,
) {
    let approval = &environment.approval;
    let named = if problems.is_written(&format!("{key}.approvers")) { approval.approvers.len() } else { 0 };
    for (index, name) in approval.approvers[..named].iter().enumerate() {
        let item = format!("{key}.approvers[{index}]");
        if application.approver(name).is_none() {
            let message =
                format!("\"{name}\" is not an approver of this file: describe them, begun by [[approver]]");
            problems.add(&item, &message);
        } else if approval.approvers[..index].contains(name) {
            problems.add(&item, &format!("\"{name}\" is in the list already: votes count names"));
        }
    }
    let (required, available) = (usize::from(approval.required), approval.approvers.len());
    // A wrong name in the list is already reported. The number of approvers is known only after a
    // person has corrected the name.
    if required > available && !problems.is_reported(&format!("{key}.approvers")) {
        let message = match available {
            0 => format!(
                "{required} must approve, and there is no approver: describe them, each begun by [[approver]], or \
                 write required = 0 to promote every build without approval"
            ),
            _ => format!(
                "{required} must approve, and only {available} may: name more approvers, or write required = {available}"
            ),
        };
        problems.add(&format!("{key}.required"), &message);
    }
}

/// Checks that the four-eyes rule can work. Each approver of the environment must have principals,
/// because Stablepin recognizes an approver's requests by the principals. The rule also needs at
/// least one required approval.
fn four_eyes(
    application: &Application,
    environment: &EnvironmentPolicy,
    key: &str,
    problems: &mut Problems<'_>,
) {
    let approval = &environment.approval;
    if approval.four_eyes == FourEyes::Off {
        return;
    }
    let known = |name: &&ApproverName| {
        application.approver(name).is_none_or(|approver| !approver.principals.is_empty())
    };
    let unknown: Vec<&str> =
        approval.approvers.iter().filter(|name| !known(name)).map(ApproverName::as_str).collect();
    if !unknown.is_empty() {
        let message = format!(
            "must know who requested a promotion, and the requests of {} are not known: write their \
             principals, or four_eyes = \"off\"",
            unknown.join(" and ")
        );
        problems.add(&format!("{key}.four_eyes"), &message);
    }
    if approval.required == 0 {
        let message = "needs a second person, and required = 0 needs nobody: write required = 1, or \
                       four_eyes = \"off\"";
        problems.add(&format!("{key}.four_eyes"), message);
    }
}

/// Checks that an environment with a soak time names an earlier environment, and that the soak time
/// is shorter than the time after which a promotion expires.
fn soak(environment: &EnvironmentPolicy, key: &str, problems: &mut Problems<'_>) {
    if environment.soak.is_zero() {
        return;
    }
    if environment.after.is_none() {
        problems.add(key, "needs an earlier environment: name it in after, or leave soak out");
    } else if environment.soak >= environment.approval.expires {
        let message = "is not shorter than approval.expires, so every promotion would expire before: \
                       write a shorter time, or a longer approval.expires";
        problems.add(key, message);
    }
}

/// Checks that no list names a check twice, and that the table can keep all required checks of one
/// digest.
fn required_checks(application: &Application, problems: &mut Problems<'_>) {
    let mut all = BTreeSet::new();
    for (at, environment) in application.environments.iter().enumerate() {
        let (key, requires) = (format!("environment[{at}].requires"), &environment.requires);
        for (index, name) in requires.iter().enumerate() {
            if requires[..index].contains(name) {
                problems.add(&format!("{key}[{index}]"), &format!("\"{name}\" is in the list already"));
            }
        }
        let before = all.len();
        all.extend(requires);
        if before <= MOST_CHECKS && all.len() > MOST_CHECKS {
            let message = format!(
                "brings the file to {} different checks, and a file may require {MOST_CHECKS}",
                all.len()
            );
            problems.add(&key, &message);
        }
    }
}

/// Checks that `after` names another environment, and that the chain of environments has no cycle.
fn order(application: &Application, environment: &EnvironmentPolicy, key: &str, problems: &mut Problems<'_>) {
    let Some(after) = &environment.after else { return };
    if application.environment(after).is_none() {
        let message = format!("\"{after}\" is not an environment of this file: write {}", names(application));
        problems.add(key, &message);
        return;
    }
    let mut way = vec![&environment.name];
    let mut next = Some(after);
    while let Some(name) = next.filter(|name| !way.contains(name)) {
        way.push(name);
        next = application.environment(name).and_then(|environment| environment.after.as_ref());
    }
    // Reports a cycle only once, at the environment of the cycle that is first in the file.
    let is_first = || {
        let position = |name: &EnvironmentName| application.environments.iter().position(|e| e.name == *name);
        way.iter().all(|name| position(name) >= position(&environment.name))
    };
    if next == Some(&environment.name) && is_first() {
        way.push(&environment.name);
        let way: Vec<&str> = way.iter().map(|name| name.as_str()).collect();
        problems.add(key, &format!("goes round in a circle: {}", way.join(" after ")));
    }
}

/// Checks that the tag `latest` is neither a build nor a stable tag, if Stablepin puts the tag.
fn latest(application: &Application, problems: &mut Problems<'_>) {
    if application.latest == Latest::Off {
        return;
    }
    let tag = build_tag::latest();
    if let Some(pattern) = application.builds.pattern_of(&tag) {
        let message = format!(
            "would be taken for a build, because builds has {}: write \"off\", or narrower builds",
            quoted(pattern.as_str())
        );
        problems.add("latest", &message);
    }
    if let Some(index) = application.environments.iter().position(|one| one.stable_tag == tag) {
        let message = "\"latest\" is kept by the setting latest: write another tag, or latest = \"off\"";
        problems.add(&format!("environment[{index}].stable_tag"), message);
    }
}

fn stable_tags(application: &Application, problems: &mut Problems<'_>) {
    for (index, environment) in application.environments.iter().enumerate() {
        let key = format!("environment[{index}].stable_tag");
        let tag = &environment.stable_tag;
        let written = if problems.is_written(&key) { "" } else { " (the default)" };
        let same = |other: &&EnvironmentPolicy| {
            other.name != environment.name
                && other.repository == environment.repository
                && other.stable_tag == *tag
        };
        if let Some(other) = application.environments[..index].iter().find(same) {
            let message = format!(
                "\"{tag}\"{written} is the stable tag of \"{}\" in the same repository already: write another",
                other.name
            );
            problems.add(&key, &message);
        }
        let current = |other: &&EnvironmentPolicy| {
            other.repository == environment.repository && tag.as_str() == format!("{}-current", other.name)
        };
        if let Some(other) = application.environments.iter().find(current) {
            let message =
                format!("\"{tag}\" is the tag of what is live in \"{}\": write another", other.name);
            problems.add(&key, &message);
        }
        if environment.repository != application.repository {
            continue;
        }
        if let Some(pattern) = application.builds.pattern_of(tag) {
            let message = format!(
                "\"{tag}\"{written} would be taken for a build, because builds has {}: write another tag, or \
                 narrower builds",
                quoted(pattern.as_str())
            );
            problems.add(&key, &message);
        }
    }
}

fn services(application: &Application, problems: &mut Problems<'_>) {
    let mut claimed = BTreeMap::new();
    for (index, environment) in application.environments.iter().enumerate() {
        for (position, service) in environment.services.iter().enumerate() {
            if let Some(first) = claimed.insert(service, index) {
                let whose = if first == index { "is in the list" } else { "is another environment's" };
                let message =
                    format!("{} {whose} already: write each service once", quoted(&service.to_string()));
                problems.add(&format!("environment[{index}].services[{position}]"), &message);
            }
        }
    }
}

fn containers(application: &Application, problems: &mut Problems<'_>) {
    for (index, environment) in application.environments.iter().enumerate() {
        for (position, container) in environment.containers.iter().enumerate() {
            if environment.containers[..position].contains(container) {
                let message = format!("\"{container}\" is in the list already: write each container once");
                problems.add(&format!("environment[{index}].container[{position}]"), &message);
            }
        }
    }
}

/// The most resources that an application claims. One transaction writes all claims, and a
/// transaction has at most 100 items.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>
const MOST_CLAIMS: usize = 80;

fn size(application: &Application, problems: &mut Problems<'_>) {
    let resources = application.resources();
    let claims = resources.repositories.len() + resources.services.len() + resources.stable_tags.len();
    if claims > MOST_CLAIMS {
        let message = format!(
            "names {claims} repositories, services and stable tags together, and may name {MOST_CLAIMS}: divide \
             it into several applications"
        );
        problems.add("environment", &message);
    }
}

/// The most characters of all service names together. The record of a rollout contains each name
/// several times, and a DynamoDB item has a limited size.
const MOST_SERVICE_LETTERS: usize = 8_000;

fn service_names(application: &Application, problems: &mut Problems<'_>) {
    let letters: usize = application.resources().services.iter().map(|one| one.to_string().len()).sum();
    if letters > MOST_SERVICE_LETTERS {
        let message = format!(
            "names services with {letters} characters together, and may have {MOST_SERVICE_LETTERS}: divide it into \
             several applications"
        );
        problems.add("environment", &message);
    }
}

fn names(application: &Application) -> String {
    let names: Vec<String> = application.environments.iter().map(|e| format!("\"{}\"", e.name)).collect();
    names.join(" or ")
}
