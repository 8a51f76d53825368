use std::{error::Error as _, time::Duration};

use http::{
    HeaderName, HeaderValue,
    header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER, X_FRAME_OPTIONS},
    request::Parts,
};

use super::reply::{self, Reply};
use crate::{
    observe::event::{Event, RequestSummary},
    oidc_login::{
        login_error::{LoginError, LoginErrorKind},
        oidc_login::State,
    },
    rejection::Rejection,
};

/// When to try again after an outage, unless a rejection says something else.
const RETRY_WAIT: Duration = Duration::from_secs(5);

/// Reports a failure, and creates its page.
pub(super) fn respond(state: &State, error: &LoginError, head: &Parts) -> Reply {
    let routes = &state.routes;
    let request = RequestSummary::of(head, Some(&routes.forwarded));
    routes.observer.or_of(head).observe(&Event::LoginFailed { request, error });
    let mut reply = match &routes.error_page {
        Some(page) => page(error, head),
        None => default_page(error, &routes.login_path),
    };
    *reply.status_mut() = error.kind().status();
    reply::protect(&mut reply);
    if error.kind() == LoginErrorKind::Unavailable {
        let wait = retry_after(error);
        reply.headers_mut().entry(RETRY_AFTER).or_insert_with(|| HeaderValue::from(wait));
    }
    reply
}

/// Returns when to try again, in seconds, rounded up.
fn retry_after(error: &LoginError) -> u64 {
    let rejection = error.source().and_then(|source| source.downcast_ref::<Rejection>());
    let wait = rejection.and_then(Rejection::retry_after).unwrap_or(RETRY_WAIT);
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0))
}

/// Creates a page without scripts and styles. The text is that of the error, without its source.
fn default_page(error: &LoginError, login_path: &str) -> Reply {
    let text = escape(&error.to_string());
    let link = match error.kind() {
        LoginErrorKind::Misconfigured => String::new(),
        _ => format!("<p><a href=\"{}\">Log in again</a></p>\n", escape(login_path)),
    };
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>Login failed</title>\n\
         <h1>Login failed</h1>\n<p>{text}</p>\n{link}</html>\n"
    );
    let mut reply = reply::with_body(error.kind().status(), page);
    let set: [(HeaderName, &'static str); 3] = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
        (X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in set {
        reply.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    reply
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(character),
        }
    }
    escaped
}
