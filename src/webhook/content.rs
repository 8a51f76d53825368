//! What a webhook signs.

use crate::config_error::ConfigError;

/// The template of what is signed: text, the id and the timestamp, followed by the body.
#[derive(Debug)]
pub(crate) struct Content(Vec<Piece>);

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    Id,
    Timestamp,
}

impl Content {
    /// Parses a template such as `{id}.{timestamp}.{body}`.
    ///
    /// Only one request may have a given content. Otherwise, a part of one value could be moved to
    /// another, and the signature would still be valid. So each value ends at the first byte of the
    /// text that follows it, and the body is last.
    pub(crate) fn parse(template: &str) -> Result<Self, ConfigError> {
        let rest = template.strip_suffix("{body}").ok_or_else(|| {
            ConfigError::invalid(
                "content must end with {body}: text after the body, or a content without the body, \
                 is not supported",
            )
        })?;
        let mut content = Self(Vec::new());
        let mut rest = rest;
        while !rest.is_empty() {
            let (text, placeholder) = match rest.split_once('{') {
                Some((text, placeholder)) => (text, Some(placeholder)),
                None => (rest, None),
            };
            content.push_text(text)?;
            let Some(placeholder) = placeholder else { break };
            let (name, after) = placeholder.split_once('}').ok_or_else(unknown_placeholder)?;
            content.push_value(name)?;
            rest = after;
        }
        match content.0.last() {
            Some(Piece::Id | Piece::Timestamp) => Err(no_separator()),
            _ => Ok(content),
        }
    }

    /// `{body}`
    pub(crate) fn body() -> Self {
        Self(Vec::new())
    }

    /// `{timestamp}.{body}`
    pub(crate) fn stripe() -> Self {
        Self(vec![Piece::Timestamp, Piece::Text(".".into())])
    }

    /// `{id}.{timestamp}.{body}`
    pub(crate) fn standard() -> Self {
        let separator = || Piece::Text(".".into());
        Self(vec![Piece::Id, separator(), Piece::Timestamp, separator()])
    }

    fn push_text(&mut self, text: &str) -> Result<(), ConfigError> {
        if text.contains('}') {
            return Err(unknown_placeholder());
        }
        if text.is_empty() {
            return Ok(());
        }
        if self.0.last() == Some(&Piece::Timestamp)
            && text.starts_with(|c: char| c.is_ascii_digit())
        {
            return Err(ConfigError::invalid(
                "content has a digit after {timestamp}: start the text between them with another \
                 character",
            ));
        }
        self.0.push(Piece::Text(text.into()));
        Ok(())
    }

    fn push_value(&mut self, name: &str) -> Result<(), ConfigError> {
        let value = match name {
            "id" => Piece::Id,
            "timestamp" => Piece::Timestamp,
            "body" => {
                return Err(ConfigError::invalid("content must have {body} once, at its end"));
            }
            _ => return Err(unknown_placeholder()),
        };
        if matches!(self.0.last(), Some(Piece::Id | Piece::Timestamp)) {
            return Err(no_separator());
        }
        if self.0.contains(&value) {
            return Err(ConfigError::conflict(format!("content has {{{name}}} twice: remove one")));
        }
        self.0.push(value);
        Ok(())
    }

    pub(crate) fn has_id(&self) -> bool {
        self.0.contains(&Piece::Id)
    }

    pub(crate) fn has_timestamp(&self) -> bool {
        self.0.contains(&Piece::Timestamp)
    }

    /// Returns whether an id may contain this byte: one that ends it makes the content ambiguous.
    pub(crate) fn allows_in_id(&self, byte: u8) -> bool {
        let after = self.0.iter().skip_while(|piece| **piece != Piece::Id).nth(1);
        match after {
            Some(Piece::Text(text)) => text.as_bytes().first() != Some(&byte),
            _ => true,
        }
    }

    /// Returns what is signed before the body.
    pub(crate) fn before_body(&self, id: &str, timestamp: &str) -> Vec<u8> {
        let mut content = Vec::new();
        for piece in &self.0 {
            content.extend_from_slice(match piece {
                Piece::Text(text) => text.as_bytes(),
                Piece::Id => id.as_bytes(),
                Piece::Timestamp => timestamp.as_bytes(),
            });
        }
        content
    }
}

fn unknown_placeholder() -> ConfigError {
    ConfigError::invalid(
        "content has an unknown placeholder: use {id}, {timestamp} and {body}, and no other braces",
    )
}

fn no_separator() -> ConfigError {
    ConfigError::invalid(
        "content has no text after {id} or {timestamp}: put a separator between it and what \
         follows, because a part of one could otherwise be moved to the other",
    )
}
