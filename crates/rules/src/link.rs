//! Links to pages of a pipeline.

use crate::application::is_url;

text_type!(
    /// The URL of a page, such as the page of a pipeline run.
    Link,
    "link",
    "write a URL of https:// or http://, a host name and a path, without user, password or fragment",
    is_url
);
