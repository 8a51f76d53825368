//! Sessions with cookies.
//!
//! A session keeps a user logged in. The browser has only a random id, in a cookie; who the user is
//! and what the user may do is in a [store](crate::store).

mod ambient;
mod authenticate;
pub(crate) mod builder;
mod end;
pub(crate) mod error;
mod find;
mod index;
pub(crate) mod info;
mod known;
mod list;
pub(crate) mod login_redirect;
pub(crate) mod owner;
pub(crate) mod record;
mod refresh;
pub(crate) mod return_to;
mod session_id;
pub(crate) mod sessions;
mod slide;
pub(crate) mod start;

pub use self::{
    builder::SessionsBuilder, error::SessionError, info::SessionInfo,
    login_redirect::LoginRedirect, owner::SessionOwner, return_to::ReturnTo, sessions::Sessions,
};
