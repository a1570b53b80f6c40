mod decided;
mod fixtures;
mod question;
mod refused;
mod rollout;
mod security;
