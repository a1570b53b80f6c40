//! Amazon ECR: images, their tags and their labels.

mod client;
mod deletion;
mod digest;
mod error;
mod image_details;
mod image_id;
mod images;
mod inspection;
mod inventory;
mod layers;
mod manifests;
mod mount;
mod policies;
mod pull_times;
mod referrers;
mod repository;
mod storage_class;
mod tags;

pub use client::Ecr;
pub use deletion::{Deleted, FailedImage, PER_DELETE};
pub use digest::sha256;
pub use error::EcrError;
pub use image_details::{ImageDetail, ImageStatus};
pub use image_id::ImageId;
pub use images::{FoundImage, Oddness};
pub use inventory::ListedImages;
pub use manifests::Manifest;
pub use mount::RegistryAccess;
pub use repository::Repository;
pub use storage_class::StorageClass;
pub use tags::{PutTag, Untag};
