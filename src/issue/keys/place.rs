//! Where the keys of an issuer are kept.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::task::spawn_blocking;

use super::{
    document::{KeyDocument, MAX_BYTES},
    keys_error::KeysError,
};
use crate::{
    config_error::ConfigError,
    store::{
        key::Purpose,
        private_file::PrivateFile,
        record::{Record, RecordKey, WhichSecret},
        sealed_store::SealedStore,
        ttl::Ttl,
    },
};

/// The record is written again at each rotation. It must not end while the service is stopped.
const TTL: Ttl = Ttl::MAX;
/// How long a record is kept under a secret that was replaced, in case the rotation is undone.
const REPLACED_TTL: Duration = Duration::from_secs(30 * 24 * 60 * 60);

pub(super) enum Place {
    Store { store: SealedStore, key: RecordKey },
    File(Arc<Path>),
}

/// A document that was read, and what is needed to replace it.
pub(super) struct Found {
    pub(super) document: KeyDocument,
    /// `None` for a file.
    record: Option<Record>,
}

impl Place {
    /// The record of the issuer in a store.
    pub(super) fn store(store: SealedStore, issuer: &str) -> Self {
        let key = store.key(Purpose::Keys, "issuer", &[issuer.as_bytes()]);
        Self::Store { store, key }
    }

    /// A file, which is checked now if it exists.
    pub(super) fn file(path: PathBuf) -> Result<Self, ConfigError> {
        if let Some(json) = file(&path).read(MAX_BYTES)? {
            KeyDocument::parse(&json).map_err(|error| {
                let problem = "is not a file of keys that this crate wrote: set another path, or \
                               restore the file from a backup";
                file(&path).describe(problem).with_source(error)
            })?;
        }
        Ok(Self::File(path.into()))
    }

    /// Returns the current document, or `None` if there is none yet.
    pub(super) async fn read(&self) -> Result<Option<Found>, KeysError> {
        match self {
            Self::Store { store, key } => read_record(store, key).await,
            Self::File(path) => {
                let path = Arc::clone(path);
                on_blocking_thread(move || {
                    let json = file(&path).read(MAX_BYTES)?;
                    let document = json.map(|json| KeyDocument::parse(&json)).transpose()?;
                    Ok(document.map(|document| Found { document, record: None }))
                })
                .await
            }
        }
    }

    /// Writes a document, unless the current one is no longer the one that was found. Returns
    /// whether it was written.
    pub(super) async fn write(
        &self,
        found: Option<&Found>,
        document: &KeyDocument,
    ) -> Result<bool, KeysError> {
        let json = document.to_json()?;
        match self {
            Self::Store { store, key } => {
                let record = found.and_then(|found| found.record.as_ref());
                Ok(match record {
                    Some(record) => store.replace(record, &json, TTL).await?,
                    None => store.insert(&current_only(key), &json, TTL).await?,
                })
            }
            Self::File(path) => {
                let path = Arc::clone(path);
                let expected = found.map(|found| found.document.clone());
                on_blocking_thread(move || write_file(&path, expected.as_ref(), &json)).await
            }
        }
    }
}

/// Reads the record, and copies it to the current secret if only the previous one has it.
///
/// During a rotation of the secret, both can have a record. The copy counts from then on.
async fn read_record(store: &SealedStore, key: &RecordKey) -> Result<Option<Found>, KeysError> {
    let mut newest: Option<Found> = None;
    let mut has_current = false;
    for record in store.get(std::slice::from_ref(key)).await?.into_iter().flatten() {
        has_current |= record.secret == WhichSecret::Current;
        let document = KeyDocument::parse(&record.value)?;
        if newest.as_ref().is_none_or(|newest| newest.document.copies < document.copies) {
            newest = Some(Found { document, record: Some(record) });
        }
    }
    let Some(found) = newest.take_if(|_| !has_current) else { return Ok(newest) };
    if let Some(record) = &found.record {
        // If this fails, the record is only kept longer.
        let _ = store.replace(record, &record.value, Ttl::new(REPLACED_TTL)).await;
    }
    let mut copy = found.document;
    copy.copies = copy.copies.saturating_add(1);
    store.insert(&current_only(key), &copy.to_json()?, TTL).await?;
    // Another instance may have been faster.
    let records = store.get(&[current_only(key)]).await?.into_iter().flatten();
    let record = records.last().ok_or_else(|| KeysError::new("the signing keys were removed"))?;
    Ok(Some(Found { document: KeyDocument::parse(&record.value)?, record: Some(record) }))
}

/// Returns the key without that of the previous secret, which is dropped some day.
fn current_only(key: &RecordKey) -> RecordKey {
    RecordKey { previous: None, ..*key }
}

/// Of two processes that replace a file at the same instant, the last one wins. Each reads the file
/// again before it depends on its change.
fn write_file(path: &Path, expected: Option<&KeyDocument>, json: &[u8]) -> Result<bool, KeysError> {
    let failed = |error: std::io::Error| {
        let problem = "cannot be written: check the permissions of the file and its folder";
        KeysError::from(file(path).describe(problem).with_source(error))
    };
    let Some(expected) = expected else { return file(path).create(json).map_err(failed) };
    let current = file(path).read(MAX_BYTES)?;
    if current.map(|json| KeyDocument::parse(&json)).transpose()?.as_ref() != Some(expected) {
        return Ok(false);
    }
    file(path).replace(json).map_err(failed)?;
    Ok(true)
}

fn file(path: &Path) -> PrivateFile<'_> {
    PrivateFile { name: "the file of the signing keys", path }
}

/// Runs work that takes long on a blocking thread.
pub(super) async fn on_blocking_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, KeysError> + Send + 'static,
) -> Result<T, KeysError> {
    spawn_blocking(work).await.map_err(|error| {
        KeysError::new("the thread that reads or creates the signing keys failed")
            .with_source(error)
    })?
}
