use form_urlencoded::Serializer;

use super::{authorization_request::check_runtime, oidc_login::State};
use crate::url::is_absolute_http;

impl State {
    /// Returns the URL that ends the session at the provider (OpenID Connect RP-Initiated Logout
    /// 1.0 §2), if the provider has one. During an outage, it is known if a login has needed the
    /// metadata before.
    pub(super) async fn end_session_url(&self, id_token_hint: Option<&str>) -> Option<String> {
        check_runtime().ok()?;
        let metadata = self.endpoint.metadata().await.ok()??;
        let endpoint = self.endpoint.link(metadata.end_session_endpoint.as_str()?)?;
        let mut url = endpoint.to_string();
        url.push(if endpoint.query().is_some() { '&' } else { '?' });
        let start = url.len();
        let mut query = Serializer::for_suffix(url, start);
        query.append_pair("client_id", &self.client_id);
        if let Some(id_token) = id_token_hint {
            query.append_pair("id_token_hint", id_token);
        }
        if is_absolute_http(&self.routes.after_logout) {
            query.append_pair("post_logout_redirect_uri", &self.routes.after_logout);
        }
        Some(query.finish())
    }
}
