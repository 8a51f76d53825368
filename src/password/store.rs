use std::{
    collections::HashMap,
    error::Error,
    fmt,
    future::{Future, ready},
    hash::{DefaultHasher, Hash, Hasher as _},
    sync::Arc,
};

use super::hash::PasswordHash;
use crate::{
    basic::users::check_basic_principal, config_error::ConfigError, header::Scheme,
    principal::Principal,
};

/// Where users and the hashes of their passwords are: a [`HashVerifier`](super::HashVerifier) asks it.
///
/// [`HashedUsers`] is one in memory, [`Htpasswd`](super::Htpasswd) one in a file. One of your own is a short `impl`:
///
/// ```
/// use std::error::Error;
/// use tower_auth::password::{PasswordHash, StoredUser, UserStore};
///
/// struct Accounts { /* a connection pool, say */ }
///
/// impl UserStore for Accounts {
///     async fn find(
///         &self,
///         user_id: &str,
///     ) -> Result<Option<StoredUser>, Box<dyn Error + Send + Sync>> {
///         let Some(row) = self.select(user_id).await? else { return Ok(None) };
///         Ok(Some(match PasswordHash::parse(&row) {
///             Ok(hash) => StoredUser::new(user_id, hash),
///             Err(_) => StoredUser::locked(user_id), // and tell the operator
///         }))
///     }
/// }
/// # impl Accounts {
/// #     async fn select(&self, _: &str) -> Result<Option<String>, std::io::Error> { Ok(None) }
/// # }
/// ```
pub trait UserStore: Send + Sync + 'static {
    /// The user of this name, if there is one. An error is an outage, which callers see as a 503.
    fn find(
        &self,
        user_id: &str,
    ) -> impl Future<Output = Result<Option<StoredUser>, Box<dyn Error + Send + Sync>>> + Send;

    /// The same, where it takes no waiting; asked first. The outer `None`, which is the default, leaves the answer
    /// to [`find`](Self::find).
    fn find_now(&self, user_id: &str) -> Option<Option<StoredUser>> {
        let _ = user_id;
        None
    }

    /// What the password of a user who is not there is checked against, so that it costs what it would if the user were.
    /// Without one, which is the default, an argon2id hash as new ones are made.
    ///
    /// # Security
    ///
    /// Where users' hashes are of another kind or cost than that, name one of theirs here, or the time tells who is a
    /// user. Where they are of several, give each name always the same one, and each kind its share of names. It may be asked
    /// twice for one request: it must not wait.
    fn decoy(&self, user_id: &str) -> Option<PasswordHash> {
        let _ = user_id;
        None
    }
}

/// A user as a [`UserStore`] finds one.
#[derive(Clone, Debug)]
pub struct StoredUser {
    pub(crate) principal: Principal,
    pub(crate) hash: Option<PasswordHash>,
}

impl StoredUser {
    /// A user who is no more than a name.
    #[must_use]
    pub fn new(user_id: &str, hash: PasswordHash) -> Self {
        Self::with(Principal::builder(user_id, Scheme::BASIC).build(), hash)
    }

    /// A user who is more, such as one with scopes.
    #[must_use]
    pub fn with(principal: Principal, hash: PasswordHash) -> Self {
        Self { principal, hash: Some(hash) }
    }

    /// A user whom no password lets in, such as one whose stored hash is none. It is answered as one who is not there,
    /// at the same cost; an error would tell that there is one.
    #[must_use]
    pub fn locked(user_id: &str) -> Self {
        Self { principal: Principal::builder(user_id, Scheme::BASIC).build(), hash: None }
    }
}

/// Users in memory, with the hashes of their passwords.
///
/// ```
/// use tower_auth::{BasicAuth, password::{HashVerifier, HashedUsers}};
///
/// # let hash = "$2y$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe";
/// let users = HashedUsers::new([("alice", hash)])?;
/// let staff = BasicAuth::new("staff", HashVerifier::new(users))?;
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
#[derive(Clone, Default)]
pub struct HashedUsers(UserSet);

impl HashedUsers {
    /// Users by user-id and [hash](PasswordHash::parse).
    ///
    /// # Errors
    ///
    /// If a user-id holds a colon or a control character, is there twice, or if a hash is none.
    pub fn new<I, N, H>(users: I) -> Result<Self, ConfigError>
    where
        I: IntoIterator<Item = (N, H)>,
        N: AsRef<str>,
        H: AsRef<str>,
    {
        users.into_iter().try_fold(Self::default(), |users, (user_id, hash)| {
            let user_id = user_id.as_ref();
            let hash = PasswordHash::parse(hash.as_ref())
                .map_err(|error| ConfigError::new(format!("user {user_id:?}: {error}")))?;
            users.with(StoredUser::new(user_id, hash))
        })
    }

