//! Login, refresh, logout and API keys. `README.md` describes the program.

mod accounts;
mod api_keys;
mod app;
mod arguments;
mod database;
mod key_routes;
mod lines;
mod page;
mod store;

use std::{
    env,
    error::Error,
    ffi::OsString,
    io::{self, IsTerminal as _},
    net::SocketAddr,
    process::ExitCode,
};

use tokio::net::TcpListener;
use tracing::Level;
use tracing_subscriber::{filter::Targets, prelude::*};

use self::{
    accounts::Accounts,
    app::app,
    arguments::{Command, HELP, Settings},
    database::Database,
    lines::lines,
};

type BoxError = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), BoxError> {
    let arguments =
        env::args_os().skip(1).map(OsString::into_string).collect::<Result<Vec<_>, _>>();
    let arguments = arguments.map_err(|argument| format!("{argument:?} is not UTF-8"))?;
    match Command::parse(arguments.into_iter())? {
        Command::Help => println!("{HELP}"),
        Command::Serve(settings) => serve(settings).await?,
        Command::Register { name, accounts } => {
            Accounts::new(Database::open(&accounts)?).register(&name, &read_password()?)?;
            println!("registered {name}");
        }
        Command::Remove { name, accounts } => {
            Accounts::new(Database::open(&accounts)?).remove(&name)?;
            println!("removed {name}");
        }
    }
    Ok(())
}

async fn serve(settings: Settings) -> Result<(), BoxError> {
    // Logs logins and logouts, and the reasons of rejections, which callers do not see.
    let events =
        Targets::new().with_target("tower_auth", Level::DEBUG).with_target("login", Level::ERROR);
    let log = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(io::stderr);
    tracing_subscriber::registry().with(log.with_filter(events)).init();

    // First, so that a second process on the same address changes nothing in the store.
    let listener = TcpListener::bind(settings.listen).await;
    let listener = listener.map_err(|error| format!("--listen {}: {error}", settings.listen))?;
    let database = Database::open(&settings.accounts)?;
    let store = store::open(&settings.store, &settings.accounts)?;
    let service = app(database, store, settings.access_lifetime)?;
    let url = format!("http://{}", listener.local_addr()?);
    println!("listening on {url}");
    for line in lines(&url) {
        println!("{line}");
    }
    Ok(axum::serve(listener, service.into_make_service_with_connect_info::<SocketAddr>()).await?)
}

/// Reads the password of a new account, without showing it on a terminal.
fn read_password() -> io::Result<String> {
    if io::stdin().is_terminal() {
        return rpassword::prompt_password("Password: ");
    }
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
