//! The mailbox of an application's approvers.
//!
//! The mailbox is a queue. Its subscription to the approvals topic passes the mails to all
//! approvers of the application. Each approver's address has its own subscription too.

use serde_json::{Value, json};
use xtask::inbox::{self, Mail};

use crate::isolated::Isolated;
use crate::subscription::{queue_for, subscribe, unsubscribe};
use crate::{App, Link, stack, until};

impl App {
    /// Creates the mailbox. A test must create the mailbox before the first push, since the queue
    /// receives only later mails.
    #[track_caller]
    pub(crate) fn open_mailbox(&mut self) {
        let arn = queue_for(&self.aws, &self.mailbox(), stack().topic()).arn;
        let addresses: Vec<String> = self.plan.approvers.iter().map(|name| self.plan.mail(name)).collect();
        let mut subscriptions = vec![subscribe(&self.aws, stack().topic(), "sqs", &arn, Some(&addresses))];
        subscriptions.extend(self.subscribed(stack().topic()));
        self.mailbox = subscriptions;
    }

    /// Creates a subscription for each approver's address, as an administrator does. The
    /// subscription passes only the mails to that address. Returns the ARNs of the subscriptions.
    #[track_caller]
    pub(crate) fn subscribed(&self, topic: &str) -> Vec<String> {
        let addresses = self.plan.approvers.iter().filter(|_| self.plan.subscribed);
        addresses
            .map(|name| self.plan.mail(name))
            .map(|mail| subscribe(&self.aws, topic, "email", &mail, Some(std::slice::from_ref(&mail))))
            .collect()
    }

    pub(crate) fn close_mailbox(&self) {
        if self.mailbox.is_empty() {
            return;
        }
        for arn in &self.mailbox {
            unsubscribe(&self.aws, arn);
        }
        let _ = self.aws.sqs("DeleteQueue", &json!({ "QueueUrl": self.mailbox_url() }));
    }

    fn mailbox_url(&self) -> String {
        stack().inbox().replace(inbox::QUEUE, &self.mailbox())
    }

    fn mailbox(&self) -> String {
        format!("mail-{}", self.plan.name)
    }

    /// Returns the approval mails to one approver, oldest first. `approver` is the first part of
    /// the approver's name.
    #[track_caller]
    pub fn mails(&self, approver: &str) -> Vec<Mail> {
        self.all_mails(approver).into_iter().filter(|mail| mail.link().is_some()).collect()
    }

    /// Returns the mails that confirm the votes of one approver.
    #[track_caller]
    pub fn vote_confirmations(&self, approver: &str) -> Vec<Mail> {
        let used = |mail: &Mail| mail.subject.starts_with("Your link was used");
        self.all_mails(approver).into_iter().filter(used).collect()
    }

    #[track_caller]
    fn all_mails(&self, approver: &str) -> Vec<Mail> {
        let name = self.approver(approver);
        let mailbox =
            self.isolated.as_ref().map_or_else(|| self.mailbox_url(), |isolated| isolated.inbox().to_owned());
        let mails = inbox::messages(&self.aws, &mailbox).expect("the mailbox answers");
        mails.into_iter().filter(|mail| mail.approver.as_deref() == Some(name)).collect()
    }

    /// Waits for an approver's mail about a digest. Returns the link in the mail.
    #[track_caller]
    pub fn link_of(&self, approver: &str, digest: &str) -> Link {
        let mail = until("the approver's mail", || {
            self.mails(approver).into_iter().rev().find(|mail| mail.body.contains(digest))
        });
        Link::of(&mail)
    }

    /// Returns the application's notifications as a chat receives them, oldest first.
    #[track_caller]
    pub fn notices(&self) -> Vec<Value> {
        let inbox = self.isolated.as_ref().map_or(stack().inbox(), Isolated::inbox);
        let mails = inbox::messages(&self.aws, inbox).expect("the inbox answers");
        let told = mails.iter().filter_map(|mail| serde_json::from_str::<Value>(&mail.body).ok());
        told.filter(|told| told["metadata"]["additionalContext"]["application"] == self.plan.name.as_str())
            .collect()
    }

    /// Waits for the lead's mail about a digest. Returns the link in the mail.
    #[track_caller]
    pub fn link(&self, digest: &str) -> Link {
        self.link_of("lead", digest)
    }
}
