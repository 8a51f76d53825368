use std::{
    collections::HashMap,
    error::Error,
    fmt,
    future::{Future, ready},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use super::{decoy::Decoys, hash::PasswordHash};
use crate::{
    basic::users::check_basic_principal, config_error::ConfigError, header::Scheme,
    later::BoxFuture, principal::Principal,
};

/// Finds users and the hashes of their passwords, for a [`HashVerifier`](super::HashVerifier).
///
/// [`HashedUsers`] keeps users in memory, and [`Htpasswd`](super::Htpasswd) reads them from a file.
/// A custom store implements [`find`](Self::find):
///
/// ```
/// use std::error::Error;
/// use tower_auth::password::{PasswordHash, StoredUser, UserStore};
///
/// struct Accounts { /* for example, a connection pool */ }
///
/// impl UserStore for Accounts {
///     async fn find(
///         &self,
///         user_id: &str,
///     ) -> Result<Option<StoredUser>, Box<dyn Error + Send + Sync>> {
///         let Some(row) = self.select(user_id).await? else { return Ok(None) };
///         Ok(Some(match PasswordHash::parse(&row) {
///             Ok(hash) => StoredUser::new(user_id, hash),
///             Err(_) => StoredUser::locked(user_id), // log it for the operator
///         }))
///     }
/// }
/// # impl Accounts {
/// #     async fn select(&self, _: &str) -> Result<Option<String>, std::io::Error> { Ok(None) }
/// # }
/// ```
pub trait UserStore: Send + Sync + 'static {
    /// Returns the user with this user id, or `None` if there is none.
    ///
    /// # Errors
    ///
    /// If the store is not available. The caller gets 503.
    fn find(
        &self,
        user_id: &str,
    ) -> impl Future<Output = Result<Option<StoredUser>, Box<dyn Error + Send + Sync>>> + Send;

    /// Returns the user if that is possible without waiting.
    ///
    /// It is called before [`find`](Self::find), which is called if this returns an outer `None`.
    /// The default implementation returns an outer `None`. An inner `None` means that there is no
    /// such user.
    fn find_now(&self, user_id: &str) -> Option<Option<StoredUser>> {
        let _ = user_id;
        None
    }

    /// Replaces the stored hash of a user, if it is still `old`. Returns whether it was replaced.
    ///
    /// It is called by [`HashVerifier::renew_hashes`](super::HashVerifier::renew_hashes) after a
    /// login. The user may have changed the password since, so compare and replace in one
    /// operation. The default implementation does nothing and returns `false`.
    ///
    /// ```
    /// # use std::error::Error;
    /// # use tower_auth::password::{PasswordHash, StoredUser, UserStore};
    /// # struct Accounts;
    /// # impl Accounts {
    /// #     async fn update(&self, _: &str, _: [&str; 3]) -> Result<u64, std::io::Error> { Ok(0) }
    /// # }
    /// # impl UserStore for Accounts {
    /// #     async fn find(
    /// #         &self,
    /// #         _: &str,
    /// #     ) -> Result<Option<StoredUser>, Box<dyn Error + Send + Sync>> { Ok(None) }
    /// async fn replace_hash(
    ///     &self,
    ///     user_id: &str,
    ///     old: &PasswordHash,
    ///     new: PasswordHash,
    /// ) -> Result<bool, Box<dyn Error + Send + Sync>> {
    ///     let update = "UPDATE accounts SET hash = ?3 WHERE user_id = ?1 AND hash = ?2";
    ///     Ok(self.update(update, [user_id, old.as_str(), new.as_str()]).await? == 1)
    /// }
    /// # }
    /// ```
    ///
    /// A new hash has 97 characters. One of bcrypt has only 60, so check that the column has space.
    ///
    /// # Errors
    ///
    /// If the store is not available. The user is logged in nevertheless.
    fn replace_hash(
        &self,
        user_id: &str,
        old: &PasswordHash,
        new: PasswordHash,
    ) -> impl Future<Output = ReplaceResult> + Send {
        let _ = (user_id, old, new);
        ready(Ok(false))
    }

    /// Returns the hash that the password of an unknown user is checked against.
    ///
    /// The check then takes as long for an unknown user as for a known user. `None`, the default,
    /// stands for argon2id at the cost of [`PasswordHash::new`]. This method can be called twice
    /// for a request, and must not block.
    ///
    /// # Security
    ///
    /// If the hashes of the users are of another kind or cost, return one of them. Otherwise,
    /// response times reveal which users exist. If the users have hashes of several kinds, return
    /// the same hash each time for a user id, and each kind in proportion to its number of users.
    fn decoy(&self, user_id: &str) -> Option<PasswordHash> {
        let _ = user_id;
        None
    }
}

