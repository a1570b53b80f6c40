//! The API of applications, promotions, pins, rollbacks and the audit trail.
//!
//! API Gateway checks the IAM signature of every request before it calls this Lambda function. The
//! pages of the console need no signature. Instead, they need a link that a signed caller has
//! minted.

mod applications;
mod commands;
mod console;
mod reads;

use stablepin_aws::ecs::Ecs;
use stablepin_http::{Problem, Request, Response};
use stablepin_reconciler::Clients;
use stablepin_reconciler::errors::chain;
use stablepin_rules::pattern::Pattern;
use stablepin_rules::transition::EnvironmentAction;

/// The resources that application files may name. The parameters of the stack set them.
#[derive(Debug, Clone)]
pub struct AllowedResources {
    pub partition: String,
    pub region: String,
    /// The API's own address: scheme and host, without a final slash. The address comes from the
    /// stack's configuration, not from a request.
    pub url: String,
    pub repositories: Vec<Pattern>,
    pub clusters: Vec<Pattern>,
}

/// The error for a template parameter that is not a list of ARN patterns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} is not a list of ARN patterns: {reason}")]
pub struct InvalidSettings {
    name: &'static str,
    reason: String,
}

impl AllowedResources {
    /// Parses the parameters `RepositoryArns` and `ClusterArns`, which are comma-separated lists.
    pub fn new(
        region: String,
        url: String,
        repository_arns: &str,
        cluster_arns: &str,
    ) -> Result<Self, InvalidSettings> {
        let partition = repository_arns.split(':').nth(1).unwrap_or("aws").to_owned();
        Ok(Self {
            partition,
            region,
            url: url.trim_end_matches('/').to_owned(),
            repositories: patterns("RepositoryArns", repository_arns)?,
            clusters: patterns("ClusterArns", cluster_arns)?,
        })
    }
}

fn patterns(name: &'static str, list: &str) -> Result<Vec<Pattern>, InvalidSettings> {
    let parse = |text: &str| {
        Pattern::parse(text).map_err(|error| InvalidSettings { name, reason: error.to_string() })
    };
    list.split(',').map(str::trim).filter(|text| !text.is_empty()).map(parse).collect()
}

/// Handles a request. The console only reads from `ecs`. The API's Lambda function has no client
/// that can deploy.
pub async fn handle(
    clients: &Clients,
    ecs: &Ecs,
    settings: &AllowedResources,
    request: &Request,
) -> Response {
    if let "GET /console" | "HEAD /console" | "GET /console/{application}" | "HEAD /console/{application}" =
        request.route.as_str()
    {
        return console::open(&clients.table, ecs, settings, request).await;
    }
    let answer = match request.signed_by() {
        Err(problem) => Err(problem),
        Ok(_) => route(clients, settings, request).await,
    };
    answer.unwrap_or_else(|problem| problem.response())
}

async fn route(
    clients: &Clients,
    settings: &AllowedResources,
    request: &Request,
) -> Result<Response, Problem> {
    let table = &clients.table;
    match request.route.as_str() {
        "GET /v1/applications" => applications::list(table, request).await,
        "GET /v1/applications/{application}" => applications::read(table, request).await,
        "PUT /v1/applications/{application}" => applications::put(table, settings, request).await,
        "GET /v1/applications/{application}/ignored-pushes" => reads::ignored_pushes(table, request).await,
        "GET /v1/applications/{application}/builds" => reads::builds(table, request).await,
        "GET /v1/applications/{application}/builds/{digest}" => reads::build(table, request).await,
        "GET /v1/applications/{application}/promotions" => reads::promotions(table, request).await,
        "GET /v1/applications/{application}/promotions/{promotion}" => reads::promotion(table, request).await,
        "GET /v1/applications/{application}/environments/{environment}" => {
            reads::environment(table, request).await
        }
        "GET /v1/applications/{application}/environments/{environment}/pins" => {
            reads::pins(table, request).await
        }
        "GET /v1/applications/{application}/environments/{environment}/rollbacks" => {
            reads::rollbacks(table, request).await
        }
        "PUT /v1/applications/{application}/environments/{environment}/freeze" => {
            commands::carry_out(clients, request, EnvironmentAction::Freeze).await
        }
        "DELETE /v1/applications/{application}/environments/{environment}/freeze" => {
            commands::carry_out(clients, request, EnvironmentAction::Thaw).await
        }
        "DELETE /v1/applications/{application}/environments/{environment}/hold" => {
            commands::carry_out(clients, request, EnvironmentAction::ReleaseHold).await
        }
        "DELETE /v1/applications/{application}/environments/{environment}/watermark" => {
            commands::carry_out(clients, request, EnvironmentAction::ResetWatermark).await
        }
        "GET /v1/applications/{application}/rollbacks/{rollback}" => reads::rollback(table, request).await,
        "GET /v1/applications/{application}/audit" => reads::audit(table, request).await,
        "POST /v1/console" => console::mint(table, settings, request).await,
        "GET /v1/health" => reads::health(table, request).await,
        route => Err(Problem::not_found(&format!("route {route}"))),
    }
}

fn internal_error(request: &Request, error: &dyn std::error::Error) -> Problem {
    let chain = chain(error);
    tracing::error!(request.id = request.id, "the request failed: {chain}");
    Problem::internal(&request.id, "the table could not be read or written; no change was half done")
}
