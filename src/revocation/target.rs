/// What a revocation withdraws.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RevocationTarget {
    /// One token.
    Token,
    /// All tokens of a session.
    Session,
    /// All tokens of a subject that were issued before.
    Subject,
    /// All tokens of an issuer that were issued before.
    Issuer,
}

impl RevocationTarget {
    /// The name of the kind in keys of records.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Token => "jti",
            Self::Session => "sid",
            Self::Subject => "sub",
            Self::Issuer => "all",
        }
    }
}
