//! The cluster's certificate authority: who may issue certificates for nodes and for HTTPS.
//!
//! Certificates are valid from 1975 to 4096. Nodes do not look at dates, and a family's NAS must not stop serving
//! because nobody renewed something.

use std::net::IpAddr;

use model::ChainId;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};

use super::{Identity, NodeKey};

/// Why a certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// A name cannot stand in a certificate.
    #[error("{name:?} is neither a host name nor an IP address")]
    Name {
        /// Which.
        name: String,
        /// What is wrong with it.
        source: rcgen::Error,
    },
    /// The authority's own key or certificate cannot be read.
    #[error("reading the authority's key and certificate")]
    Authority(#[source] rcgen::Error),
    /// The system has no randomness to give.
    #[error("drawing a key or a serial number")]
    Random(#[source] getrandom::Error),
    /// The certificate could not be put together.
    #[error("signing a certificate for {subject}")]
    Sign {
        /// For whom.
        subject: String,
        /// Why.
        source: rcgen::Error,
    },
}

/// The cluster's certificate authority. Whoever holds its key can issue certificates that HTTPS clients of the
/// cluster trust, but cannot make a member: that takes a decided block.
pub struct Ca {
    chain: ChainId,
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
}

/// A certificate for HTTPS with its key.
pub struct HttpsCertificate {
    /// The certificate, in PEM.
    pub certificate_pem: String,
    /// Its private key, PKCS#8 in PEM.
    pub key_pem: String,
}

/// Makes the authority of a new cluster.
///
/// # Errors
/// If there is no randomness.
pub fn create_ca(chain: ChainId) -> Result<Ca, IssueError> {
    let subject = format!("Starling cluster {chain}");
    let mut params = params(&subject)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = new_pair(&subject)?;
    let certificate = params
        .self_signed(&key)
        .map_err(|source| IssueError::Sign { subject, source })?;
    Ok(Ca {
        chain,
        issuer: Issuer::new(params, key),
        certificate_pem: certificate.pem(),
    })
}

impl Identity {
    /// An identity whose certificate is signed by its own key. Peers ask for nothing more; HTTPS clients trust
    /// `ca_pem`, the authority of the cluster.
    ///
    /// # Errors
    /// If the certificate cannot be made, or `ca_pem` is none.
    pub fn self_issued(
        chain: ChainId,
        key: NodeKey,
        name: &str,
        ca_pem: &str,
    ) -> Result<Self, IssueError> {
        let pair = key.pair();
        let issued = node_params(name)?.self_signed(&pair);
        let certificate = issued.map_err(|source| IssueError::Sign {
            subject: name.to_owned(),
            source,
        })?;
        Ok(Self {
            chain,
            key,
            certificate_pem: certificate.pem(),
            ca_pem: ca_pem.to_owned(),
            certificate: certificate.der().clone(),
        })
    }
}

impl Ca {
    /// Takes up an authority again from what [`Ca::certificate_pem`] and [`Ca::key_pem`] gave.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn from_pem(
        chain: ChainId,
        certificate_pem: &str,
        key_pem: &str,
    ) -> Result<Self, IssueError> {
        let key = KeyPair::from_pem(key_pem).map_err(IssueError::Authority)?;
        let issuer =
            Issuer::from_ca_cert_pem(certificate_pem, key).map_err(IssueError::Authority)?;
        Ok(Self {
            chain,
            issuer,
            certificate_pem: certificate_pem.to_owned(),
        })
    }

    /// The authority's certificate, in PEM. Clients trust it.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The authority's private key, PKCS#8 in PEM.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// An identity for `key`, on this authority's chain. `name` is for people.
    ///
    /// # Errors
    /// If the certificate cannot be made.
    pub fn issue_identity(&self, key: NodeKey, name: &str) -> Result<Identity, IssueError> {
        let certificate = self.sign(&node_params(name)?, name, &key.pair())?;
        Ok(Identity {
            chain: self.chain,
            key,
            certificate_pem: certificate.pem(),
            ca_pem: self.certificate_pem.clone(),
            certificate: certificate.der().clone(),
        })
    }

    /// A certificate for HTTPS under all of `names`, host names and IP addresses, with a new P-256 key: browsers do
    /// not take Ed25519.
    ///
    /// # Errors
    /// If a name is not one, or the certificate cannot be made.
    pub fn issue_https(&self, names: &[String]) -> Result<HttpsCertificate, IssueError> {
        let subject = names.first().map_or("starling", String::as_str);
        let mut params = params(subject)?;
        params.subject_alt_names = names
            .iter()
            .map(|name| subject_name(name))
            .collect::<Result<_, _>>()?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = new_pair(subject)?;
        let certificate = self.sign(&params, subject, &key)?;
        Ok(HttpsCertificate {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        })
    }

    fn sign(
        &self,
        params: &CertificateParams,
        subject: &str,
        key: &impl PublicKeyData,
    ) -> Result<rcgen::Certificate, IssueError> {
        params
            .signed_by(key, &self.issuer)
            .map_err(|source| IssueError::Sign {
                subject: subject.to_owned(),
                source,
            })
    }
}

fn node_params(name: &str) -> Result<CertificateParams, IssueError> {
    let mut params = params(name)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    Ok(params)
}

fn params(subject: &str) -> Result<CertificateParams, IssueError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, subject);
    params.serial_number = Some(new_serial()?);
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// Random and positive; clients refuse two certificates of one issuer with the same number.
fn new_serial() -> Result<SerialNumber, IssueError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(IssueError::Random)?;
    let [first, ..] = &mut bytes;
    *first = *first & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn new_pair(subject: &str) -> Result<KeyPair, IssueError> {
    KeyPair::generate().map_err(|source| IssueError::Sign {
        subject: subject.to_owned(),
        source,
    })
}

fn subject_name(name: &str) -> Result<SanType, IssueError> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    match name.try_into() {
        Ok(name) => Ok(SanType::DnsName(name)),
        Err(source) => Err(IssueError::Name {
            name: name.to_owned(),
            source,
        }),
    }
}
