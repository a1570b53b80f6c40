//! A decoded request from an API Gateway HTTP API (payload format 2.0).

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::{Event, Problem};

/// The parts of a request that a handler needs. The type has no `Debug`, because a body, a query or
/// a cookie may contain the secret of an approval link.
pub struct Request {
    /// The route in `template.yaml`, without values: `GET /v1/applications/{application}`.
    pub route: String,
    pub method: String,
    pub id: String,
    raw_path: String,
    path: HashMap<String, String>,
    query: HashMap<String, String>,
    cookies: HashMap<String, String>,
    pub body: String,
    /// The ARN of the IAM principal that signed the request, if the route requires a signature.
    pub principal: Option<String>,
    pub account: Option<String>,
}

/// The most bytes of a body, before any Base64 decoding. The largest body is an application file.
/// This limit is twice the limit of an application file.
pub(crate) const MAX_BODY_BYTES: usize = 128 * 1024;

impl Request {
    pub fn read(event: Event) -> Result<Self, Problem> {
        let context = event.request_context;
        let bytes = event.body.as_ref().map_or(0, String::len);
        if bytes > MAX_BODY_BYTES {
            let detail = format!("the body has {bytes} bytes, and may have {MAX_BODY_BYTES}");
            return Err(Problem::new(413, "too-large", "The body is too large", detail));
        }
        let body = match (event.body, event.is_base64_encoded) {
            (None, _) => String::new(),
            (Some(text), false) => text,
            (Some(encoded), true) => {
                let bytes = STANDARD.decode(encoded).ok();
                bytes
                    .and_then(|bytes| String::from_utf8(bytes).ok())
                    .ok_or_else(|| Problem::bad_request("the body is not UTF-8 text: send it as text"))?
            }
        };
        let iam = context.authorizer.and_then(|authorizer| authorizer.iam);
        let query = event.raw_query_string.unwrap_or_default();
        // API Gateway lists the cookies separately. An emulator may send the cookies in the header.
        let header = event.headers.get_all("cookie").iter().filter_map(|value| value.to_str().ok());
        let pairs = event.cookies.iter().flatten().map(String::as_str).chain(header);
        let pairs = pairs.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
        let cookies = pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect();
        Ok(Self {
            route: event.route_key.or(context.route_key).unwrap_or_default(),
            method: context.http.method.to_string(),
            id: context.request_id.unwrap_or_default(),
            raw_path: event.raw_path.unwrap_or_default(),
            path: event.path_parameters,
            query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            cookies,
            body,
            account: context.account_id,
            principal: iam.and_then(|iam| iam.user_arn),
        })
    }

    /// Returns the requested path without the query. The form of a page posts to the path of the
    /// page.
    pub fn raw_path(&self) -> &str {
        &self.raw_path
    }

    /// Returns the value of a path parameter. `name` is the parameter's name in the route.
    pub fn path(&self, name: &str) -> &str {
        self.path.get(name).map_or("", String::as_str)
    }

    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.get(name).map(String::as_str)
    }

    /// Parses a path parameter. On failure, the problem names the parameter.
    pub fn parsed<T, E: std::fmt::Display>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, Problem> {
        parse(self.path(name)).map_err(|error| Problem::bad_request(error.to_string()).with("in", name))
    }

    /// Returns the requested page of a list: `?limit=` (1 to 100, 50 if absent), and `?after=`. The
    /// value of `after` is the `next` of the previous page.
    pub fn page(&self) -> Result<(i32, Option<String>), Problem> {
        let limit = match self.query("limit") {
            None => 50,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=100).contains(limit))
                .ok_or_else(|| Problem::bad_request("`limit` must be a whole number from 1 to 100"))?,
        };
        Ok((limit, self.query("after").map(str::to_owned)))
    }

    /// Returns the ARN of the signer. Returns a problem if the request has no signature. On a route
    /// with IAM authorization, API Gateway already refuses such a request.
    pub fn signed_by(&self) -> Result<&str, Problem> {
        self.principal.as_deref().ok_or_else(|| {
            Problem::new(403, "not-signed", "Not signed", "sign the request with AWS credentials (SigV4)")
        })
    }

    /// Returns the fields of a posted form.
    pub fn form(&self) -> HashMap<String, String> {
        form_urlencoded::parse(self.body.as_bytes()).into_owned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_over_the_limit_is_refused() {
        let event = |bytes: usize| {
            let mut event = Event::default();
            event.body = Some("a".repeat(bytes));
            event
        };
        assert!(
            Request::read(event(MAX_BODY_BYTES)).is_ok_and(|request| request.body.len() == MAX_BODY_BYTES)
        );
        let Err(refused) = Request::read(event(MAX_BODY_BYTES + 1)) else {
            panic!("a body over the limit was read")
        };
        assert_eq!((refused.status, refused.kind.as_str()), (413, "urn:stablepin:problem:too-large"));
    }
}
