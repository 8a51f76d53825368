use http::HeaderName;

use super::{
    content::Content,
    encoding::SignatureEncoding,
    format::{Definition, WebhookFormat},
    id_in_body::Pointer,
    secret::SecretForm,
    signature::Syntax,
};
use crate::config_error::ConfigError;

/// Builds a [`WebhookFormat`].
///
/// Created by [`WebhookFormat::builder`]. The header of the signature is required. The signature is
/// an HMAC-SHA-256, and the key is the bytes of the secret's text.
///
/// ```
/// use tower_auth::webhook::{SignatureEncoding, WebhookFormat};
///
/// // Shopify signs the body only.
/// let shopify = WebhookFormat::builder()
///     .signature_header("x-shopify-hmac-sha256")
///     .encoding(SignatureEncoding::Base64)
///     .build()?;
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct WebhookFormatBuilder {
    signature_header: Option<String>,
    id_header: Option<String>,
    timestamp_header: Option<String>,
    content: String,
    prefix: String,
    encoding: SignatureEncoding,
    id_in_body: Option<String>,
}

impl WebhookFormatBuilder {
    pub(super) fn new() -> Self {
        Self {
            signature_header: None,
            id_header: None,
            timestamp_header: None,
            content: "{body}".to_owned(),
            prefix: String::new(),
            encoding: SignatureEncoding::Hex,
            id_in_body: None,
        }
    }

    /// Sets the name of the header with the signature. It is required.
    pub fn signature_header(mut self, name: impl Into<String>) -> Self {
        self.signature_header = Some(name.into());
        self
    }

    /// Sets the name of the header with the id of the webhook. [`content`](Self::content) must
    /// contain `{id}`: an id that is not signed cannot identify an event.
    pub fn id_header(mut self, name: impl Into<String>) -> Self {
        self.id_header = Some(name.into());
        self
    }

    /// Sets the name of the header with the time at which the webhook was sent, in seconds since
    /// 1970. [`content`](Self::content) must contain `{timestamp}`.
    pub fn timestamp_header(mut self, name: impl Into<String>) -> Self {
        self.timestamp_header = Some(name.into());
        self
    }

    /// Sets what is signed: text with the placeholders `{id}`, `{timestamp}` and `{body}`. The
    /// default is `{body}`.
    ///
    /// It must end with `{body}`. Text must separate `{id}` and `{timestamp}` from what follows. An
    /// id that contains the first byte of this text is rejected, because it could be split in
    /// another way.
    pub fn content(mut self, template: impl Into<String>) -> Self {
        self.content = template.into();
        self
    }

    /// Sets the text before the signature in its header, such as `sha256=`. The default is none.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets how the signature is written. The default is [`SignatureEncoding::Hex`].
    pub fn encoding(mut self, encoding: SignatureEncoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// Sets where the JSON of the body has the id of the event, as a JSON pointer (RFC 6901) such
    /// as `/event/id`. All of its tokens are names of members.
    ///
    /// The sender must use the same id when it sends the event again. If a body has no such member,
    /// has it twice, or it is not a string of 1 to 256 bytes, SHA-256 of the body identifies the
    /// event.
    pub fn id_in_body(mut self, pointer: impl Into<String>) -> Self {
        self.id_in_body = Some(pointer.into());
        self
    }

    /// Checks the format.
    ///
    /// # Errors
    ///
    /// Returns an error
    ///
    /// - if there is no signature header, or a header is no valid name or is used twice;
    /// - if the content is ambiguous, or has an unknown placeholder;
    /// - if the content has a placeholder whose header is not set, or the other way round;
    /// - if there is both an id header and a JSON pointer, or the pointer is malformed;
    /// - if the prefix has bytes other than visible ASCII.
    pub fn build(self) -> Result<WebhookFormat, ConfigError> {
        let signature_header = self.signature_header.as_deref().ok_or_else(|| {
            ConfigError::missing("no signature header: call signature_header with its name")
        })?;
        let signature_header = header_name(signature_header)?;
        let id_header = self.id_header.as_deref().map(header_name).transpose()?;
        let timestamp_header = self.timestamp_header.as_deref().map(header_name).transpose()?;
        let content = Content::parse(&self.content)?;
        check_signed("id", id_header.is_some(), content.has_id())?;
        check_signed("timestamp", timestamp_header.is_some(), content.has_timestamp())?;
        let signature = Some(&signature_header);
        if id_header.as_ref() == signature
            || timestamp_header.as_ref() == signature
            || id_header.is_some() && id_header == timestamp_header
        {
            return Err(ConfigError::conflict("a header is used for two values: set another name"));
        }
        if id_header.is_some() && self.id_in_body.is_some() {
            return Err(ConfigError::conflict(
                "both id_header and id_in_body are set: remove the one that does not identify an \
                 event",
            ));
        }
        if !self.prefix.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ConfigError::invalid("prefix must consist of visible ASCII characters"));
        }
        Ok(WebhookFormat::new(Definition {
            name: "webhook",
            signature_header,
            id_header,
            timestamp_header,
            content,
            syntax: Syntax::Single { prefix: self.prefix.into(), encoding: self.encoding },
            secret_form: SecretForm::Text,
            id_in_body: self.id_in_body.as_deref().map(Pointer::parse).transpose()?,
        }))
    }
}

fn header_name(name: &str) -> Result<HeaderName, ConfigError> {
    name.parse().map_err(|error: http::header::InvalidHeaderName| {
        ConfigError::invalid(format!("{name:?} is not the name of a header")).with_source(error)
    })
}

/// Checks that a value is both sent and signed, or neither.
fn check_signed(value: &str, has_header: bool, is_signed: bool) -> Result<(), ConfigError> {
    match (has_header, is_signed) {
        (true, false) => Err(ConfigError::conflict(format!(
            "{value}_header is set, but the {value} is not signed: add {{{value}}} to content, or \
             remove the header, because anyone could change it"
        ))),
        (false, true) => Err(ConfigError::missing(format!(
            "content has {{{value}}}, but no header: call {value}_header with its name"
        ))),
        _ => Ok(()),
    }
}
