mod any_definition;
mod at_digest;
mod differences;
mod fixtures;