    /// Adds a user, who may be more than a name, and whose hash may be of a weaker kind.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), and if the principal's scheme is not Basic.
    pub fn with(mut self, user: StoredUser) -> Result<Self, ConfigError> {
        self.0.add(user)?;
        Ok(self)
    }
}

impl UserStore for HashedUsers {
    fn find(
        &self,
        user_id: &str,
    ) -> impl Future<Output = Result<Option<StoredUser>, Box<dyn Error + Send + Sync>>> + Send {
        ready(Ok(self.0.find(user_id)))
    }

    fn find_now(&self, user_id: &str) -> Option<Option<StoredUser>> {
        Some(self.0.find(user_id))
    }

    fn decoy(&self, user_id: &str) -> Option<PasswordHash> {
        self.0.decoy(user_id)
    }
}

impl fmt::Debug for HashedUsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Users by name, and their hashes in an order, so that one can be picked.
#[derive(Clone, Default)]
pub(crate) struct UserSet {
    by_id: HashMap<Arc<str>, StoredUser>,
    hashes: Vec<PasswordHash>,
    /// Decides on decoys. Of the first hash with a salt, so that it is the same on all machines and after a restart, and
    /// nobody's to know.
    seed: Option<u64>,
}

impl UserSet {
    pub(crate) fn add(&mut self, user: StoredUser) -> Result<(), ConfigError> {
        let user_id: Arc<str> = user.principal.subject().into();
        check_basic_principal(&user.principal)?;
        if self.by_id.contains_key(&user_id) {
            return Err(ConfigError::new(format!("user {user_id:?} is there twice: name it once")));
        }
        let salted = user.hash.as_ref().filter(|hash| hash.is_salted());
        self.seed = self.seed.or(salted.map(|hash| digest(hash.as_str())));
        self.hashes.extend(user.hash.clone());
        self.by_id.insert(user_id, user);
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn find(&self, user_id: &str) -> Option<StoredUser> {
        self.by_id.get(user_id).cloned()
    }

    /// The hash of some user, always the same for a name, or nearly so when users are added. So names that are nobody's
    /// are of each kind and cost as often as users are, and nobody can tell by time which they are.
    pub(crate) fn decoy(&self, user_id: &str) -> Option<PasswordHash> {
        let at = jump(digest((self.seed, user_id)), self.hashes.len());
        self.hashes.get(at).cloned()
    }
}

/// The same in each process, unlike that of `RandomState`.
fn digest(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// One of so many, by Lamping and Veach's jump consistent hash: each as often, and with one more, only those change that
/// become it.
fn jump(mut key: u64, count: usize) -> usize {
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    let (mut at, mut next) = (0, 0);
    while next < count {
        at = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        // (at + 1) * 2³¹ / ((key >> 33) + 1), which is past `at`.
        let far = u128::from(at + 1) << 31;
        next = u64::try_from(far / u128::from((key >> 33) + 1)).unwrap_or(u64::MAX);
    }
    usize::try_from(at).unwrap_or_default()
}

impl fmt::Debug for UserSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_id.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many users, each with a hash of its own.
    fn users(count: usize) -> HashedUsers {
        let hash =
            |at: usize| format!("$2y$05$bvIG6Nmid91Mu9{at:04}WZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe");
        HashedUsers::new((0..count).map(|at| (format!("user {at}"), hash(at)))).unwrap()
    }

    fn decoys(users: &HashedUsers) -> Vec<String> {
        let decoy = |at| users.decoy(&format!("nobody {at}")).unwrap().as_str().to_owned();
        (0..1000).map(decoy).collect()
    }

    /// Or who is asked before and after a restart, or on two machines, is known to be nobody where kinds differ.
    #[test]
    fn a_name_has_the_same_decoy_on_every_machine() {
        assert_eq!(decoys(&users(10)), decoys(&users(10)));
    }

    #[test]
    fn one_more_user_changes_few_decoys() {
        let (before, after) = (decoys(&users(10)), decoys(&users(11)));
        let changed = before.iter().zip(&after).filter(|(before, after)| before != after).count();
        assert!((1..200).contains(&changed), "{changed} of 1000");
    }

    #[test]
    fn each_user_has_its_share_of_decoys() {
        let decoys = decoys(&users(10));
        let mut shares = HashMap::new();
        decoys.iter().for_each(|decoy| *shares.entry(decoy).or_insert(0) += 1);
        assert_eq!(shares.len(), 10);
        assert!(shares.values().all(|share| (50..150).contains(share)), "{shares:?}");
        assert!(HashedUsers::default().decoy("nobody").is_none());
    }
}
