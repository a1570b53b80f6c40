//! Code that all Lambda functions with HTTP routes share: requests from an API Gateway HTTP API,
//! responses, and problem documents (RFC 9457).

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

/// Builds a response with the given headers, and with the headers that every response has.
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

/// Redirects (303) to a page of Stablepin, and sets a cookie. The browser requests the page with
/// `GET`, even after a `POST`.
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
            "the response could not be written, but the request was carried out",
        )
        .response(),
    }
}
