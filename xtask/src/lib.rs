//! Developer tasks, and the local cloud for the demo and the tests.

pub mod as_user;
pub mod aws;
pub mod bench;
pub mod cloud;
pub mod demo;
pub mod deploy;
pub mod engine;
pub mod env_file;
pub mod image;
pub mod inbox;
pub mod mutants;
pub mod overlay;
pub mod podman;
pub mod port;
pub mod process;
pub mod queue;
pub mod secrets;
pub mod setup;
pub mod size;
pub mod stack;
pub mod step;
pub mod subscription;
pub mod supervisor;
pub mod test;
pub mod up;
pub mod workspace;
