use std::{
    collections::HashMap,
    error::Error,
    fmt,
    future::{Future, ready},
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use super::{PasswordHash, users::check_user};
use crate::{ConfigError, Principal, Scheme};

/// Where users and the hashes of their passwords are: a [`HashVerifier`](super::HashVerifier) asks it.
///
/// [`HashedUsers`] is one in memory, [`Htpasswd`](super::Htpasswd) one in a file. One of your own is a short `impl`:
///
/// ```
/// use std::error::Error;
/// use tower_auth::basic::{PasswordHash, StoredUser, UserStore};
///
/// struct Accounts { /* a connection pool, say */ }
///
/// impl UserStore for Accounts {
///     async fn find(
///         &self,
///         user_id: &str,
///     ) -> Result<Option<StoredUser>, Box<dyn Error + Send + Sync>> {
///         let Some(row) = self.select(user_id).await? else { return Ok(None) };
///         Ok(Some(StoredUser::new(user_id, PasswordHash::parse(&row)?)))
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
    /// user. Where they are of several, give each name always the same one, and each kind its share of names.
    fn decoy(&self, user_id: &str) -> Option<PasswordHash> {
        let _ = user_id;
        None
    }
}

/// A user as a [`UserStore`] finds one.
#[derive(Clone, Debug)]
pub struct StoredUser {
    pub(super) principal: Principal,
    pub(super) hash: PasswordHash,
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
        Self { principal, hash }
    }
}

/// Users in memory, with the hashes of their passwords.
///
/// ```
/// use tower_auth::{BasicAuth, basic::{HashVerifier, HashedUsers}};
///
/// # let hash = "$2y$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe";
/// let users = HashedUsers::new([("alice", hash)])?;
/// let staff = BasicAuth::new("staff", HashVerifier::new(users))?;
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
#[derive(Clone, Default)]
pub struct HashedUsers {
    set: UserSet,
    decoys: RandomState,
}

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
        self.set.add(user)?;
        Ok(self)
    }
}

impl UserStore for HashedUsers {
    fn find(
        &self,
        user_id: &str,
    ) -> impl Future<Output = Result<Option<StoredUser>, Box<dyn Error + Send + Sync>>> + Send {
        ready(Ok(self.set.find(user_id)))
    }

    fn find_now(&self, user_id: &str) -> Option<Option<StoredUser>> {
        Some(self.set.find(user_id))
    }

    fn decoy(&self, user_id: &str) -> Option<PasswordHash> {
        self.set.decoy(user_id, &self.decoys)
    }
}

impl fmt::Debug for HashedUsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.set.fmt(f)
    }
}

/// Users by name, and in an order, so that one can be picked.
#[derive(Clone, Default)]
pub(super) struct UserSet {
    by_id: HashMap<Arc<str>, usize>,
    users: Vec<StoredUser>,
}

impl UserSet {
    pub(super) fn add(&mut self, user: StoredUser) -> Result<(), ConfigError> {
        let user_id: Arc<str> = user.principal.subject().into();
        check_user(&user.principal)?;
        if self.by_id.insert(Arc::clone(&user_id), self.users.len()).is_some() {
            return Err(ConfigError::new(format!("user {user_id:?} is there twice: name it once")));
        }
        self.users.push(user);
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.users.len()
    }

    pub(super) fn find(&self, user_id: &str) -> Option<StoredUser> {
        self.users.get(*self.by_id.get(user_id)?).cloned()
    }

    /// The hash of some user, always the same for a name. So names that are nobody's are of each kind and cost as
    /// often as users are, and nobody can tell by time which they are.
    pub(super) fn decoy(&self, user_id: &str, choice: &RandomState) -> Option<PasswordHash> {
        let count = u64::try_from(self.users.len()).ok().filter(|count| *count > 0)?;
        let at = usize::try_from(choice.hash_one(user_id) % count).ok()?;
        self.users.get(at).map(|user| user.hash.clone())
    }
}

impl fmt::Debug for UserSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_id.keys()).finish()
    }
}
