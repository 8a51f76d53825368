/// How access tokens are signed, and where the keys are kept.
#[derive(Clone, Debug)]
#[must_use = "pass it to TokenIssuerBuilder::keys"]
pub struct SigningKeys(());

impl SigningKeys {
    /// Signs with Ed25519 (`EdDSA`). This is the default.
    pub fn eddsa() -> Self {
        Self(())
    }
}
