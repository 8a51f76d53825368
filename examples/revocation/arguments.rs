//! The arguments of the command line.

use std::{env, error::Error, path::PathBuf};

pub struct Arguments {
    /// `memory`, or the URL of a Redis or Valkey server.
    pub store: String,
    pub secret_file: Option<PathBuf>,
    /// Where the two servers listen.
    pub addresses: [String; 2],
}

impl Arguments {
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut store = "memory".to_owned();
        let mut secret_file = env::var_os("STORE_SECRET_FILE").map(PathBuf::from);
        let mut addresses = Vec::new();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match &*argument {
                "--store" => store = value()?,
                "--secret-file" => secret_file = Some(value()?.into()),
                option if option.starts_with('-') => {
                    return Err(format!("unknown option {option}").into());
                }
                _ => addresses.push(argument),
            }
        }
        if addresses.len() > 2 {
            return Err("more than two addresses".into());
        }
        let default = ["127.0.0.1:3000", "127.0.0.1:3001"].map(str::to_owned);
        let missing = default.into_iter().skip(addresses.len());
        let mut all = addresses.into_iter().chain(missing);
        let addresses = [all.next().unwrap_or_default(), all.next().unwrap_or_default()];
        Ok(Self { store, secret_file, addresses })
    }
}
