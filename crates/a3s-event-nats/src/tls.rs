//! TLS through ring, by an explicit configuration: nothing is installed for
//! the process, and no other provider in it is in the way.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use a3s_event_core::{EventError, Result};
use async_nats::rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::error::failed;

/// The files that a connection uses for TLS.
#[derive(Debug, Clone, Default)]
pub(crate) struct TlsOptions {
    pub(crate) roots: Option<PathBuf>,
    pub(crate) client: Option<(PathBuf, PathBuf)>,
    pub(crate) required: bool,
    pub(crate) first: bool,
}

impl TlsOptions {
    /// Reads the files and makes a configuration of them. Blocks.
    pub(crate) fn load(&self) -> Result<ClientConfig> {
        let mut roots = RootCertStore::empty();
        match &self.roots {
            Some(path) => {
                for certificate in certificates("root_certificates", path)? {
                    roots
                        .add(certificate)
                        .map_err(|error| unusable("root_certificates", path, &error))?;
                }
            }
            // Without any the handshake fails, if there is one.
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| failed("set up TLS", error))?
            .with_root_certificates(roots);
        let Some((certificate, key)) = &self.client else {
            return Ok(builder.with_no_client_auth());
        };
        let chain = certificates("client_certificate", certificate)?;
        let secret = PrivateKeyDer::from_pem_file(key)
            .map_err(|error| unusable("client_certificate", key, &error))?;
        builder
            .with_client_auth_cert(chain, secret)
            .map_err(|error| unusable("client_certificate", certificate, &error))
    }
}

fn certificates(option: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unusable(option, path, &error))?;
    if certificates.is_empty() {
        return Err(unusable(option, path, &"it holds no certificate"));
    }
    Ok(certificates)
}

fn unusable(option: &'static str, path: &Path, why: &dyn std::fmt::Display) -> EventError {
    EventError::invalid_option(
        option,
        format!("`{}` cannot be used: {why}", path.display()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_named() {
        let options = TlsOptions {
            roots: Some(PathBuf::from("no/such/ca.pem")),
            ..TlsOptions::default()
        };
        let error = options.load().unwrap_err();
        assert!(
            matches!(&error, EventError::InvalidOption { reason, .. } if reason.contains("no/such/ca.pem"))
        );
    }

    #[test]
    fn a_configuration_needs_no_provider_of_the_process() {
        assert!(TlsOptions::default().load().is_ok());
        assert!(async_nats::rustls::crypto::CryptoProvider::get_default().is_none());
    }
}
