use axum::{
    extract::{RawQuery, State},
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use reqwest::Url;

use super::{Code, OidcStub, parameters};

/// Logs the user in at once, and sends the browser back with a code.
pub(super) async fn authorize(State(stub): State<OidcStub>, RawQuery(query): RawQuery) -> Response {
    let request = parameters(&query.unwrap_or_default());
    let redirect_uri = request["redirect_uri"].clone();
    assert_eq!(request["response_type"], "code");
    assert_eq!(request["code_challenge_method"], "S256");
    let code = stub.secret();
    let (user, change) = {
        let settings = stub.settings();
        (settings.user.clone(), settings.callback.clone())
    };
    let mut callback = vec![("code".to_owned(), code.clone())];
    if let Some(state) = request.get("state") {
        callback.push(("state".to_owned(), state.clone()));
    }
    callback.push(("iss".to_owned(), stub.issuer().to_owned()));
    change(&mut callback);
    let is_post = request.get("response_mode").is_some_and(|mode| mode == "form_post");
    stub.log().codes.insert(code, Code { request, user, uses: 0 });
    let url = Url::parse_with_params(&redirect_uri, &callback).unwrap();
    if is_post {
        // The body of the form that the page submits.
        return Html(url.query().unwrap().to_owned()).into_response();
    }
    (StatusCode::FOUND, [(header::LOCATION, url.to_string())]).into_response()
}
