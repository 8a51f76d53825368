//! The HTTP endpoints of a login at a provider.

mod callback;
mod error_page;
mod finish;
mod log_in;
mod log_out;
mod login_route;
mod parameters;
mod reply;

pub use self::login_route::LoginRoute;

#[cfg(test)]
mod tests;
