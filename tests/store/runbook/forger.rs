//! What a thief does with stolen keys.

use std::{fs, path::Path};

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    hmac,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tower_auth::store::{Purpose, StoreKey};
use tower_auth_test_support::token::{Signer, encode};

use crate::revocation::test_store::{TestStore, key};

/// A copy of the keys of an issuer.
pub struct StolenKeys(Value);

impl StolenKeys {
    /// Reads the file of the keys.
    pub fn from_file(path: &Path) -> Self {
        Self::parse(&fs::read(path).unwrap())
    }

    pub fn parse(document: &[u8]) -> Self {
        Self(serde_json::from_slice(document).unwrap())
    }

    pub fn signing_ids(&self) -> Vec<String> {
        let keys = self.0["signing"].as_array().unwrap().iter();
        keys.map(|key| key["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Returns a token for another user, which is like this token of the thief, signed with the
    /// signing key at this position.
    pub fn token_for(&self, user: &str, own: &str, at: usize) -> String {
        let stored = &self.0["signing"][at];
        let der = URL_SAFE_NO_PAD.decode(stored["key"].as_str().unwrap()).unwrap();
        token_for(user, own, &Signer::from_pkcs8("EdDSA", &der), &stored["id"])
    }

    pub fn mac_id(&self) -> &str {
        self.0["mac"][0]["id"].as_str().unwrap()
    }

    /// Returns a later refresh token of the login to which this one belongs.
    pub fn later_refresh_token(&self, old: &str) -> String {
        let mac = &self.0["mac"][0];
        let secret = URL_SAFE_NO_PAD.decode(mac["key"].as_str().unwrap()).unwrap();
        let family = old.split('.').next().unwrap();
        let (id, generation) = (mac["id"].as_str().unwrap(), 100_u64);
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &secret));
        let bytes = URL_SAFE_NO_PAD.decode(family).unwrap();
        let number = generation.to_be_bytes();
        for field in [&b"tower-auth refresh token"[..], id.as_bytes(), &bytes, &number] {
            context.update(&(field.len() as u64).to_be_bytes());
            context.update(field);
        }
        format!("{family}.{generation}.{id}.{}", encode(context.sign()))
    }
}

/// Returns a token that is like this token of the thief, for another user, for a day.
pub fn token_for(user: &str, own: &str, signer: &Signer, id: &Value) -> String {
    let part = |at: usize| -> Value {
        let part = own.split('.').nth(at).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    let (mut header, mut claims) = (part(0), part(1));
    header["kid"] = id.clone();
    claims["sub"] = user.into();
    claims["jti"] = json!("forged");
    claims["exp"] = (claims["iat"].as_u64().unwrap() + 86_400).into();
    signer.token_with(&header, &claims)
}

/// A thief with the secret of the store, who can read and write its records.
pub struct StolenSecret {
    id: [u8; 4],
    values: RandomizedNonceKey,
}

impl StolenSecret {
    /// Knows the secret of this number.
    pub fn new(number: u8) -> Self {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, &key(number));
        let derive = |label: &[u8]| hmac::sign(&secret, label);
        let id = derive(b"tower-auth store: key id");
        let values = derive(b"tower-auth store: sealed values");
        Self {
            id: id.as_ref()[..4].try_into().unwrap(),
            values: RandomizedNonceKey::new(&AES_256_GCM_SIV, values.as_ref()).unwrap(),
        }
    }

    /// Returns the value of a record that was sealed with the secret.
    pub fn open(&self, key: &StoreKey, sealed: &[u8]) -> Option<Vec<u8>> {
        let (id, rest) = sealed.split_at_checked(4)?;
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_LEN>()?;
        let mut value = ciphertext.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.values.open_in_place(nonce, aad(key), &mut value).ok()?.to_vec();
        (id == self.id).then_some(opened)
    }

    /// Returns the values of all records of a purpose that the secret opens.
    pub fn read(&self, store: &TestStore, purpose: Purpose) -> Vec<(StoreKey, Vec<u8>)> {
        let records = store.snapshot().into_iter();
        let records = records.filter(|(key, _)| key.purpose() == purpose);
        records.filter_map(|(key, (sealed, _))| Some((key, self.open(&key, &sealed)?))).collect()
    }

    /// Reads the keys of the issuer.
    pub fn keys(&self, store: &TestStore) -> Vec<StolenKeys> {
        let found = self.read(store, Purpose::Keys);
        found.iter().map(|(_, value)| StolenKeys::parse(value)).collect()
    }

    /// Changes the records of a purpose: replaces a text, such as a user, by another one.
    pub fn change(&self, store: &TestStore, purpose: Purpose, from: &str, to: &str) -> usize {
        let mut records = store.snapshot();
        let mut changed = 0;
        for (key, value) in self.read(store, purpose) {
            let text = String::from_utf8(value).unwrap();
            if !text.contains(from) {
                continue;
            }
            let mut sealed = text.replace(from, to).into_bytes();
            let nonce = self.values.seal_in_place_append_tag(aad(&key), &mut sealed).unwrap();
            let sealed = [&self.id[..], nonce.as_ref(), &sealed].concat();
            records.get_mut(&key).unwrap().0 = sealed.into();
            changed += 1;
        }
        store.restore(&records);
        changed
    }
}

fn aad(key: &StoreKey) -> Aad<Vec<u8>> {
    Aad::from([key.purpose().as_str().as_bytes(), b":", key.as_bytes()].concat())
}
