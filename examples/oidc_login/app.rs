//! The routes of the application.

use std::time::Duration;

use axum::{
    Form, Json, Router,
    extract::State,
    http::{
        HeaderValue,
        header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY},
    },
    middleware::map_response_with_state,
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tower_auth::{
    AuthenticateLayer, Principal, Rejection, RejectionKind, RequireAuthentication, RequireRoles,
    oidc_login::{Login, OidcLogin},
    session::{LoginRedirect, SessionInfo, Sessions},
    store::SealedStore,
    transport::{Forwarded, HttpsLayer},
};

use crate::{BoxError, arguments::Arguments, pages};

/// How old the login of a user may be who sends money.
const RECENT_LOGIN: Duration = Duration::from_secs(5 * 60);

/// Returns the application. `origin` is its address for browsers.
pub fn app(arguments: &Arguments, origin: &str, store: SealedStore) -> Result<Router, BoxError> {
    // Behind a proxy that terminates TLS, this is `Forwarded::from_proxies`.
    let forwarded = Forwarded::direct();
    let sessions = Sessions::builder(store).forwarded(forwarded.clone()).build()?;
    let login = login(arguments, origin, &sessions, &forwarded)?;
    // The provider sends a logout token when the user logs out there, or in another application.
    let backchannel_logout = login.backchannel_logout()?;

    // Sends browsers that open a page to the login, and back to the page. Scripts get a 401.
    let to_login = LoginRedirect::to("/login").step_up().otherwise(pages::rejected);
    let private = Router::new()
        .route("/account", get(account))
        .route("/account/end", post(end_session))
        .route("/account/end-all", post(end_all_sessions))
        .route("/api/me", get(me))
        .route("/admin", get(admin).layer(RequireRoles::any(["admin"]).from_claim("groups")))
        // A user whose login is older logs in again, and comes back.
        .route("/transfer", get(transfer).layer(RequireAuthentication::max_age(RECENT_LOGIN)))
        .layer(AuthenticateLayer::new(sessions.clone()).responder(to_login.clone()))
        .with_state(sessions.clone());
    let public = Router::new()
        .route("/", get(home))
        .layer(AuthenticateLayer::optional(sessions).responder(to_login));

    // Pages have no script, load nothing and cannot be framed. The form of the logout leads to the
    // provider.
    let policy = format!(
        "default-src 'none'; connect-src 'self'; form-action 'self' {}; base-uri 'none'; \
         frame-ancestors 'none'",
        arguments.issuer
    );
    let policy = HeaderValue::try_from(policy)?;
    Ok(Router::new()
        .merge(public)
        .merge(private)
        .merge(login.into_router())
        .layer(map_response_with_state(policy, protect))
        .route_service("/backchannel-logout", backchannel_logout)
        // The outermost layer: plain HTTP is accepted only on this machine. A real service does not
        // allow it there either, and sends HSTS.
        .layer(HttpsLayer::new(forwarded).dangerous_allow_loopback()))
}

/// Adds headers to all pages.
async fn protect(State(policy): State<HeaderValue>, mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    // A cache may store a response to a request with a cookie (RFC 9111 §3.5).
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Returns the routes `/login`, `/callback` and `/logout`.
fn login(
    arguments: &Arguments,
    origin: &str,
    sessions: &Sessions,
    forwarded: &Forwarded,
) -> Result<OidcLogin, BoxError> {
    let mut login = OidcLogin::discover(&*arguments.issuer)
        .client_id(&*arguments.client)
        .redirect_uri(format!("{origin}/callback"))
        .scopes(["openid", "profile"])
        // Many providers return the name and the groups of a user only there.
        .userinfo()
        .after_logout(format!("{origin}/"))
        .then(find_account)
        .error_page(pages::login_error)
        .sessions(sessions.clone())
        .forwarded(forwarded.clone());
    // Without a secret and a key, this is a public client. PKCE protects the code in all cases.
    if let Some(secret) = &arguments.secret {
        login = login.client_secret(secret);
    }
    if arguments.secret_in_body {
        login = login.client_secret_post();
    }
    if let Some(pem) = &arguments.key {
        login = login.client_key(pem);
    }
    if arguments.form_post {
        login = login.form_post();
    }
    Ok(login.build()?)
}

/// Decides who the user is in this application. A real service looks up or creates an account here,
/// by the issuer and the subject, and never by the e-mail address.
async fn find_account(login: Login) -> Result<Principal, Rejection> {
    if login.subject().starts_with("blocked") {
        return Err(Rejection::new(RejectionKind::Forbidden).because("the account is blocked"));
    }
    Ok(login.principal().build())
}

async fn home(caller: Option<Principal>) -> Html<String> {
    pages::home(caller.as_ref())
}

async fn account(
    caller: Principal,
    State(sessions): State<Sessions>,
) -> Result<Html<String>, Rejection> {
    let list = sessions.list(&caller).await?;
    Ok(pages::account(&caller, &list))
}

#[derive(Deserialize)]
struct EndSession {
    id: String,
}

async fn end_session(
    caller: Principal,
    State(sessions): State<Sessions>,
    Form(form): Form<EndSession>,
) -> Result<Redirect, Rejection> {
    // Ends only a session of this user.
    sessions.end_one(&caller, &form.id).await?;
    Ok(Redirect::to("/account"))
}

/// Logs the user out of this application on all devices. The session at the provider continues.
async fn end_all_sessions(
    caller: Principal,
    State(sessions): State<Sessions>,
) -> Result<Response, Rejection> {
    let mut response = Redirect::to("/").into_response();
    sessions.end_all(&caller).await?;
    // Removes the cookie.
    sessions.end(&caller, &mut response).await?;
    Ok(response)
}

async fn me(caller: Principal) -> Json<Value> {
    let session = caller.extension::<SessionInfo>().map(SessionInfo::id);
    Json(json!({
        "subject": caller.subject(),
        "session": session,
        "auth_time": caller.claim::<u64>("auth_time").ok(),
        "acr": caller.claim::<&str>("acr").ok(),
    }))
}

async fn admin() -> Html<String> {
    pages::page("Administration", "<p id=\"admin\">Only administrators see this page.</p>")
}

async fn transfer() -> Html<String> {
    pages::page("Transfer", "<p id=\"transfer\">You have logged in less than 5 minutes ago.</p>")
}
