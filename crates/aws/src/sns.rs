//! Amazon SNS: mails to people, notifications to chats.

mod client;
mod publish;
mod subscriptions;

pub use client::Sns;
pub use publish::subject_line;
pub use subscriptions::Subscribed;
