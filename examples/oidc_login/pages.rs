//! The pages. A real application uses a template engine.

use std::time::SystemTime;

use axum::{
    body::Body,
    http::{HeaderValue, Response, header::CONTENT_TYPE, request::Parts},
    response::Html,
};
use tower_auth::{Principal, Rejection, oidc_login::LoginError, session::SessionInfo};

const HTML: &str = "text/html; charset=utf-8";

/// Returns a page. `content` is HTML.
pub fn page(title: &str, content: &str) -> Html<String> {
    Html(format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\
         <h1>{title}</h1>\n{content}\n<p><a href=\"/\">Home</a></p></html>\n"
    ))
}

pub fn home(caller: Option<&Principal>) -> Html<String> {
    let Some(caller) = caller else {
        return page("Welcome", "<p><a href=\"/login\" id=\"login\">Log in</a></p>");
    };
    page(
        "Welcome",
        &format!(
            "<p>Logged in as <b id=\"user\">{}</b>.</p>\
             <ul><li><a href=\"/account\">Account</a><li><a href=\"/admin\">Administration</a>\
             <li><a href=\"/transfer\">Transfer</a></ul>{}",
            escape(&name(caller)),
            button("/logout", "logout", "", "Log out")
        ),
    )
}

/// Shows where a user is logged in.
pub fn account(caller: &Principal, sessions: &[SessionInfo]) -> Html<String> {
    let current = caller.extension::<SessionInfo>().map(SessionInfo::id);
    let mut rows = String::new();
    for session in sessions {
        let end = if current == Some(session.id()) {
            "this session".to_owned()
        } else {
            button("/account/end", "end", session.id(), "End")
        };
        rows.push_str(&format!(
            "<tr data-id=\"{}\"><td>{}<td>{}<td>{}<td>{}<td>{end}\n",
            escape(session.id()),
            escape(session.user_agent().unwrap_or("unknown")),
            session.address().map_or("unknown".to_owned(), |address| address.to_string()),
            ago(session.started_at()),
            ago(session.last_seen()),
        ));
    }
    page(
        "Account",
        &format!(
            "<p>Logged in as <b id=\"user\">{}</b>.</p><table id=\"sessions\">\n\
             <tr><th>Browser<th>Address<th>Login<th>Last used<th>\n{rows}</table>{}{}",
            escape(&name(caller)),
            button("/logout", "logout", "", "Log out"),
            button("/account/end-all", "end-all", "", "Log out everywhere"),
        ),
    )
}

/// Shows why a login failed. The text of the error contains nothing that is secret.
pub fn login_error(error: &LoginError, _: &Parts) -> Response<String> {
    let message = escape(&error.to_string());
    let Html(page) = page(
        "Login failed",
        &format!("<p id=\"error\">{message}</p><p><a href=\"/login\">Log in again</a></p>"),
    );
    let mut response = Response::new(page);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(HTML));
    response
}

/// Shows why a request was rejected. Without it, the response has no body, and browsers show a page
/// of their own.
pub fn rejected(rejection: &Rejection, _: &Parts) -> Response<Body> {
    let message = escape(&rejection.to_string());
    let Html(page) = page("Not available", &format!("<p id=\"error\">{message}</p>"));
    let mut response = Response::new(Body::from(page));
    *response.status_mut() = rejection.kind().status();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(HTML));
    response
}

/// Returns a form with one button. The requests of other sites are rejected, so the form needs no
/// token.
fn button(action: &str, id: &str, value: &str, label: &str) -> String {
    let value = escape(value);
    format!(
        "<form method=\"post\" action=\"{action}\">\
         <button class=\"{id}\" name=\"id\" value=\"{value}\">{label}</button></form>"
    )
}

fn name(caller: &Principal) -> String {
    caller.claim("name").unwrap_or_else(|_| caller.subject().to_owned())
}

fn ago(time: SystemTime) -> String {
    match time.elapsed().unwrap_or_default().as_secs() / 60 {
        0 => "now".to_owned(),
        minutes => format!("{minutes} min ago"),
    }
}

/// Escapes text that others chose, such as the name of a browser.
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
