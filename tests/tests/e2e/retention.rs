//! Retention deletes old images and keeps every image in use: its real program runs against the ECR
//! and ECS fakes.

mod archived;
mod goes_wrong;
mod many;
mod odd;
mod plans;
mod survives;
mod tagged;
mod turns;
