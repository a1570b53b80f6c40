mod ecs;
mod fixtures;
mod functions;
mod sources;
