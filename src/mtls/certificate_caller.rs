use std::{
    sync::{Arc, OnceLock},
    time::SystemTime,
};

use super::{
    certificate_fault::CertificateFault, certificate_name::CertificateName,
    parsed_certificate::ParsedCertificate, peer_certificate::PeerCertificate,
};
use crate::principal::{Principal, principal::Presented};

/// What was found in a certificate, once for all requests of a connection.
#[derive(Default)]
pub(super) struct CertificateCaller {
    parsed: OnceLock<Result<ParsedCertificate, CertificateFault>>,
    /// For the first authenticator that identified the caller.
    known: OnceLock<KnownCaller>,
}

struct KnownCaller {
    /// Identifies the authenticator.
    presented: Arc<Presented>,
    caller: Principal,
}

/// How an authenticator describes the callers that it identifies.
pub(super) struct CallerSettings {
    pub(super) subject: CertificateName,
    pub(super) issuer: Option<Arc<str>>,
    pub(super) presented: Arc<Presented>,
}

impl PeerCertificate {
    /// Returns the caller for which the certificate is valid at this time.
    pub(super) fn identify(
        &self,
        settings: &CallerSettings,
        now: SystemTime,
    ) -> Result<Principal, CertificateFault> {
        let CertificateCaller { parsed, known } = self.caller();
        let parsed = parsed.get_or_init(|| ParsedCertificate::parse(self.der()));
        let parsed = parsed.as_ref().map_err(|fault| *fault)?;
        // A connection can outlive the certificate.
        parsed.check_validity(now)?;
        if let Some(known) = known.get()
            && Arc::ptr_eq(&known.presented, &settings.presented)
        {
            return Ok(known.caller.clone());
        }
        let caller = self.principal(parsed, settings)?;
        let presented = Arc::clone(&settings.presented);
        _ = known.set(KnownCaller { presented, caller: caller.clone() });
        Ok(caller)
    }

    fn principal(
        &self,
        parsed: &ParsedCertificate,
        settings: &CallerSettings,
    ) -> Result<Principal, CertificateFault> {
        let CallerSettings { subject, issuer, presented } = settings;
        let mut builder = Principal::builder(subject.find(parsed)?, presented.scheme)
            .expires_at(parsed.not_after)
            // A copy: a clone would contain the principal, and neither would be freed.
            .extension(Self::from(self.der()));
        if let Some(issuer) = issuer {
            builder = builder.issuer(Arc::clone(issuer));
        }
        Ok(builder.build().presented_as(presented))
    }
}