/// A [`UserStore`] as a trait object, for a store that is chosen at run time.
///
/// Every store implements it. `Arc<dyn DynUserStore>` and `Box<dyn DynUserStore>` are stores:
///
/// ```
/// use std::sync::Arc;
/// use tower_auth::password::{DynUserStore, HashVerifier, Htpasswd, UserStore};
///
/// # fn f(
/// #     file: Option<&str>,
/// #     accounts: impl UserStore,
/// # ) -> Result<HashVerifier<impl UserStore>, tower_auth::ConfigError> {
/// let users: Arc<dyn DynUserStore> = match file {
///     Some(file) => Arc::new(Htpasswd::open(file)?),
///     None => Arc::new(accounts),
/// };
/// Ok(HashVerifier::new(users))
/// # }
/// ```
pub trait DynUserStore: Send + Sync + 'static {
    #[doc(hidden)]
    fn dyn_find<'a>(&'a self, user_id: &'a str) -> BoxFuture<'a, FindResult>;

    #[doc(hidden)]
    fn dyn_find_now(&self, user_id: &str) -> Option<Option<StoredUser>>;

    #[doc(hidden)]
    fn dyn_replace_hash<'a>(
        &'a self,
        user_id: &'a str,
        old: &'a PasswordHash,
        new: PasswordHash,
    ) -> BoxFuture<'a, ReplaceResult>;

    #[doc(hidden)]
    fn dyn_decoy(&self, user_id: &str) -> Option<PasswordHash>;
}

type FindResult = Result<Option<StoredUser>, Box<dyn Error + Send + Sync>>;
type ReplaceResult = Result<bool, Box<dyn Error + Send + Sync>>;

impl<S: UserStore> DynUserStore for S {
    fn dyn_find<'a>(&'a self, user_id: &'a str) -> BoxFuture<'a, FindResult> {
        Box::pin(self.find(user_id))
    }

    fn dyn_find_now(&self, user_id: &str) -> Option<Option<StoredUser>> {
        self.find_now(user_id)
    }

    fn dyn_replace_hash<'a>(
        &'a self,
        user_id: &'a str,
        old: &'a PasswordHash,
        new: PasswordHash,
    ) -> BoxFuture<'a, ReplaceResult> {
        Box::pin(self.replace_hash(user_id, old, new))
    }

    fn dyn_decoy(&self, user_id: &str) -> Option<PasswordHash> {
        self.decoy(user_id)
    }
}

impl UserStore for dyn DynUserStore {
    async fn find(&self, user_id: &str) -> FindResult {
        self.dyn_find(user_id).await
    }

    fn find_now(&self, user_id: &str) -> Option<Option<StoredUser>> {
        self.dyn_find_now(user_id)
    }

    async fn replace_hash(
        &self,
        user_id: &str,
        old: &PasswordHash,
        new: PasswordHash,
    ) -> ReplaceResult {
        self.dyn_replace_hash(user_id, old, new).await
    }

    fn decoy(&self, user_id: &str) -> Option<PasswordHash> {
        self.dyn_decoy(user_id)
    }
}

macro_rules! impl_user_store_for_pointers {
    ($($pointer:ident)+) => {$(
        impl<S: UserStore + ?Sized> UserStore for $pointer<S> {
            fn find(&self, user_id: &str) -> impl Future<Output = FindResult> + Send {
                (**self).find(user_id)
            }

            fn find_now(&self, user_id: &str) -> Option<Option<StoredUser>> {
                (**self).find_now(user_id)
            }

            fn replace_hash(
                &self,
                user_id: &str,
                old: &PasswordHash,
                new: PasswordHash,
            ) -> impl Future<Output = ReplaceResult> + Send {
                (**self).replace_hash(user_id, old, new)
            }

            fn decoy(&self, user_id: &str) -> Option<PasswordHash> {
                (**self).decoy(user_id)
            }
        }
    )+};
}

impl_user_store_for_pointers!(Arc Box);

/// A user that a [`UserStore`] returns.
#[derive(Clone, Debug)]
pub struct StoredUser {
    pub(crate) principal: Principal,
    pub(crate) hash: Option<PasswordHash>,
}

impl StoredUser {
    /// Creates a user without scopes, roles or claims.
    #[must_use]
    pub fn new(user_id: &str, hash: PasswordHash) -> Self {
        Self::with(Principal::builder(user_id, Scheme::BASIC).build(), hash)
    }

    /// Creates a user with a custom principal, for example one with scopes.
    #[must_use]
    pub fn with(principal: Principal, hash: PasswordHash) -> Self {
        Self { principal, hash: Some(hash) }
    }

    /// Creates a user who cannot log in, for example because the stored hash is malformed.
    ///
    /// The response and its cost are the same as for an unknown user. An error would reveal that
    /// the user exists.
    #[must_use]
    pub fn locked(user_id: &str) -> Self {
        Self { principal: Principal::builder(user_id, Scheme::BASIC).build(), hash: None }
    }
}

