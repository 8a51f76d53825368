//! The arguments of the command line.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use crate::BoxError;

pub const HELP: &str = "\
A service with login, refresh and logout, and a page that uses them.

Usage: login [OPTIONS]
       login register NAME [--accounts FILE]

The second form adds an account. It asks for the password, or reads one line of standard input.

Options:
  --listen ADDRESS           where to listen; port 0 is any free one [default: 127.0.0.1:3000]
  --store STORE              memory, or the URL of a Redis or Valkey server [default: memory]
  --accounts FILE            the database of accounts; the secret of the store is in FILE.key
                             [default: accounts.db]
  --access-lifetime SECONDS  how long an access token is valid [default: 600]
  --help                     print this text";

/// What the program does.
pub enum Command {
    Help,
    Serve(Settings),
    Register { name: String, accounts: PathBuf },
}

/// How the service runs.
pub struct Settings {
    pub listen: SocketAddr,
    /// `memory`, or the URL of a Redis or Valkey server.
    pub store: String,
    pub accounts: PathBuf,
    pub access_lifetime: Duration,
}

impl Command {
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, BoxError> {
        let mut settings = Settings {
            listen: SocketAddr::from(([127, 0, 0, 1], 3000)),
            store: "memory".to_owned(),
            accounts: "accounts.db".into(),
            access_lifetime: Duration::from_secs(600),
        };
        let mut words = Vec::new();
        let mut serve_option = None;
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match &*argument {
                "--help" | "-h" => return Ok(Self::Help),
                "--accounts" => settings.accounts = value()?.into(),
                "--listen" => {
                    settings.listen = value()?
                        .parse()
                        .map_err(|_| "--listen needs an address and a port: 127.0.0.1:3000")?;
                }
                "--store" => settings.store = value()?,
                "--access-lifetime" => {
                    let seconds = value()?.parse();
                    let seconds = seconds.map_err(|_| "--access-lifetime needs whole seconds")?;
                    settings.access_lifetime = Duration::from_secs(seconds);
                }
                option if option.starts_with('-') => {
                    return Err(format!("unknown option {option}: see --help").into());
                }
                _ => words.push(argument.clone()),
            }
            if argument.starts_with('-') && argument != "--accounts" {
                serve_option = Some(argument);
            }
        }
        let mut words = words.into_iter();
        match (words.next().as_deref(), words.next(), words.next()) {
            (None, ..) => Ok(Self::Serve(settings)),
            (Some("register"), Some(name), None) => match serve_option {
                None => Ok(Self::Register { name, accounts: settings.accounts }),
                Some(option) => Err(format!("register does not use {option}").into()),
            },
            (Some("register"), ..) => Err("register needs one name: login register NAME".into()),
            (Some(word), ..) => Err(format!("unknown command {word}: see --help").into()),
        }
    }
}
