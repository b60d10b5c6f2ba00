//! Numbers for operators.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{FromRequestParts as _, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, FORWARDED};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::call::MaySee;
use super::problem::{Problem, ReadProblems};
use crate::metrics;

/// What proxies add to a request that they pass on.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Where a connection comes from; in the extensions of every request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Remote(pub(super) SocketAddr);

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(show))
}

/// Numbers for operators
///
/// In the text format of Prometheus. From the node's own machine no token is needed, unless a proxy passes it on.
#[utoipa::path(
    get, path = "/metrics", operation_id = "getMetrics", tag = "node", security((), ("token" = [])),
    responses(
        (status = 200, description = "One number a line", body = String, content_type = "text/plain"),
        ReadProblems,
    ),
)]
async fn show(State(api): State<Arc<Api>>, mut parts: Parts) -> Result<Response, Problem> {
    if !is_local(&parts) {
        let MaySee(mut call) = MaySee::from_request_parts(&mut parts, &api).await?;
        call.no_more_params()?;
    }
    let app = api.app.clone();
    let text = api
        .blocking(move || app.metrics.render(metrics::scrape(&app)))
        .await?;
    let headers = [
        (
            CONTENT_TYPE,
            HeaderValue::from_static(metrics::CONTENT_TYPE),
        ),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, text).into_response())
}

/// Whether somebody on this machine asks. A proxy on this machine asks for somebody else.
fn is_local(parts: &Parts) -> bool {
    let forwarded = [FORWARDED, X_FORWARDED_FOR];
    let own = parts
        .extensions
        .get::<Remote>()
        .is_some_and(|Remote(address)| is_loopback(address.ip()));
    own && !forwarded
        .iter()
        .any(|name| parts.headers.contains_key(name))
}

/// An IPv4 address may come in the clothes of IPv6.
fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(address: &str, headers: &[(&str, &str)]) -> bool {
        let mut request = axum::http::Request::new(());
        let address = SocketAddr::new(address.parse().unwrap(), 1);
        request.extensions_mut().insert(Remote(address));
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        is_local(&request.into_parts().0)
    }

    #[test]
    fn only_loopback_itself_is_local() {
        for address in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"] {
            assert!(from(address, &[]), "{address}");
        }
        for address in ["192.168.1.2", "::ffff:10.0.0.1", "2001:db8::1"] {
            assert!(!from(address, &[]), "{address}");
        }
        assert!(!from("127.0.0.1", &[("x-forwarded-for", "203.0.113.5")]));
        assert!(!from("::1", &[("forwarded", "for=203.0.113.5")]));
    }
}
