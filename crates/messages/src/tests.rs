mod approval_request;
mod approver_notice;
mod fixtures;
mod pin_notice;
mod release_notice;
mod vote_confirmation;
