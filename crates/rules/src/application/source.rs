//! The AWS services whose configuration names the tasks and jobs that they start.

use std::fmt;

/// An AWS service with resources that name task definitions, job definitions or images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// EventBridge rules on event buses.
    EventBridge,
    /// Schedules of EventBridge Scheduler.
    Scheduler,
    /// Pipes of EventBridge Pipes.
    Pipes,
    /// Job definitions and jobs of AWS Batch.
    Batch,
}

impl Source {
    pub const ALL: [Self; 4] = [Self::EventBridge, Self::Scheduler, Self::Pipes, Self::Batch];

    /// Returns the service's name in `retention.waive`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EventBridge => "eventbridge",
            Self::Scheduler => "scheduler",
            Self::Pipes => "pipes",
            Self::Batch => "batch",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.as_str() == text)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_round_trips_through_its_printed_name() {
        for source in Source::ALL {
            assert_eq!(Source::parse(&source.to_string()), Some(source));
        }
        assert_eq!(Source::parse("Batch"), None);
        assert_eq!(Source::parse("ecs"), None);
    }
}
