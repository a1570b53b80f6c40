//! What every door to the web has in common: requests as they come from an HTTP API, answers, and problem
//! documents (RFC 9457).

pub mod page;
mod problem;
mod refusal;
mod request;

pub use problem::Problem;
pub use request::Request;

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use aws_lambda_events::encodings::Body;
use serde::Serialize;

pub use aws_lambda_events::apigw::{ApiGatewayV2httpRequest as Event, ApiGatewayV2httpResponse as Response};

/// An answer with these headers, and those that every answer has.
pub fn response(status: u16, content_type: &str, headers: &[(&str, &str)], body: String) -> Response {
    let always = [
        ("content-type", content_type),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("strict-transport-security", "max-age=63072000"),
    ];
    let mut answer = ApiGatewayV2httpResponse::default();
    answer.status_code = i64::from(status);
    for (name, value) in always.iter().chain(headers) {
        if let (Ok(name), Ok(value)) =
            (http::HeaderName::try_from(*name), http::HeaderValue::try_from(*value))
        {
            answer.headers.insert(name, value);
        }
    }
    answer.body = Some(Body::Text(body));
    answer
}

/// Leads on to a page of ours. A browser asks for it by `GET`, whatever it has asked for here.
pub fn see_other(path: &str, cookie: String) -> Response {
    let mut answer = response(303, "text/plain; charset=utf-8", &[("location", path)], String::new());
    answer.cookies = vec![cookie];
    answer
}

pub fn json<T: Serialize>(status: u16, body: &T) -> Response {
    match serde_json::to_string(body) {
        Ok(text) => response(status, "application/json", &[], text),
        Err(_) => Problem::internal(
            "unserialisable",
            "the answer could not be written, though the request was carried out",
        )
        .response(),
    }
}
