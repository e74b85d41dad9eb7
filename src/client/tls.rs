//! TLS for clients: which certificates to trust.
//!
//! rustls with the *ring* provider: of the audited providers it is the cheapest to build (it needs a C compiler,
//! but no CMake and no system library). By default a client trusts the machine's certificate authorities, which
//! include a company's own; `SSL_CERT_FILE` names others.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{WantsClientCert, WebPkiServerVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ConfigBuilder, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::listed::Listed;
use crate::input;

pub use tokio_rustls::rustls::ClientConfig;

/// The ALPN protocol ID of HTTP/2 (RFC 9113).
pub const ALPN_HTTP2: &[u8] = b"h2";
const ALPN_HTTP1: &[u8] = b"http/1.1";

/// The largest certificate or key file that is read.
const FILE_LIMIT_MIB: u64 = 4;

/// Which server certificates to trust.
#[derive(Clone, Debug)]
pub enum Trust<'a> {
    /// Those signed by this machine's certificate authorities.
    System,
    /// Those in a PEM file, and those that they have signed.
    File(&'a Path),
    /// None: for a client that never uses TLS.
    Nobody,
    /// All: the connection is encrypted, but the server is not authenticated.
    Anyone,
}

/// Why a TLS configuration could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The machine has no trusted certificate authorities.
    #[error("this machine has no trusted authorities{0}; name a file with SSL_CERT_FILE")]
    None(String),
    /// A file cannot be read, or holds no certificate or key.
    #[error("{path}: {why}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// The client's own certificate cannot be used.
    #[error("{0}")]
    Identity(String),
    /// The provider does not support its own defaults.
    #[error(transparent)]
    Provider(#[from] Error),
}

/// The client's own certificate, for servers that request one.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// A PEM file with the certificate and the intermediate certificates.
    pub certificate: &'a Path,
    /// A PEM file with the private key.
    pub key: &'a Path,
}

/// The protocols that the client offers to the server (ALPN).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// HTTP/2, and HTTP/1.1 for servers without it.
    Both,
    /// Only HTTP/1.1.
    Http1,
    /// Only HTTP/2.
    Http2,
}

/// The TLS configuration of a client.
///
/// # Errors
///
/// When there are no certificates to trust, or the client's own certificate cannot be used.
pub fn client_config(
    trust: &Trust<'_>,
    identity: Option<&Identity<'_>>,
    offer: Offer,
) -> Result<Arc<ClientConfig>, TrustError> {
    let provider = Arc::new(ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match trust {
        Trust::Nobody => builder.with_root_certificates(RootCertStore::empty()),
        Trust::System => builder.with_root_certificates(system_roots()?),
        Trust::File(path) => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(listed_in(path, provider)?))
        }
        Trust::Anyone => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        }
    };
    let mut config = match identity {
        Some(identity) => identity.show_in(builder)?,
        None => builder.with_no_client_auth(),
    };
    let offered: &[&[u8]] = match offer {
        Offer::Both => &[ALPN_HTTP2, ALPN_HTTP1],
        Offer::Http1 => &[ALPN_HTTP1],
        Offer::Http2 => &[ALPN_HTTP2],
    };
    config.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

impl Identity<'_> {
    fn show_in(
        &self,
        builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    ) -> Result<ClientConfig, TrustError> {
        let Self { certificate, key } = self;
        let wrong = |path: &Path, why: String| TrustError::File { path: path.display().to_string(), why };
        let chain = certificates_in(certificate)?;
        let text = input::read(key, FILE_LIMIT_MIB).map_err(|error| wrong(key, error.to_string()))?;
        let secret = PrivateKeyDer::from_pem_slice(&text).map_err(|error| wrong(key, error.to_string()))?;
        let config = builder.with_client_auth_cert(chain, secret);
        config.map_err(|error| {
            TrustError::Identity(format!("{} with {}: {error}", certificate.display(), key.display()))
        })
    }
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

fn listed_in(path: &Path, provider: Arc<CryptoProvider>) -> Result<Listed, TrustError> {
    let wrong = |why: String| TrustError::File { path: path.display().to_string(), why };
    let certificates = certificates_in(path)?;
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        roots.add(certificate.clone()).map_err(|error| wrong(error.to_string()))?;
    }
    let signed = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    Ok(Listed { signed: signed.map_err(|error| wrong(error.to_string()))?, certificates })
}

fn certificates_in(path: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let wrong = |why: String| TrustError::File { path: path.display().to_string(), why };
    let text = input::read(path, FILE_LIMIT_MIB).map_err(|error| wrong(error.to_string()))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let certificates = certificates.map_err(|error| wrong(error.to_string()))?;
    if certificates.is_empty() { Err(wrong("it holds no certificate".to_owned())) } else { Ok(certificates) }
}

/// Accepts every certificate, but still checks that the server has the private key.
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
