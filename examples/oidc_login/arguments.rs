//! The arguments of the command line.

use std::{fs, net::SocketAddr, path::PathBuf};

use crate::BoxError;

pub const HELP: &str = "\
A web application with login at an OpenID provider.

Usage: oidc_login --issuer URL --client ID [OPTIONS]

Options:
  --issuer URL           the issuer of the provider
  --client ID            the client id of this application at the provider
  --secret SECRET        the client secret; a public client has none
  --secret-in-body       sends the secret in the body of requests (client_secret_post)
  --key FILE             a private key in PEM, instead of a secret (private_key_jwt)
  --form-post            the provider responds with a form (response_mode=form_post)
  --origin URL           the scheme, host and port of this application, as browsers see them
                         [default: http://localhost:PORT]
  --store URL            a Redis or Valkey server; the default is the memory of the process
  --store-secret FILE    the secret that seals the store; it is created if there is none
                         [default: store-secret]
  --listen ADDRESS       where to listen; port 0 is any free one [default: 127.0.0.1:3000]
  --help                 print this text";

pub struct Arguments {
    pub issuer: String,
    pub client: String,
    pub secret: Option<String>,
    pub secret_in_body: bool,
    /// A private key in PEM.
    pub key: Option<String>,
    pub form_post: bool,
    pub origin: Option<String>,
    pub store: Option<String>,
    pub store_secret: PathBuf,
    pub listen: SocketAddr,
}

impl Arguments {
    /// Returns `None` if the user asks for help.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, BoxError> {
        let (mut issuer, mut client) = (None, None);
        let (mut secret, mut secret_in_body, mut key) = (None, false, None);
        let mut form_post = false;
        let mut origin = None;
        let (mut store, mut store_secret) = (None, "store-secret".into());
        let mut listen = SocketAddr::from(([127, 0, 0, 1], 3000));
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match &*argument {
                "--help" | "-h" => return Ok(None),
                "--issuer" => issuer = Some(value()?),
                "--client" => client = Some(value()?),
                "--secret" => secret = Some(value()?),
                "--secret-in-body" => secret_in_body = true,
                "--key" => {
                    let file = value()?;
                    let pem = fs::read_to_string(&file);
                    key = Some(pem.map_err(|error| format!("--key {file}: {error}"))?);
                }
                "--form-post" => form_post = true,
                "--origin" => origin = Some(value()?.trim_end_matches('/').to_owned()),
                "--store" => store = Some(value()?),
                "--store-secret" => store_secret = value()?.into(),
                "--listen" => listen = value()?.parse()?,
                _ => return Err(format!("unknown argument {argument}: see --help").into()),
            }
        }
        Ok(Some(Self {
            issuer: issuer.ok_or("--issuer is missing: see --help")?,
            client: client.ok_or("--client is missing: see --help")?,
            secret,
            secret_in_body,
            key,
            form_post,
            origin,
            store,
            store_secret,
            listen,
        }))
    }
}
