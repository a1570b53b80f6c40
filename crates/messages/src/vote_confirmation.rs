//! The mail that confirms to an approver that their link was used. The mail contains no secret.

use stablepin_rules::audit::Actor;
use stablepin_rules::name::ApproverName;
use stablepin_rules::records::{Subject, Verdict};
use stablepin_rules::words::time;

use super::{Mail, line};

/// Returns the confirmation, or `None` if this approver has not voted with a link.
pub fn vote_confirmation(subject: &Subject, approver: &ApproverName) -> Option<Mail> {
    let promotion = subject.promotion()?;
    let vote = promotion.votes.get(approver).filter(|vote| matches!(vote.actor, Actor::Link { .. }))?;
    let (application, environment) = (subject.application(), &subject.name);
    let build = &promotion.build.build_tag;
    let (word, undo) = match vote.verdict {
        Verdict::Approve => (
            "approved",
            format!(
                "- withdraw promotion {id} if it is still Pending\n- roll {environment} back if it is not\n",
                id = promotion.id
            ),
        ),
        Verdict::Reject => {
            ("rejected", "- push the build again, or request its promotion by a signed request\n".to_owned())
        }
    };
    let reason =
        vote.reason.as_deref().map_or(String::new(), |reason| format!("Reason:    {}\n", line(reason)));
    let body = format!(
        "Hello {approver},\n\
         \n\
         A build was {word} in your name, with the link that was mailed to you.\n\
         \n\
         Build:     {build}\n\
         Digest:    {digest}\n\
         For:       {application}, {environment}\n\
         When:      {at}\n\
         {reason}\
         \n\
         If that was you, there is nothing to do. If it was not, somebody else can read your mail. Tell the \
         people who run Stablepin, and:\n\
         {undo}",
        digest = promotion.digest,
        at = time(vote.at),
    );
    Some(Mail { subject: format!("Your link was used: {application} {environment} {word}, {build}"), body })
}
