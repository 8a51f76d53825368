//! The `curl` commands, and the status that each returns if they run in this order.

use std::error::Error;

use crate::issuer::Issuer;

pub fn lines(issuer: &Issuer, url: &str, other_url: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let token = |user, sid| issuer.access_token(user, sid, "orders:read");
    let phone = token("alice", "alice-phone")?;
    let laptop = token("alice", "alice-laptop")?;
    let tablet = token("alice", "alice-tablet")?;
    let bob = token("bob", "bob-phone")?;
    let [carol, carol_laptop] = [token("carol", "carol-phone")?, token("carol", "carol-laptop")?];
    let admin = issuer.access_token("dave", "dave-laptop", "users:logout")?;
    let logout_token = issuer.logout_token("carol", "carol-phone")?;

    let get = |token: &str, url: &str, status: u16| {
        format!("curl -i -H 'Authorization: Bearer {token}' {url}/orders # {status}")
    };
    let post = |token: &str, url: &str, path: &str, status: u16| {
        format!("curl -i -X POST -H 'Authorization: Bearer {token}' {url}{path} # {status}")
    };
    let backchannel = |url: &str, status: u16| {
        format!("curl -i -d logout_token={logout_token} {url}/backchannel-logout # {status}")
    };
    Ok(vec![
        // A token is valid on both servers, until it is revoked on one of them.
        get(&phone, url, 200),
        get(&phone, other_url, 200),
        post(&phone, url, "/logout", 204),
        get(&phone, url, 401),
        get(&phone, other_url, 401),
        // Other sessions of the user are not affected, until the user logs out everywhere.
        get(&laptop, other_url, 200),
        post(&laptop, other_url, "/logout-everywhere", 204),
        get(&laptop, url, 401),
        get(&tablet, url, 401),
        get(&bob, url, 200),
        // An administrator logs out a user.
        post(&carol, url, "/users/bob/logout", 403),
        post(&admin, url, "/users/bob/logout", 204),
        get(&bob, other_url, 401),
        // The provider ends a session. Its logout token is accepted once.
        get(&carol, other_url, 200),
        backchannel(url, 200),
        get(&carol, other_url, 401),
        get(&carol_laptop, other_url, 200),
        backchannel(other_url, 400),
        // Tokens that were not revoked are valid on both servers.
        get(&admin, url, 200),
        get(&admin, other_url, 200),
    ])
}
