use argon2::{Algorithm, Argon2, Block, Params, Version};
use password_hash::phc;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// The working memory of argon2, which can be reused for the next hash.
///
/// If each hash allocates its own memory on one of many threads, the allocator retains tens of MiB
/// for each of those threads. With glibc, two concurrent hashes of 19 MiB grow to over 800 MiB.
#[derive(Default)]
pub(crate) struct Argon2Memory(Vec<Block>);

impl Argon2Memory {
    /// glibc returns larger allocations to the system at once, so keeping them gains nothing.
    const MAX_KEPT_BLOCKS: usize = 32 * 1024 * 1024 / Block::SIZE;

    pub(crate) fn is_worth_keeping(&self) -> bool {
        (1..=Self::MAX_KEPT_BLOCKS).contains(&self.0.len())
    }

    /// Hashes a password with argon2id and a new salt, at the cost that OWASP recommends.
    pub(crate) fn hash(&mut self, password: &[u8]) -> password_hash::Result<phc::PasswordHash> {
        let mut salt = [0; phc::Salt::RECOMMENDED_LENGTH];
        getrandom::fill(&mut salt).map_err(|_| password_hash::Error::RngFailure)?;
        let mut digest = Zeroizing::new([0; Params::DEFAULT_OUTPUT_LEN]);
        let argon2 = Argon2::default();
        let params = argon2.params();
        let blocks = self.blocks(params.block_count()).ok_or(password_hash::Error::OutOfMemory)?;
        argon2.hash_password_into_with_memory(password, &salt, &mut *digest, blocks)?;
        Ok(phc::PasswordHash {
            algorithm: Algorithm::default().ident(),
            version: Some(Version::default().into()),
            params: phc::ParamsString::try_from(params)?,
            salt: Some(phc::Salt::new(&salt)?),
            hash: Some(phc::Output::new(&*digest)?),
        })
    }

    /// Returns whether `text` is the argon2 hash of `password`.
    ///
    /// Returns `None` if `text` is not an argon2 hash, or if there is not enough memory.
    pub(crate) fn verify(&mut self, password: &[u8], text: &str) -> Option<bool> {
        let hash = phc::PasswordHash::new(text).ok()?;
        let (salt, expected) = (hash.salt.as_ref()?, hash.hash.as_ref()?);
        let algorithm = Algorithm::try_from(hash.algorithm.as_str()).ok()?;
        let version = hash.version.map(Version::try_from).transpose().ok()?.unwrap_or_default();
        let params = Params::try_from(&hash).ok()?;
        let blocks = self.blocks(params.block_count())?;
        let mut digest = Zeroizing::new([0; phc::Output::MAX_LENGTH]);
        let digest = digest.get_mut(..expected.len())?;
        let argon2 = Argon2::new(algorithm, version, params);
        argon2.hash_password_into_with_memory(password, salt, digest, blocks).ok()?;
        Some(digest.ct_eq(expected.as_bytes()).into())
    }

    fn blocks(&mut self, count: usize) -> Option<&mut [Block]> {
        if self.0.len() < count {
            // Free the old memory first, so that both never exist at the same time.
            self.0 = Vec::new();
            self.0.try_reserve_exact(count).ok()?;
            self.0.resize(count, Block::new());
        }
        self.0.get_mut(..count)
    }
}

#[cfg(test)]
mod tests {
    use argon2::PasswordHasher as _;

    use super::*;

    #[test]
    fn reused_memory_does_not_change_the_result() {
        let mut memory = Argon2Memory::default();
        for (kib, passes, lanes) in [(64, 1, 1), (8, 3, 1), (256, 2, 4), (64, 1, 1)] {
            for algorithm in [Algorithm::Argon2id, Algorithm::Argon2i, Algorithm::Argon2d] {
                for version in [Version::V0x10, Version::V0x13] {
                    let params = Params::new(kib, passes, lanes, None).unwrap();
                    let hash = Argon2::new(algorithm, version, params).hash_password(b"secret");
                    let hash = hash.unwrap().to_string();
                    assert_eq!(memory.verify(b"secret", &hash), Some(true), "{hash}");
                    assert_eq!(memory.verify(b"secreT", &hash), Some(false), "{hash}");
                }
            }
        }
        assert_eq!(memory.0.len(), 256);
        assert!(memory.is_worth_keeping());
        assert!(!Argon2Memory::default().is_worth_keeping());
        assert_eq!(memory.verify(b"secret", "$2y$05$"), None);
    }
}
