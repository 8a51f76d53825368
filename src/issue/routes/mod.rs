//! The HTTP endpoints of a token issuer.

mod attempt;
mod builder;
mod clients;
mod exchange;
mod failure;
mod introspect;
mod login;
mod logout;
mod parameters;
mod refresh;
mod reply;
mod revoke;
mod second_factor;
mod token;
mod token_route;
mod token_routes;

pub use self::{
    attempt::LoginAttempt,
    builder::TokenRoutesBuilder,
    second_factor::{AuthenticationInfo, SecondFactor},
    token_route::TokenRoute,
    token_routes::TokenRoutes,
};
