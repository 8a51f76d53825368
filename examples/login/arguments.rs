//! The arguments of the command line.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use crate::BoxError;

pub const HELP: &str = "\
A service with login, refresh and logout, and a page that uses them.

Usage: login [OPTIONS]
       login register NAME [--accounts FILE]
       login remove NAME [--accounts FILE]

The second form adds an account. It asks for the password, or reads one line of standard input.
The third form removes an account: its API keys are rejected, and it gets no new tokens.

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
    Remove { name: String, accounts: PathBuf },
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
        let Some(command) = words.next() else { return Ok(Self::Serve(settings)) };
        let accounts = settings.accounts;
        let with_name: fn(String, PathBuf) -> Self = match &*command {
            "register" => |name, accounts| Self::Register { name, accounts },
            "remove" => |name, accounts| Self::Remove { name, accounts },
            word => return Err(format!("unknown command {word}: see --help").into()),
        };
        let (Some(name), None) = (words.next(), words.next()) else {
            return Err(format!("{command} needs one name: login {command} NAME").into());
        };
        match serve_option {
            None => Ok(with_name(name, accounts)),
            Some(option) => Err(format!("{command} does not use {option}").into()),
        }
    }
}
