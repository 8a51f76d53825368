//! The settings of a token verifier, each with its TOML key and the rule for its value.

use std::time::Duration;

use tower_auth::{
    JwtAuth,
    jwt::{JwtAuthBuilder, Keys},
};

use super::Bearer;
use crate::{fault::Fault, one_or_many::OneOrMany};

impl Bearer {
    /// Checks what the builder of the library does not know.
    pub(super) fn check(&self) -> Result<(), Fault> {
        if !self.issuers.is_empty() {
            return Err(Fault::new("issuers", "must not be nested"));
        }
        for (key, list) in [
            ("issuer", &self.issuer),
            ("audience", &self.audience),
            ("audience_from", &self.audience_from),
            ("typ", &self.typ),
            ("typ_if_present", &self.typ_if_present),
            ("subject_from", &self.subject_from),
            ("scopes_from", &self.scopes_from),
            ("scopes_from_all", &self.scopes_from_all),
            ("required_claims", &self.required_claims),
        ] {
            if !list.as_ref().is_none_or(OneOrMany::is_proper) {
                let rule = "must not be empty, and each item must occur once and not be empty";
                return Err(Fault::new(key, rule));
            }
        }
        let set_twice = |key: &str, other: &str| {
            Err(Fault::new(key, format!("must not be set together with `{other}`")))
        };
        if self.issuer.is_none() {
            return Err(Fault::new("issuer", "set it to the `iss` of the tokens"));
        }
        match (&self.audience, self.dangerous_any_audience) {
            (None, Some(false) | None) => {
                return Err(Fault::new(
                    "audience",
                    "set it to the `aud` of tokens for this service",
                ));
            }
            (Some(_), Some(true)) => return set_twice("dangerous_any_audience", "audience"),
            _ => {}
        }
        if self.typ.is_some() && self.typ_if_present.is_some() {
            return set_twice("typ_if_present", "typ");
        }
        if self.scopes_from.is_some() && self.scopes_from_all.is_some() {
            return set_twice("scopes_from_all", "scopes_from");
        }
        if self.max_token_bytes.is_some_and(|bytes| !(1..=65_536).contains(&bytes)) {
            return Err(Fault::new("max_token_bytes", "must be from 1 to 65536"));
        }
        if self.algorithms.as_ref().is_some_and(Vec::is_empty) {
            return Err(Fault::new("algorithms", "must name at least one algorithm"));
        }
        Ok(())
    }

    pub(super) fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        settings.add("issuer", &self.issuer, "must be the `iss` of the tokens", |to, issuers| {
            to.issuer(issuers.as_slice())
        });
        settings.add("audience", &self.audience, "must be the `aud` of tokens", |to, names| {
            to.audience(names.as_slice())
        });
        let rule = "must not be set together with `audience`";
        settings.add_switch("dangerous_any_audience", self.dangerous_any_audience, rule, |to| {
            to.dangerous_any_audience()
        });
        let rule = "must name claims that contain an audience, and requires `audience`";
        settings.add("audience_from", &self.audience_from, rule, |to, paths| {
            to.audience_from(paths.as_slice())
        });
        settings.add(
            "leeway_seconds",
            &self.leeway_seconds,
            "must be at most 300 s",
            |to, time| to.leeway(Duration::from_secs(time)),
        );
        settings.add("typ", &self.typ, "must be a type such as \"at+jwt\"", |to, types| {
            to.token_type(types.as_slice())
        });
        let rule = "must be a type such as \"at+jwt\"";
        settings.add("typ_if_present", &self.typ_if_present, rule, |to, types| {
            to.token_type_if_present(types.as_slice())
        });
        settings.add("max_token_bytes", &self.max_token_bytes, "is too large", |to, bytes| {
            to.max_token_bytes(bytes)
        });
        let rule = "must name claims that identify the caller, such as `client_id`";
        settings.add("subject_from", &self.subject_from, rule, |to, paths| {
            to.subject_from(paths.as_slice())
        });
        settings.add_switch(
            "dangerous_accept_numeric_subject",
            self.dangerous_accept_numeric_subject,
            "is not supported",
            |to| to.dangerous_accept_numeric_subject(),
        );
        let rule = "must name claims other than the subject and the registered ones of RFC 7519";
        settings.add("scopes_from", &self.scopes_from, rule, |to, paths| {
            to.scopes_from(paths.as_slice())
        });
        settings.add("scopes_from_all", &self.scopes_from_all, rule, |to, paths| {
            to.scopes_from_all(paths.as_slice())
        });
        settings.add("required_claims", &self.required_claims, "must name claims", |to, names| {
            to.require_claim(names.as_slice())
        });
        let rule = "must name claims, and at least one value for each";
        settings.add("required_values", &self.required_values, rule, |to, claims| {
            claims
                .iter()
                .fold(to, |to, (path, values)| to.require_claim_value(path, values.as_slice()))
        });
        let switch = self.dangerous_accept_future_issued_at;
        settings.add_switch(
            "dangerous_accept_future_issued_at",
            switch,
            "is not supported",
            |to| to.dangerous_accept_future_issued_at(),
        );
        let rule = "must be an absolute http or https URL";
        settings.add("resource_metadata", &self.resource_metadata, rule, |to, url| {
            to.resource_metadata(url)
        });
        settings
    }
}

/// Settings in the order in which they are applied. The first two are the issuer and the audience.
#[derive(Default)]
pub(super) struct Settings(Vec<Setting>);

struct Setting {
    key: &'static str,
    rule: &'static str,
    apply: Box<dyn Fn(JwtAuthBuilder) -> JwtAuthBuilder>,
}

impl Settings {
    /// Adds a setting if it has a value.
    ///
    /// The `rule` is the message if the value is wrong. The messages of the builder name its
    /// methods, and may contain the value.
    pub(super) fn add<T: Clone + 'static>(
        &mut self,
        key: &'static str,
        value: &Option<T>,
        rule: &'static str,
        apply: fn(JwtAuthBuilder, T) -> JwtAuthBuilder,
    ) {
        if let Some(value) = value.clone() {
            let apply = Box::new(move |builder| apply(builder, value.clone()));
            self.0.push(Setting { key, rule, apply });
        }
    }

    /// Adds a setting without a value if it is switched on.
    pub(super) fn add_switch(
        &mut self,
        key: &'static str,
        switch: Option<bool>,
        rule: &'static str,
        apply: fn(JwtAuthBuilder) -> JwtAuthBuilder,
    ) {
        if switch == Some(true) {
            self.0.push(Setting { key, rule, apply: Box::new(apply) });
        }
    }

    /// Checks the settings and applies them to a builder.
    ///
    /// Each setting is checked together with those before it, so that an error names the key.
    pub(super) fn apply(&self, builder: JwtAuthBuilder) -> Result<JwtAuthBuilder, Fault> {
        let all = |settings: &[Setting], builder| {
            settings.iter().fold(builder, |builder, setting| (setting.apply)(builder))
        };
        for count in 2..=self.0.len() {
            let (checked, any_keys) = (&self.0[..count], Keys::hs256(&[0; 32]));
            if all(checked, JwtAuth::builder(any_keys)).build().is_err() {
                let Setting { key, rule, .. } = checked[count - 1];
                return Err(Fault::new(key, rule));
            }
        }
        Ok(all(&self.0, builder))
    }
}
