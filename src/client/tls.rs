//! TLS as a client: whom to trust.
//!
//! rustls with the *ring* provider: of those that are audited it costs the least to build (a C compiler
//! and no CMake, no system library). Trusted are the authorities that the machine trusts, so that a
//! company's own are among them; `SSL_CERT_FILE` names others.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

pub use tokio_rustls::rustls::ClientConfig;

/// The name of HTTP/2 when protocols are negotiated (RFC 9113).
pub const ALPN_HTTP2: &[u8] = b"h2";
const ALPN_HTTP1: &[u8] = b"http/1.1";

/// Whom to trust.
#[derive(Clone, Debug)]
pub enum Trust<'a> {
    /// The authorities of this machine.
    System,
    /// Those in a PEM file, and no others.
    File(&'a Path),
    /// Nobody: for a client that never speaks TLS.
    Nobody,
    /// Anyone: encrypted, but with whom is not known.
    Anyone,
}

/// What is wrong with the authorities to trust.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// None are to be had.
    #[error("this machine has no trusted authorities{0}; name a file with SSL_CERT_FILE")]
    None(String),
    /// The file cannot be read or holds no certificate.
    #[error("{path}: {why}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// The provider does not support its own defaults.
    #[error(transparent)]
    Provider(#[from] Error),
}

/// Which protocols are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// HTTP/2, and HTTP/1.1 for those who cannot.
    Both,
    /// HTTP/1.1 alone.
    Http1,
    /// HTTP/2 alone.
    Http2,
}

/// A client's side of TLS.
///
/// # Errors
///
/// When there is nobody to trust.
pub fn client_config(trust: &Trust<'_>, offer: Offer) -> Result<Arc<ClientConfig>, TrustError> {
    let provider = Arc::new(ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let mut config = match trust {
        Trust::Nobody => builder.with_root_certificates(RootCertStore::empty()),
        Trust::System => builder.with_root_certificates(system_roots()?),
        Trust::File(path) => builder.with_root_certificates(roots_in(path)?),
        Trust::Anyone => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        }
    }
    .with_no_client_auth();
    let offered: &[&[u8]] = match offer {
        Offer::Both => &[ALPN_HTTP2, ALPN_HTTP1],
        Offer::Http1 => &[ALPN_HTTP1],
        Offer::Http2 => &[ALPN_HTTP2],
    };
    config.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

fn system_roots() -> Result<RootCertStore, TrustError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        return Err(TrustError::None(why));
    }
    Ok(roots)
}

fn roots_in(path: &Path) -> Result<RootCertStore, TrustError> {
    let wrong = |why: String| TrustError::File { path: path.display().to_string(), why };
    let text = std::fs::read(path).map_err(|error: io::Error| wrong(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() { Err(wrong("it holds no certificate".to_owned())) } else { Ok(roots) }
}

/// Takes every certificate, and still checks that the peer has its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