/// A store of users and password hashes in memory.
///
/// ```
/// use tower_auth::{BasicAuth, password::{HashVerifier, HashedUsers}};
///
/// # let hash = "$2y$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe";
/// let users = HashedUsers::new([("alice", hash)])?;
/// let staff = BasicAuth::new("staff", HashVerifier::new(users))?;
/// # Ok::<(), tower_auth::ConfigError>(())
/// ```
///
/// [`HashVerifier::renew_hashes`](super::HashVerifier::renew_hashes) replaces hashes in this store,
/// but not where they were read from: after a restart, the old hashes are back. A clone has its own
/// hashes.
#[derive(Default)]
pub struct HashedUsers(RwLock<UserSet>);

impl HashedUsers {
    /// Creates a store from pairs of user id and [hash](PasswordHash::parse).
    ///
    /// # Errors
    ///
    /// - If a user id contains a colon or a control character, or occurs twice.
    /// - If a hash cannot be parsed.
    pub fn new<I, N, H>(users: I) -> Result<Self, ConfigError>
    where
        I: IntoIterator<Item = (N, H)>,
        N: AsRef<str>,
        H: AsRef<str>,
    {
        users.into_iter().try_fold(Self::default(), |users, (user_id, hash)| {
            let user_id = user_id.as_ref();
            let hash = PasswordHash::parse(hash.as_ref())
                .map_err(|error| error.at(format_args!("user {user_id:?}")))?;
            users.with(StoredUser::new(user_id, hash))
        })
    }

    /// Adds a user, for example one with scopes or with a hash of an insecure kind.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new), and if the scheme of the principal is not Basic.
    pub fn with(mut self, user: StoredUser) -> Result<Self, ConfigError> {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).add(user)?;
        Ok(self)
    }

    fn users(&self) -> RwLockReadGuard<'_, UserSet> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clone for HashedUsers {
    fn clone(&self) -> Self {
        Self(RwLock::new(self.users().clone()))
    }
}

impl UserStore for HashedUsers {
    fn find(
        &self,
        user_id: &str,
    ) -> impl Future<Output = Result<Option<StoredUser>, Box<dyn Error + Send + Sync>>> + Send {
        ready(Ok(self.users().get(user_id)))
    }

    fn find_now(&self, user_id: &str) -> Option<Option<StoredUser>> {
        Some(self.users().get(user_id))
    }

    fn replace_hash(
        &self,
        user_id: &str,
        old: &PasswordHash,
        new: PasswordHash,
    ) -> impl Future<Output = ReplaceResult> + Send {
        let mut users = self.0.write().unwrap_or_else(PoisonError::into_inner);
        ready(Ok(users.replace_hash(user_id, old, new)))
    }

    fn decoy(&self, user_id: &str) -> Option<PasswordHash> {
        self.users().decoy(user_id)
    }
}

impl fmt::Debug for HashedUsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.users().fmt(f)
    }
}

/// Users by user id, with decoys for unknown ones.
#[derive(Clone, Default)]
pub(crate) struct UserSet {
    by_id: HashMap<Arc<str>, StoredUser>,
    decoys: Decoys,
}

impl UserSet {
    pub(crate) fn add(&mut self, user: StoredUser) -> Result<(), ConfigError> {
        let user_id: Arc<str> = user.principal.subject().into();
        check_basic_principal(&user.principal)?;
        if self.by_id.contains_key(&user_id) {
            return Err(ConfigError::conflict(format!(
                "user {user_id:?} occurs twice: remove one entry"
            )));
        }
        if let Some(hash) = &user.hash {
            self.decoys.add(hash);
        }
        self.by_id.insert(user_id, user);
        Ok(())
    }

    /// Returns whether the other set has the same users with the same hashes.
    pub(crate) fn has_same_hashes(&self, other: &Self) -> bool {
        let digest = |user: &StoredUser| user.hash.as_ref().map(|hash| *hash.digest());
        self.by_id.len() == other.by_id.len()
            && self.by_id.iter().all(|(id, user)| {
                other.by_id.get(id).is_some_and(|found| digest(found) == digest(user))
            })
    }

    /// Replaces the hash of a user, also among the decoys, if it is still `old`.
    fn replace_hash(&mut self, user_id: &str, old: &PasswordHash, new: PasswordHash) -> bool {
        let user = self.by_id.get_mut(user_id);
        let stored = user.and_then(|user| user.hash.as_mut());
        let Some(stored) = stored.filter(|stored| stored.digest() == old.digest()) else {
            return false;
        };
        self.decoys.replace(stored, &new);
        *stored = new;
        true
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn get(&self, user_id: &str) -> Option<StoredUser> {
        self.by_id.get(user_id).cloned()
    }

    pub(crate) fn decoy(&self, user_id: &str) -> Option<PasswordHash> {
        self.decoys.select(user_id)
    }
}

impl fmt::Debug for UserSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_id.keys()).finish()
    }
}
