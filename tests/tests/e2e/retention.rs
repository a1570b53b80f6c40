//! Retention deletes old images and keeps every image in use. The tests run the real program of the
//! retention Lambda function against fakes of ECR and ECS.

mod archived;
mod goes_wrong;
mod many;
mod odd;
mod plans;
mod survives;
mod tagged;
mod turns;
