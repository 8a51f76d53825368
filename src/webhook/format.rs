use std::{fmt, sync::Arc};

use http::HeaderName;

use super::{
    content::Content, encoding::SignatureEncoding, format_builder::WebhookFormatBuilder,
    id_in_body::Pointer, secret::SecretForm, signature::Syntax,
};

/// How a sender signs its webhooks: the names of the headers, and what is signed.
///
/// ```
/// use tower_auth::webhook::WebhookFormat;
///
/// let github = WebhookFormat::github();
/// // Slack signs the text `v0:`, the timestamp and the body.
/// let slack = WebhookFormat::builder()
///     .signature_header("x-slack-signature")
///     .timestamp_header("x-slack-request-timestamp")
///     .content("v0:{timestamp}:{body}")
///     .prefix("v0=")
///     .build()?;
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
///
/// | | headers | signed content | event |
/// | --- | --- | --- | --- |
/// | [`standard`] | `webhook-id`, `-timestamp`, `-signature` | `{id}.{timestamp}.{body}` | the id |
/// | [`svix`] | `svix-id`, `-timestamp`, `-signature` | the same | the id |
/// | [`github`] | `x-hub-signature-256` | `{body}` | SHA-256 of the body |
/// | [`stripe`] | `stripe-signature` | `{timestamp}.{body}` | the member `id` of the body |
///
/// [`standard`]: Self::standard
/// [`svix`]: Self::svix
/// [`github`]: Self::github
/// [`stripe`]: Self::stripe
///
/// The last column is what identifies an event, so that it is handled once. All signatures are
/// HMAC-SHA-256, except for `v1a`, which is Ed25519. Clones are cheap.
#[derive(Clone)]
pub struct WebhookFormat(pub(super) Arc<Definition>);

/// The data of a format.
#[derive(Debug)]
pub(crate) struct Definition {
    /// The default subject of the principal.
    pub(crate) name: &'static str,
    pub(crate) signature_header: HeaderName,
    pub(crate) id_header: Option<HeaderName>,
    pub(crate) timestamp_header: Option<HeaderName>,
    pub(crate) content: Content,
    pub(crate) syntax: Syntax,
    pub(crate) secret_form: SecretForm,
    /// Where the body has the id of the event.
    pub(crate) id_in_body: Option<Pointer>,
}

impl WebhookFormat {
    /// Creates the format of [Standard Webhooks](https://www.standardwebhooks.com).
    ///
    /// A secret is `whsec_` and from 24 to 64 bytes in base64, and a public key is `whpk_` and 32
    /// bytes in base64. An id must not contain a full stop.
    #[must_use]
    pub fn standard() -> Self {
        let [id, timestamp, signature] =
            ["webhook-id", "webhook-timestamp", "webhook-signature"].map(HeaderName::from_static);
        Self::standard_with("standard", id, timestamp, signature)
    }

    /// Creates the format of Svix: Standard Webhooks, with headers that start with `svix-`.
    #[must_use]
    pub fn svix() -> Self {
        let [id, timestamp, signature] =
            ["svix-id", "svix-timestamp", "svix-signature"].map(HeaderName::from_static);
        Self::standard_with("svix", id, timestamp, signature)
    }

    fn standard_with(
        name: &'static str,
        id_header: HeaderName,
        timestamp_header: HeaderName,
        signature_header: HeaderName,
    ) -> Self {
        Self::new(Definition {
            name,
            signature_header,
            id_header: Some(id_header),
            timestamp_header: Some(timestamp_header),
            content: Content::standard(),
            syntax: Syntax::Standard,
            secret_form: SecretForm::Standard,
            id_in_body: None,
        })
    }

    /// Creates the format of GitHub, with SHA-256. A secret is text of at least 16 bytes.
    ///
    /// GitHub signs neither a timestamp nor its headers. See [Security](super#security).
    #[must_use]
    pub fn github() -> Self {
        Self::new(Definition {
            name: "github",
            signature_header: HeaderName::from_static("x-hub-signature-256"),
            id_header: None,
            timestamp_header: None,
            content: Content::body(),
            syntax: Syntax::Single { prefix: "sha256=".into(), encoding: SignatureEncoding::Hex },
            secret_form: SecretForm::Text,
            id_in_body: None,
        })
    }

    /// Creates the format of Stripe, version `v1`. A secret is the whole text, with `whsec_`.
    #[must_use]
    pub fn stripe() -> Self {
        Self::new(Definition {
            name: "stripe",
            signature_header: HeaderName::from_static("stripe-signature"),
            id_header: None,
            timestamp_header: None,
            content: Content::stripe(),
            syntax: Syntax::Stripe,
            secret_form: SecretForm::Text,
            id_in_body: Some(Pointer::member("id")),
        })
    }

    /// Creates a builder for the format of another sender. It needs a signature header.
    pub fn builder() -> WebhookFormatBuilder {
        WebhookFormatBuilder::new()
    }

    pub(super) fn new(definition: Definition) -> Self {
        Self(Arc::new(definition))
    }

    pub(crate) fn definition(&self) -> &Definition {
        &self.0
    }
}

impl Definition {
    /// Returns whether a webhook has a timestamp, which is signed.
    pub(crate) fn has_timestamp(&self) -> bool {
        self.content.has_timestamp()
    }

    /// Returns whether this text can be the id of a webhook.
    pub(crate) fn allows_id(&self, id: &str) -> bool {
        let is_allowed = |byte: u8| byte.is_ascii_graphic() && self.content.allows_in_id(byte);
        (1..=MAX_ID).contains(&id.len()) && id.bytes().all(is_allowed)
    }

    /// Returns the value of the signature header for these secrets. If the format has one signature
    /// only, it is that of the first secret.
    #[cfg(any(test, feature = "client"))]
    pub(crate) fn sign(
        &self,
        id: &str,
        timestamp: &str,
        body: &[u8],
        secrets: &[super::secret::Secret],
    ) -> String {
        let before_body = self.content.before_body(id, timestamp);
        let macs: Vec<_> = secrets.iter().map(|secret| secret.mac(&before_body, body)).collect();
        self.syntax.write(timestamp, &macs)
    }
}

/// The longest id of a webhook, in bytes.
const MAX_ID: usize = 256;

impl fmt::Debug for WebhookFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookFormat")
            .field("name", &self.0.name)
            .field("signature_header", &self.0.signature_header)
            .field("id_header", &self.0.id_header)
            .field("timestamp_header", &self.0.timestamp_header)
            .field("syntax", &self.0.syntax)
            .finish_non_exhaustive()
    }
}
