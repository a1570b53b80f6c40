mod application;
mod drift;
mod failures;
mod fixtures;
mod overview;
mod security;
