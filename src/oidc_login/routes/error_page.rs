use std::{error::Error as _, sync::atomic::AtomicBool, time::Duration};

use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER, X_FRAME_OPTIONS},
    request::Parts,
};

use super::reply::{self, Reply};
use crate::{
    observe::{event::Event, request_summary::RequestSummary},
    oidc_login::{
        login_error::{LoginError, LoginErrorKind},
        oidc_login::State,
    },
    rejection::{Rejection, RejectionKind},
};

/// When to try again after an outage, unless a rejection says something else.
const RETRY_WAIT: Duration = Duration::from_secs(5);

impl State {
    /// Returns what events contain of a request.
    pub(super) fn summary<'a>(&'a self, head: &'a Parts) -> RequestSummary<'a> {
        RequestSummary::of(head, Some(&self.routes.forwarded))
    }
}

/// Reports that a login has failed, and creates its page.
pub(super) fn login_failed(state: &State, error: &LoginError, head: &Parts) -> Reply {
    let routes = &state.routes;
    let request = state.summary(head);
    routes.observer.or_of(head).observe(&Event::LoginFailed { request, error });
    let mut reply = match &routes.error_page {
        Some(page) => page(error, head),
        None => {
            let link = match error.kind() {
                LoginErrorKind::Misconfigured => None,
                _ => Some(&*routes.login_path),
            };
            default_page("Login failed", &error.to_string(), link)
        }
    };
    *reply.status_mut() = error.kind().status();
    reply::protect(&mut reply);
    if error.kind() == LoginErrorKind::Unavailable {
        let rejection = error.source().and_then(|source| source.downcast_ref::<Rejection>());
        let wait = rejection.and_then(Rejection::retry_after).unwrap_or(RETRY_WAIT);
        // Rounded up.
        let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
        reply.headers_mut().entry(RETRY_AFTER).or_insert_with(|| HeaderValue::from(seconds));
    }
    reply
}

/// Reports that a logout was rejected, and creates its page.
pub(super) fn logout_failed(state: &State, rejection: Rejection, head: &Parts) -> Reply {
    let routes = &state.routes;
    let observer = routes.observer.or_of(head).or_forwarded(&routes.forwarded);
    observer.observe_rejection(&rejection, head, &AtomicBool::new(false));
    let kind = rejection.kind();
    let mut reply = match &routes.error_page {
        Some(page) => page(&rejection.clone().into(), head),
        None if kind == RejectionKind::Unavailable => {
            default_page("Logout failed", "you are still logged in: please try again", None)
        }
        None => default_page("Logout failed", kind.message(), None),
    };
    *reply.status_mut() = kind.status();
    reply::protect(&mut reply);
    rejection.write_headers(reply.headers_mut());
    reply
}

/// Creates a page without scripts and styles.
fn default_page(title: &str, text: &str, login_path: Option<&str>) -> Reply {
    let link = login_path.map_or(String::new(), |path| {
        format!("<p><a href=\"{}\">Log in again</a></p>\n", escape(path))
    });
    let text = escape(text);
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
         <h1>{title}</h1>\n<p>{text}</p>\n{link}</html>\n"
    );
    let mut reply = reply::with_body(StatusCode::OK, page);
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
